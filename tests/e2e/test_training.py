"""Pipeline ``training``: fit, evaluate, validate, register."""

import json
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
import yaml
from support.projects import digests, kedro_command, run_pipeline

from driver_ranking.errors import FeatureServiceNotFoundError, ModelError, ModelValidationError, RequestError
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
    same = {"rmse_on_shared_rows": before["rmse"], "mae_on_shared_rows": before["mae"]}
    champion = {"champion_rmse": before["rmse"], "champion_mae": before["mae"], "shared_rows": before["test_rows"]}
    assert latest_run(project).data.metrics == {**before, **same, **champion}
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
    project: Path, thresholds: dict[str, float], said: str
) -> None:
    before = digests(project / "data/06_models")[Path(RECORD).name]
    with pytest.raises(ModelValidationError, match=f"failed its validation and is not registered.*{said}"):
        run_pipeline(project, "training", {"training": {"thresholds": thresholds}})
    assert registry_of(project).resolve().version == "1"
    assert digests(project / "data/06_models")[Path(RECORD).name] == before
    assert latest_run(project).data.tags["validation"] == "failed"


def test_a_model_that_is_no_better_than_the_mean_fails(project: Path) -> None:
    constant = {"estimator": {"class": "sklearn.linear_model.ElasticNet", "arguments": {"alpha": 1000.0}}}
    with pytest.raises(ModelValidationError, match="of predicting the mean"):
        run_pipeline(project, "training", {"training": {**constant, "thresholds": {"rmse": 1.0, "mae": 1.0}}})
    assert registry_of(project).resolve().version == "1"


def test_a_validation_that_fails_ends_the_command_with_an_exit_code_of_its_own(project: Path) -> None:
    use_estimator(project, "sklearn.linear_model.ElasticNet", {"alpha": 1000.0})
    ended = kedro_command(project, "run", "--pipelines", "training", "--runner", "ThreadRunner")
    assert ended.returncode == 3, ended.stderr
    said = ended.stdout + ended.stderr
    assert "Error: The model failed its validation and is not registered" in said
    assert registry_of(project).resolve().version == "1"


def use_estimator(project: Path, name: str, arguments: dict[str, Any], **others: Any) -> None:
    """Write the estimator into the parameters: what is given at a run's start is merged with the others' arguments."""
    parameters = project / "conf/base/parameters_training.yml"
    given = yaml.safe_load(parameters.read_text(encoding="utf-8"))
    given["training"] |= {"estimator": {"class": name, "arguments": arguments}, **others}
    parameters.write_text(yaml.safe_dump(given), encoding="utf-8")


def test_the_estimator_is_a_parameter_and_a_forest_needs_no_more(project: Path) -> None:
    forest = {"n_estimators": 5, "max_depth": 4}
    use_estimator(project, "sklearn.ensemble.RandomForestRegressor", forest, promote="always")
    run_pipeline(project, "training")
    assert latest_run(project).data.params["estimator"] == "sklearn.ensemble.RandomForestRegressor"
    first = (project / "data/08_reporting/evaluation_metrics.json").read_text(encoding="utf-8")
    run_pipeline(project, "training")
    again = (project / "data/08_reporting/evaluation_metrics.json").read_text(encoding="utf-8")
    assert again == first, "the seed must reach the estimator"
    assert registry_of(project).resolve().version == "3"
    run_pipeline(project, "batch")


def test_a_classifier_ranks_by_the_probability_of_the_outcome(project: Path) -> None:
    use_estimator(project, "sklearn.linear_model.LogisticRegression", {}, promote="always")
    run_pipeline(project, "training")
    metrics = latest_run(project).data.metrics
    assert metrics["rmse"] < metrics["rmse_of_mean"], "labels of 0 and 1 would be worse than the mean"
    registry = registry_of(project)
    flavors = mlflow.models.Model.load(registry.resolve().local_path).flavors
    assert flavors["python_function"]["predict_fn"] == "predict_proba"
    run_pipeline(project, "batch")
    batch = pd.read_parquet(project / "data/07_model_output/batch_output.parquet").dropna(subset="score")
    features = batch[list(registry.resolve().feature_names)].to_numpy("float64")
    assert batch["score"].between(0.01, 0.99).all()
    assert registry.load(registry.resolve()).predict(features) == pytest.approx(batch["score"], rel=1e-12)


def test_a_library_of_others_has_to_be_trusted_before_the_fit_and_is_named_as_needed(project: Path) -> None:
    use_estimator(project, "xgboost.XGBClassifier", {"n_estimators": 5, "max_depth": 2})
    with pytest.raises(ModelError, match=r"not trusted.*: xgboost\.core\.Booster, xgboost\.sklearn\.XGBClass"):
        run_pipeline(project, "training")
    assert registry_of(project).resolve().version == "1"
    trusted = ["xgboost.core.Booster", "xgboost.sklearn.XGBClassifier"]
    trees = {"n_estimators": 5, "max_depth": 2}
    use_estimator(project, "xgboost.XGBClassifier", trees, trusted_types=trusted, promote="always")
    run_pipeline(project, "training")
    folder = Path(registry_of(project).resolve().local_path)
    needed = (folder / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert [line.partition("==")[0] for line in needed] == ["mlflow", "scikit-learn", "xgboost-cpu"]
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
