"""Pipeline ``training``: fit, evaluate, validate, register."""

import json
import logging
from pathlib import Path
from typing import Any

import mlflow
import pytest
from kedro.io import DatasetError
from support.projects import digests, run_pipeline

from driver_ranking.errors import FeatureServiceNotFoundError, ModelError, RequestError
from driver_ranking.model import ModelRegistry, RegistryLocation

RECORD = "data/06_models/registered_model_version.json"


def registry_of(project: Path) -> ModelRegistry:
    return ModelRegistry(RegistryLocation("driver_ranking", "champion", project / "data/06_models/mlflow"))


def latest_run(project: Path) -> Any:
    client = mlflow.MlflowClient(registry_of(project).location.uri)
    experiment = client.get_experiment_by_name("driver_ranking")
    assert experiment is not None
    return client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"], max_results=1)[0]


def test_the_model_beats_the_mean_and_is_the_champion(project: Path) -> None:
    run, model = latest_run(project), registry_of(project).resolve()
    assert model.run_id == run.info.run_id
    assert model.feature_names == ("conv_rate", "acc_rate", "avg_daily_trips")
    assert model.feature_service == "driver_ranking_v1"
    assert run.data.metrics["rmse"] < run.data.metrics["rmse_of_mean"]
    assert run.data.metrics["mae"] < run.data.metrics["mae_of_mean"]
    assert run.data.params["estimator"] == "sklearn.linear_model.ElasticNet"
    assert run.data.params["estimator.alpha"] == "0.001"
    assert json.loads((project / RECORD).read_text(encoding="utf-8"))["version"] == model.version


def test_metrics_and_a_plot_of_the_evaluation_are_in_mlflow(project: Path) -> None:
    run = latest_run(project)
    client = mlflow.MlflowClient(registry_of(project).location.uri)
    assert "evaluation.html" in [artifact.path for artifact in client.list_artifacts(run.info.run_id)]
    html = mlflow.artifacts.load_text(f"{run.info.artifact_uri}/evaluation.html")
    assert "mean score" in html
    assert "cdn.plot.ly" not in html.split("<body>")[1][:2000], "the plot must not need the network"
    reported = json.loads((project / "data/08_reporting/evaluation_metrics.json").read_text(encoding="utf-8"))
    assert reported == run.data.metrics


def test_training_again_makes_the_same_model_a_new_version(project: Path) -> None:
    before = latest_run(project).data.metrics
    run_pipeline(project, "training")
    assert latest_run(project).data.metrics == before
    assert registry_of(project).resolve().version == "2"
    assert json.loads((project / RECORD).read_text(encoding="utf-8"))["version"] == "2"


@pytest.mark.parametrize(
    ("thresholds", "said"),
    [
        ({"rmse": 0.3}, "is not at most the threshold 0.3000"),
        ({"mae": 0.1}, "is not at most the threshold 0.1000"),
    ],
)
def test_a_model_that_fails_is_logged_and_keeps_the_champion(
    project: Path, caplog: pytest.LogCaptureFixture, thresholds: dict[str, float], said: str
) -> None:
    before = digests(project / "data/06_models")[Path(RECORD).name]
    with caplog.at_level(logging.WARNING):
        run_pipeline(project, "training", {"training": {"thresholds": thresholds}})
    assert registry_of(project).resolve().version == "1"
    assert digests(project / "data/06_models")[Path(RECORD).name] == before
    assert latest_run(project).data.tags["validation"] == "failed"
    (message,) = [record.getMessage() for record in caplog.records if "failed its validation" in record.getMessage()]
    assert said in message


def test_a_model_that_is_no_better_than_the_mean_fails(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    constant = {"estimator": {"class": "sklearn.linear_model.ElasticNet", "arguments": {"alpha": 1000.0}}}
    with caplog.at_level(logging.WARNING):
        run_pipeline(project, "training", {"training": {**constant, "thresholds": {"rmse": 1.0, "mae": 1.0}}})
    assert registry_of(project).resolve().version == "1"
    assert any("of predicting the mean" in record.getMessage() for record in caplog.records)


def test_the_estimator_is_a_parameter(project: Path) -> None:
    parameters = project / "conf/base/parameters_training.yml"
    text = parameters.read_text(encoding="utf-8")
    text = text.replace("sklearn.linear_model.ElasticNet", "sklearn.ensemble.RandomForestRegressor")
    text = text.replace("alpha: 0.001", "n_estimators: 5").replace("l1_ratio: 0.5", "max_depth: 4")
    parameters.write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError, match=r"untrusted types.*`training\.trusted_types`"):
        run_pipeline(project, "training")
    assert registry_of(project).resolve().version == "1"
    parameters.write_text(text.replace("types: []", "types: [sklearn.tree._tree.Tree]"), encoding="utf-8")
    run_pipeline(project, "training")
    first = latest_run(project).data
    assert first.params["estimator"] == "sklearn.ensemble.RandomForestRegressor"
    run_pipeline(project, "training")
    assert latest_run(project).data.metrics == first.metrics, "the seed must reach the estimator"
    run_pipeline(project, "batch")


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        ({"class": "sklearn.linear_model.NoSuchThing", "arguments": {}}, "'sklearn.linear_model.NoSuchThing' can't be"),
        ({"class": "sklearn.linear_model.ElasticNet", "arguments": {"beta": 1}}, "unexpected keyword argument 'beta'"),
        ({"class": "ElasticNet", "arguments": {}}, "'ElasticNet' can't be made or fitted"),
    ],
)
def test_an_estimator_that_can_not_be_made_is_an_error(
    project: Path, estimator: dict[str, object], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        run_pipeline(project, "training", {"training": {"estimator": estimator}})


def test_an_unknown_feature_service_is_an_error(project: Path) -> None:
    with pytest.raises(FeatureServiceNotFoundError, match="no feature service 'v9'; it has: driver_ranking_v1"):
        run_pipeline(project, "training", {"training": {"feature_service": "v9"}})


def test_orders_without_the_label_are_refused(project: Path) -> None:
    with pytest.raises(RequestError, match=r"driver_orders\.csv: the label 'tip' is not among the columns"):
        run_pipeline(project, "training", {"training": {"label": "tip"}})


def test_too_few_orders_with_features_are_refused(project: Path) -> None:
    orders = project / "data/01_raw/driver_orders.csv"
    orders.write_text("event_timestamp,driver_id,trip_completed\n2026-06-10T00:00:00Z,1,1\n", encoding="utf-8")
    with pytest.raises(RequestError, match="0 orders with all features can't be split"):
        run_pipeline(project, "training")


def test_the_whole_project_runs_in_one_go(fresh_project: Path) -> None:
    run_pipeline(fresh_project, "__default__")
    assert (fresh_project / "data/07_model_output/batch_output.parquet").is_file()
    assert (fresh_project / "data/08_reporting/top_drivers.json").is_file()
    assert (fresh_project / "data/04_feature/materialization.json").is_file()


def test_another_registry_may_be_named_by_the_environment(
    fresh_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/elsewhere.db")
    monkeypatch.chdir(tmp_path)  # MLflow puts the artifacts of such a registry into the working directory
    run_pipeline(fresh_project, "training")
    run_pipeline(fresh_project, "batch")
    assert (tmp_path / "elsewhere.db").is_file()
    assert not (fresh_project / "data/06_models/mlflow").exists()
