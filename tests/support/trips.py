"""A project that ranks drivers for a trip: keys that are texts, composite or renamed, and what a request brings."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from sklearn.linear_model import LinearRegression

from driver_ranking.model import ModelRegistry, RegistryLocation, TrainedModel

if TYPE_CHECKING:
    from pathlib import Path

NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)
FEATURES = ("trips", "wait", "rain", "fare")
SERVICE = "trips_v1"
PAIRS = {("anna", 1): 5, ("anna", 2): 7, ("007", 1): 11, ("7", 1): 13}
WAITS = {"007": 1.5, "7": 2.5, "Zürich, West": 4.5}
RAIN = 0.25

_REPO = """
import pandas as pd
from feast import Entity, FeatureService, FeatureView, Field, FileSource, RequestSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Bool, Float64, Int64


def source(name):
    return FileSource(name=name, path=f"../data/01_raw/{name}.parquet", timestamp_field="at")


rider = Entity(name="rider", join_keys=["rider"], value_type=ValueType.STRING)
driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT32)
zone = Entity(name="zone", join_keys=["zone"], value_type=ValueType.STRING)
pairs = FeatureView(
    name="pairs", entities=[rider, driver], source=source("pairs"), schema=[Field(name="trips", dtype=Int64)]
)
zones = FeatureView(name="zones", entities=[zone], source=source("zones"), schema=[Field(name="wait", dtype=Float64)])
city = FeatureView(name="city", entities=[], source=source("city"), schema=[Field(name="rain", dtype=Float64)])
trip = RequestSource(
    name="trip",
    schema=[Field(name="km", dtype=Float64), Field(name="stops", dtype=Int64), Field(name="night", dtype=Bool)],
)


@on_demand_feature_view(sources=[pairs, trip], schema=[Field(name="fare", dtype=Float64)])
def fares(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"fare": inputs["km"] * (1 + inputs["night"].astype("float64")) + inputs["stops"]})


trips_v1 = FeatureService(
    name="trips_v1",
    features=[pairs, zones.with_name("pickup").with_join_key_map({"zone": "pickup_zone"}), city, fares],
)
"""


def write_trips(project: Path) -> None:
    """Replace a project's feature repo, its data and the keys in its catalog, and register a model of four numbers."""
    for file in (project / "feature_repo").glob("*.py"):
        file.unlink()
    (project / "feature_repo/definitions.py").write_text(_REPO, encoding="utf-8")
    at = NOON - timedelta(hours=1)
    raw = project / "data/01_raw"
    pairs = [(rider, driver, at, trips) for (rider, driver), trips in PAIRS.items()]
    frame = pd.DataFrame(pairs, columns=["rider", "driver_id", "at", "trips"]).astype({"driver_id": "int32"})
    frame.to_parquet(raw / "pairs.parquet")
    pd.DataFrame([(zone, at, wait) for zone, wait in WAITS.items()], columns=["zone", "at", "wait"]).to_parquet(
        raw / "zones.parquet"
    )
    pd.DataFrame({"at": [at], "rain": [RAIN]}).to_parquet(raw / "city.parquet")
    _name_no_keys(project)
    register(project, FEATURES)


def _name_no_keys(project: Path) -> None:
    """Leave the keys of requests and orders to the feature repo, in the configuration."""
    for file in ("conf/base/catalog.yml", "conf/spark/catalog.yml"):
        path = project / file
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("  key_columns: [driver_id]\n", ""), encoding="utf-8")
    path = project / "conf/base/parameters_training.yml"
    given = yaml.safe_load(path.read_text(encoding="utf-8"))
    given["training"] |= {"feature_service": SERVICE, "thresholds": {"rmse": 9, "mae": 9}}
    path.write_text(yaml.safe_dump(given), encoding="utf-8")


def register(project: Path, features: tuple[str, ...], tags: dict[str, str] | None = None) -> None:
    """Make a model the champion whose score is the sum of its features, each with its place in them as the weight."""
    rows = np.random.default_rng(17).normal(size=(50, len(features)))
    estimator = LinearRegression(fit_intercept=False).fit(rows, rows @ np.arange(1, len(features) + 1))
    trained = TrainedModel(estimator, features, SERVICE, rows[:2], {}, {}, {}, ())
    registry = registry_of(project)
    version = registry.promote(registry.log(trained), SERVICE)
    client = mlflow.MlflowClient(registry.location.uri)
    for name, value in (tags or {}).items():
        client.set_model_version_tag(version.name, version.version, name, value)


def registry_of(project: Path) -> ModelRegistry:
    """Return the project's registry."""
    return ModelRegistry(RegistryLocation("driver_ranking", "champion", project / "data/06_models/mlflow"))


def request_rows() -> list[dict[str, Any]]:
    """Return rows of a request as texts, as a CSV file has them."""
    names = ("event_timestamp", "rider", "driver_id", "pickup_zone", "km", "stops", "night", "note")
    rows = [
        ("2026-06-15T12:00:00Z", "anna", "1", "007", "2.5", "1", "true", "01"),
        ("2026-06-15T12:00:00Z", "anna", "2", "7", "1e1", "0", "FALSE", ""),
        ("2026-06-15T14:00:00+02:00", "007", "1", "Zürich, West", "3", "-2", "false", "a"),
        ("2026-06-15T12:00:00Z", "7", "1", "7", "4", "3", "true", "b"),
        ("2026-06-15T12:00:00Z", "7", "2147483647", "7", "4", "3", "true", "no such driver"),
        ("2026-06-15T12:00:00Z", "anna", "1", "0007", "4", "3", "true", "no such zone"),
        ("2026-06-15T12:00:00Z", "anna", "1", "7", "", "3", "true", "no km"),
    ]
    return [dict(zip(names, row, strict=True)) for row in rows]


def expected(row: dict[str, Any]) -> tuple[list[float | None], float | None]:
    """Return the features of such a row, and its score; None for what is missing."""
    trips, wait = PAIRS.get((row["rider"], int(row["driver_id"]))), WAITS.get(row["pickup_zone"])
    fare = None
    if trips is not None and row["km"]:
        fare = float(row["km"]) * (2 if row["night"] == "true" else 1) + int(row["stops"])
    features = [trips, wait, RAIN, fare]
    known = [value for value in features if value is not None]
    score = sum(place * value for place, value in enumerate(known, 1)) if len(known) == len(features) else None
    return features, score


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    """Write rows of texts: into a Parquet file with the types that the repo declares."""
    if path.suffix == ".parquet":
        pq.write_table(typed(rows), path)
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    return str(path)


def typed(rows: list[dict[str, Any]]) -> pa.Table:
    """Return rows of texts with the types that the repo declares."""
    frame = pd.DataFrame(rows)
    frame["event_timestamp"] = pd.to_datetime(frame["event_timestamp"], utc=True)
    frame["night"] = frame["night"].str.lower() == "true"
    frame = frame.assign(**{name: pd.to_numeric(frame[name]) for name in ("driver_id", "km", "stops")})
    return pa.Table.from_pandas(frame, preserve_index=False)
