"""The sample's second model, `kedro run --env v2`: it takes a trip, beats the first, and waits to be promoted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from support.projects import ROOT, copy_project, run_pipeline
from support.registries import registry_forgotten

from driver_ranking.errors import ModelTagError, RequestError
from driver_ranking.model import ModelRegistry, RegisteredModel, RegistryLocation

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

REQUESTED = ("trip_distance_km", "pickup_zone")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with both models: not to be changed."""
    project = copy_project(tmp_path_factory.mktemp("both") / "a project")
    with registry_forgotten():
        run_pipeline(project, "training")
        run_pipeline(project, "training", env="v2")
    return project


def registry_of(project: Path, alias: str) -> ModelRegistry:
    return ModelRegistry(RegistryLocation("driver_ranking", alias, project / "data/06_models/mlflow"))


def challenger(project: Path) -> RegisteredModel:
    return registry_of(project, "challenger").resolve()


def read_json(project: Path, path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((project / "data" / path).read_text(encoding="utf-8"))
    return found


def train(project: Path, training: Mapping[str, Any]) -> None:
    run_pipeline(project, "training", {"training": training}, env="v2")


def test_it_has_an_alias_of_its_own_and_the_champion_stays_the_first(both: Path) -> None:
    assert registry_of(both, "champion").resolve().version == "1"
    assert read_json(both, "06_models/registered_model_version.json")["version"] == "1"
    model = challenger(both)
    assert (model.version, model.feature_service) == ("2", "driver_ranking_v2")
    assert (model.candidate_key, model.request_features) == ("driver_id", REQUESTED)
    assert model.types["pickup_zone"] == "string"
    assert set(model.types.values()) == {"double", "string"}


def test_it_is_better_than_the_champion_on_the_same_rows_by_more_than_chance(both: Path) -> None:
    compared = read_json(both, "08_reporting/v2/champion_comparison.json")
    assert (compared["verdict"], compared["champion_version"], compared["rows_left_out"]) == ("not_worse", "1", 0)
    ours, theirs = compared["order"], compared["champion_order"]
    assert ours["rmse_high"] < theirs["rmse_low"]
    for name in ("mrr", "hit_rate_at_1", "ndcg_at_10"):
        assert ours[f"{name}_low"] > theirs[f"{name}_high"], name
    assert compared["trips"] > 300
    assert compared["trips_with_another_best"] > 100
    assert f"RMSE {compared['rmse']:.4f} (" in compared["summary"]


def test_it_is_better_because_of_the_trip_and_not_because_it_was_trained_on_these_orders(both: Path) -> None:
    rows = pd.read_parquet(both / "data/05_model_input/v2/test_rows.parquet")
    train_rows = pd.read_parquet(both / "data/05_model_input/v2/train_rows.parquet")
    registry = registry_of(both, "champion")
    first = registry.load(registry.resolve(1))
    names = list(first.model.feature_names)
    slope, offset = np.polyfit(first.predict(train_rows[names].to_numpy("float64")), train_rows["trip_completed"], 1)
    calibrated = offset + slope * first.predict(rows[names].to_numpy("float64"))
    rmse = float(np.sqrt(np.mean((calibrated - rows["trip_completed"]) ** 2)))
    assert read_json(both, "08_reporting/v2/evaluation_metrics.json")["rmse"] < rmse - 0.05


def test_the_best_driver_differs_by_trip(both: Path, tmp_path: Path) -> None:
    places = [("hills", 0.8), ("hills", 8.0), ("hills", 40.0), ("suburbs", 0.8), ("suburbs", 8.0), ("the moon", 8.0)]
    trips = [(f"{zone} {distance}", distance, zone) for zone, distance in places]
    request = pd.DataFrame(
        [
            {"event_timestamp": "2026-06-15T00:00:00Z", "driver_id": driver, "trip": trip}
            | dict(zip(REQUESTED, of, strict=True))
            for trip, *of in trips
            for driver in range(1001, 1051)
        ]
    )
    request.to_csv(tmp_path / "request.csv", index=False)
    run_pipeline(both, "batch", {"batch_request": str(tmp_path / "request.csv")}, env="v2")
    scored = pd.read_parquet(both / "data/07_model_output/v2/batch_output.parquet")
    assert set(scored.loc[scored["trip"] == "the moon 8.0", "status"]) == {"missing_features"}, "no zone of that name"
    scored = scored.dropna(subset="score")
    best = scored.loc[scored.groupby("trip")["score"].idxmax()].set_index("trip")["driver_id"]
    assert len(best) == 5
    assert len({best[f"hills {distance}"] for distance in (0.8, 8.0, 40.0)}) == 3, "by distance"
    assert best["hills 8.0"] != best["suburbs 8.0"], "by zone, in which another speed is usual"
    assert not (both / "data/07_model_output/batch_output.parquet").exists(), "the champion's output is its own"


def test_it_is_promoted_by_the_command_of_the_docs(both: Path) -> None:
    (line,) = [
        line.strip() for line in (ROOT / "Makefile").read_text(encoding="utf-8").splitlines() if "by_alias" in line
    ]
    program = line.partition(" -c ")[2].strip('"').replace("$$", "$")
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    subprocess.run([sys.executable, "-c", program], cwd=both, env=environment, check=True)
    client = mlflow.MlflowClient(registry_of(both, "champion").location.uri)
    try:
        assert registry_of(both, "champion").resolve().version == "2"
        run_pipeline(both, "batch", {"run_date": "2026-06-15"})
        scored = pd.read_parquet(both / "data/07_model_output/2026-06-15/batch_output.parquet")
        assert set(scored["model_version"]) == {"2"}
        assert (scored["status"] == "ok").sum() == 11
    finally:
        client.set_registered_model_alias("driver_ranking", "champion", "1")


def test_a_worse_challenger_is_kept_back(both: Path) -> None:
    train(both, {"estimator": {"arguments": {"C": 1e-9}}, "thresholds": {"rmse": 1, "mae": 1}})
    assert read_json(both, "08_reporting/v2/champion_comparison.json")["verdict"] == "worse"
    assert challenger(both).version == "2"


@pytest.mark.parametrize(
    ("training", "error", "said"),
    [
        (
            {"request_features": ["price"]},
            RequestError,
            "lack the column 'price', which the model that is to be trained",
        ),
        (
            {"request_features": ["trip_id"]},
            RequestError,
            "nothing says whether the request feature 'trip_id' is a num",
        ),
        (
            {"request_features": ["conv_rate"]},
            ModelTagError,
            "'conv_rate', which the feature service 'driver_ranking_v",
        ),
        (
            {"candidate_key": "trip_id"},
            RequestError,
            "'trip_id'; the join keys of the feature service 'driver_ranking_",
        ),
        ({"defaults": {"speed": 3}}, ModelTagError, "names 'speed', but the columns of the model's signature are"),
        (
            {"defaults": {"avg_speed_kmh": "slow"}},
            ModelTagError,
            "is the text 'slow', and the model takes it as double",
        ),
    ],
)
def test_what_a_model_could_not_take_is_refused_before_any_work(
    tmp_path: Path, training: dict[str, Any], error: type[Exception], said: str
) -> None:
    project = copy_project(tmp_path / "a project")
    with pytest.raises(error, match=said):
        train(project, training)
    assert not (project / "data/05_model_input").exists()


def test_a_distance_that_is_no_number_is_refused_with_its_row(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "a project")
    orders = project / "data/01_raw/trips.csv"
    orders.write_text(orders.read_text(encoding="utf-8").replace(",3.0,", ",far,", 1), encoding="utf-8")
    with pytest.raises(
        RequestError, match=r"trips\.csv: 1 value.*\n *row 1: 'far' in column 'trip_distance_km' is not"
    ):
        train(project, {})


def test_with_a_default_orders_that_lack_a_feature_are_trained_on_and_the_version_says_so(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "a project")
    orders = pd.read_csv(project / "data/01_raw/trips.csv", dtype=str)
    orders.loc[orders.index % 10 == 0, ["trip_distance_km", "pickup_zone"]] = ["", "nowhere"]
    orders.to_csv(project / "data/01_raw/trips.csv", index=False)
    nowhere = {"avg_speed_kmh": 25.0, "open_requests": 30, "trip_minutes": 17, "unusual_length": 0.8}
    train(project, {"defaults": {**nowhere, "trip_distance_km": 7.0}, "thresholds": {"rmse": 1, "mae": 1}})
    sizes = read_json(project, "08_reporting/v2/evaluation_metrics.json")
    assert sizes["train_rows"] + sizes["test_rows"] > 0.96 * len(orders), "those that lack a driver's are left out"
    assert dict(challenger(project).defaults) == {**nowhere, "trip_distance_km": 7.0}
    run_pipeline(project, "batch", env="v2")
    scored = pd.read_parquet(project / "data/07_model_output/v2/batch_output.parquet")
    assert scored["status"].value_counts().to_dict() == {"ok": 11, "missing_features": 3}


def test_orders_in_parquet_have_the_types_of_their_columns(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "a project")
    orders = pd.read_csv(project / "data/01_raw/trips.csv", parse_dates=["event_timestamp"])
    orders.assign(seats=orders["trip_id"] % 3).to_parquet(project / "data/01_raw/trips.parquet", index=False)
    catalog = project / "conf/v2/catalog.yml"
    catalog.write_text(catalog.read_text(encoding="utf-8").replace("trips.csv", "trips.parquet"), encoding="utf-8")
    train(project, {"request_features": ["seats", "pickup_zone"], "candidate_key": None})
    model = challenger(project)
    assert (model.types["seats"], model.types["pickup_zone"], model.candidate_key) == ("double", "string", None)
