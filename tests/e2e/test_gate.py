"""The gate of pipeline ``training``: a model that is worse than the champion is registered, and not promoted."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from support.projects import copy_project, digests, kedro_command, run_pipeline

from driver_ranking.errors import RequestError
from driver_ranking.model import GATE_TAG, ModelRegistry, RegistryLocation

if TYPE_CHECKING:
    from collections.abc import Mapping

RECORD = "data/06_models/registered_model_version.json"
SIDES = ("train", "test")
WORSE = {"estimator": {"arguments": {"alpha": 0.05}}}
KEPT_BACK = "without promoting it: the alias 'champion' stays where it is. "
MORE = """

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource
from feast.types import Float64

from entities import driver

driver_more = FeatureView(
    name="driver_more",
    entities=[driver],
    ttl=timedelta(days=36500),
    schema=[Field(name="share", dtype=Float64)],
    source=FileSource(name="driver_more", path="../data/01_raw/driver_more.parquet", timestamp_field="datetime"),
)
driver_ranking_more = FeatureService(name="driver_ranking_more", features=[driver_more])
"""


def registry_of(project: Path) -> ModelRegistry:
    return ModelRegistry(RegistryLocation("driver_ranking", "champion", project / "data/06_models/mlflow"))


def client_of(project: Path) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(registry_of(project).location.uri)


def champion(project: Path) -> str:
    return registry_of(project).named_version()


def gate_tag(project: Path, version: str) -> str:
    return str(client_of(project).get_model_version("driver_ranking", version).tags[GATE_TAG])


def metrics_of(project: Path, version: str) -> dict[str, float]:
    client = client_of(project)
    run_id = client.get_model_version("driver_ranking", version).run_id
    assert run_id
    return dict(client.get_run(run_id).data.metrics)


def comparison(project: Path) -> dict[str, Any]:
    return dict(json.loads((project / "data/08_reporting/champion_comparison.json").read_text(encoding="utf-8")))


def train(project: Path, training: Mapping[str, Any] | None = None, **others: Any) -> None:
    run_pipeline(project, "training", {"training": {**(training or {}), **others}})


def test_a_first_model_has_nothing_to_beat(project: Path) -> None:
    assert champion(project) == "1"
    assert gate_tag(project, "1") == "promoted"
    assert comparison(project)["verdict"] == "no_champion"
    assert "champion_rmse" not in metrics_of(project, "1")


def test_what_is_held_out_are_the_last_orders(project: Path) -> None:
    train_rows, test_rows = (pd.read_parquet(project / f"data/05_model_input/{side}_rows.parquet") for side in SIDES)
    assert train_rows["event_timestamp"].max() < test_rows["event_timestamp"].min()
    rows = pd.concat([train_rows, test_rows])
    assert rows["event_timestamp"].is_monotonic_increasing, "they keep the order of the request, which is that of time"
    assert len(test_rows) == math.ceil(0.2 * len(rows))


def test_a_model_that_is_worse_is_registered_and_not_promoted_and_the_run_says_so(project: Path) -> None:
    parameters = project / "conf/base/parameters_training.yml"
    given = yaml.safe_load(parameters.read_text(encoding="utf-8"))
    given["training"]["estimator"]["arguments"]["alpha"] = 0.05
    parameters.write_text(yaml.safe_dump(given), encoding="utf-8")
    record = digests(project / "data/06_models")[Path(RECORD).name]
    ended = kedro_command(project, "run", "--pipelines", "training")
    assert ended.returncode == 0, ended.stderr
    (line,) = [line for line in ended.stderr.splitlines() if KEPT_BACK in line]
    compared, shown = comparison(project), metrics_of(project, "2")
    assert compared["verdict"] == "worse"
    assert compared["rmse"] > compared["champion_rmse"]
    said = f"RMSE {compared['rmse']:.6f} is above {compared['champion_rmse']:.6f} of version 1 on the same 776 held-out"
    assert said in line
    assert "Registered the model 'driver_ranking' version 2 without" in line
    assert (champion(project), gate_tag(project, "2")) == ("1", "kept_back")
    assert digests(project / "data/06_models")[Path(RECORD).name] == record
    expected = {"rmse_on_shared_rows": compared["rmse"], "champion_rmse": compared["champion_rmse"], "shared_rows": 776}
    assert expected.items() <= shown.items()
    assert shown["rmse"] == shown["rmse_on_shared_rows"], "the service is the same, so all rows are shared"
    assert metrics_of(project, "1")["rmse"] == compared["champion_rmse"]
    promote_by_hand(line)
    assert champion(project) == "2"


def promote_by_hand(line: str) -> None:
    """Do what the line says."""
    found = re.search(r"MlflowClient\('(.*)'\)\.set_registered_model_alias\('(.*)', '(.*)', '(.*)'\)\.$", line)
    assert found
    uri, name, alias, version = found.groups()
    mlflow.MlflowClient(uri).set_registered_model_alias(name, alias, version)


def test_a_better_model_is_promoted_and_always_promotes_a_worse_one(project: Path) -> None:
    train(project, WORSE, promote="always")
    assert (champion(project), gate_tag(project, "2"), comparison(project)["verdict"]) == ("2", "promoted", "worse")
    assert json.loads((project / RECORD).read_text(encoding="utf-8"))["version"] == "2"
    train(project)
    assert (champion(project), gate_tag(project, "3"), comparison(project)["verdict"]) == ("3", "promoted", "not_worse")
    assert metrics_of(project, "3")["champion_rmse"] == metrics_of(project, "2")["rmse"]


def test_a_model_that_fails_the_thresholds_is_not_registered_whatever_the_gate_says(project: Path) -> None:
    with pytest.raises(Exception, match="failed its validation"):
        train(project, promote="always", thresholds={"rmse": 0.1})
    assert [version.version for version in versions(project)] == [1]


def test_an_alias_that_moves_after_the_comparison_is_not_taken_from_the_version_it_names(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(project)
    client_of(project).set_registered_model_alias("driver_ranking", "champion", "1")
    run_pipeline(project, "training", nodes=["compare_with_champion"])
    assert comparison(project)["verdict"] == "not_worse"
    client_of(project).set_registered_model_alias("driver_ranking", "champion", "2")
    run_pipeline(project, "training", nodes=["validate_model"])
    assert (champion(project), gate_tag(project, "3")) == ("2", "kept_back")
    assert "It was compared with version 1, and by now the alias names version 2." in caplog.text


def versions(project: Path) -> list[Any]:
    return list(client_of(project).search_model_versions("name = 'driver_ranking'"))


@pytest.fixture
def of_two_services(fresh_project: Path) -> Path:
    """A project with a second service, whose feature a tenth of the drivers lacks, and a champion on it."""
    stats = pd.read_parquet(fresh_project / "data/01_raw/driver_stats.parquet")
    drivers = pd.DataFrame({"driver_id": sorted(set(stats["driver_id"]))}).query("driver_id % 10 != 0")
    shares = drivers.assign(datetime=stats["datetime"].min(), share=drivers["driver_id"].map(share_of))
    shares.to_parquet(fresh_project / "data/01_raw/driver_more.parquet", index=False)
    (fresh_project / "feature_repo/more.py").write_text(MORE.lstrip(), encoding="utf-8")
    loose = {"rmse": 9, "mae": 9}
    train(
        fresh_project, feature_service="driver_ranking_more", estimator={"arguments": {"alpha": 1e-9}}, thresholds=loose
    )
    return fresh_project


def share_of(driver: int) -> float:
    return math.sin(driver)


def test_a_champion_of_another_service_is_given_its_own_features_of_the_same_rows(of_two_services: Path) -> None:
    train(of_two_services)
    rows = pd.read_parquet(of_two_services / "data/05_model_input/test_rows.parquet")
    shared = rows[rows["driver_id"] % 10 != 0]
    compared = comparison(of_two_services)
    assert (compared["verdict"], compared["champion_version"]) == ("not_worse", "1")
    assert (compared["rows"], compared["rows_left_out"]) == (len(shared), len(rows) - len(shared))
    assert compared["rows_left_out"] > 10
    registry = registry_of(of_two_services)
    theirs = registry.load(registry.resolve(1)).predict(shared[["driver_id"]].map(share_of).to_numpy("float64"))
    own = shared[list(registry.resolve(2).feature_names)].to_numpy("float64")
    ours = registry.load(registry.resolve(2)).predict(own)
    label = shared["trip_completed"].to_numpy("float64")
    assert compared["champion_rmse"] == pytest.approx(math.sqrt(np.mean((theirs - label) ** 2)), rel=1e-12)
    assert compared["rmse"] == pytest.approx(math.sqrt(np.mean((ours - label) ** 2)), rel=1e-12)
    assert metrics_of(of_two_services, "2")["rmse"] != compared["rmse"], "that one is of all held-out rows"
    assert champion(of_two_services) == "2"


def without_files(project: Path) -> None:
    for file in Path(registry_of(project).resolve().local_path).glob("*.skops"):
        file.unlink()


def without_service(project: Path) -> None:
    client_of(project).set_model_version_tag("driver_ranking", "1", "feature_service", "gone")


def without_feature(project: Path) -> None:
    """Let the champion's service offer less than the champion takes, and train on another one."""
    services = project / "feature_repo/feature_services.py"
    poor = """poor_v1 = FeatureService(name="poor_v1", features=[driver_stats[["conv_rate"]]])\n"""
    services.write_text(services.read_text(encoding="utf-8") + poor, encoding="utf-8")
    client_of(project).set_model_version_tag("driver_ranking", "1", "feature_service", "poor_v1")


@pytest.mark.parametrize(
    ("breaks", "said"),
    [
        (without_files, "The model 'driver_ranking' version 1 can't be loaded: "),
        (without_service, "no feature service 'gone'"),
        (without_feature, "The model wants 'acc_rate', 'avg_daily_trips', but the feature service 'poor_v1' offers"),
    ],
)
def test_beside_a_champion_that_can_not_be_compared_nothing_is_promoted_unless_always(
    project: Path, caplog: pytest.LogCaptureFixture, breaks: Any, said: str
) -> None:
    breaks(project)
    train(project)
    (line,) = [record.getMessage() for record in caplog.records if KEPT_BACK in record.getMessage()]
    assert f"{KEPT_BACK}It can't be compared with version 1: " in line
    assert said in line
    assert "`training.promote: always` it would be promoted" in line
    assert "\n" not in line
    assert (champion(project), gate_tag(project, "2")) == ("1", "kept_back")
    assert comparison(project)["verdict"] == "not_comparable"
    train(project, promote="always")
    assert (champion(project), gate_tag(project, "3")) == ("3", "promoted")


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ({"promote": "sometimes"}, "'if_not_worse' or 'always', not 'sometimes'"),
        ({"ndcg_k": 0}, "`training.ndcg_k` is a number of places, at least 1, not 0"),
    ],
)
def test_what_can_not_be_is_refused_before_any_extraction(project: Path, training: dict[str, Any], said: str) -> None:
    (project / "data/05_model_input/training_rows.parquet").unlink()
    with pytest.raises(RequestError, match=said):
        train(project, training)
    assert not (project / "data/05_model_input/training_rows.parquet").exists()


def test_orders_with_a_column_of_trips_are_evaluated_trip_by_trip(project: Path) -> None:
    orders = pd.read_csv(project / "data/01_raw/driver_orders.csv")
    trip = np.arange(len(orders)) // 4
    orders.assign(trip_id=[f"trip {number}" for number in trip]).to_csv(
        project / "data/01_raw/driver_orders.csv", index=False
    )
    train(project, group_column="trip_id", ndcg_k=3)
    metrics = json.loads((project / "data/08_reporting/evaluation_metrics.json").read_text(encoding="utf-8"))
    rows = pd.read_parquet(project / "data/05_model_input/test_rows.parquet")
    registry = registry_of(project)
    model = registry.resolve(2)
    rows["score"] = registry.load(model).predict(rows[list(model.feature_names)].to_numpy("float64"))
    first: list[bool] = []
    for _, candidates in rows.groupby("trip_id"):
        if len(candidates) > 1 and candidates["trip_completed"].any():
            ranked = candidates.sort_values("score", ascending=False, kind="stable")
            first.append(bool(ranked["trip_completed"].iloc[0] > 0))
    assert metrics["ranked_groups"] == len(first) > 100
    assert metrics["hit_rate_at_1"] == pytest.approx(np.mean(first), abs=1e-12)
    for name in ("ndcg_at_3", "mrr", "hit_rate_at_1"):
        assert 0 < metrics[f"{name}_low"] < metrics[name] < metrics[f"{name}_high"] < 1
        assert metrics_of(project, "2")[name] == metrics[name]


def test_a_column_of_trips_that_the_orders_lack_is_refused(tmp_path: Path) -> None:
    fresh = copy_project(tmp_path / "a project")
    with pytest.raises(RequestError, match=r"driver_orders\.csv: the group column 'trip' is not among the columns"):
        train(fresh, group_column="trip")
