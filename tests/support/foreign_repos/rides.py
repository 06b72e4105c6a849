"""Rides: a rider and a driver are one key, a zone another that the model takes too, with what only a request knows."""

from __future__ import annotations

import itertools
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import lightgbm
import mlflow.lightgbm
import numpy as np
import pandas as pd
from mlflow.models import infer_signature

from driver_ranking.serving.contract import Input, RankingContract
from support.foreign_repos.project import ForeignProject, install_definitions, register, say_what_orders_have
from support.queries import Query

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from numpy.typing import NDArray

RIDERS = [7, -1, 2**40]
DRIVERS = [f"driver {number}" for number in range(12)] + ["7", "007", "Zoë, the elder"]
NEWCOMER, UNKNOWN, TIRED, NULL = "newcomer", "unknown", "last seen long ago", "no acceptance"
ALL_DRIVERS = [*DRIVERS, NEWCOMER, UNKNOWN, TIRED, NULL]
ZONES, OLD_ZONE = ["north", "süd", "0"], "abandoned"
PICKUPS = ["street", "station", "Flughafen Zürich"]
TAGS = {
    "feature_service": "rides_v1",
    "candidate_key": "driver_id",
    "request_features": "distance_km, is_raining, pickup, zone",
    "defaults": json.dumps({"shared_trips": 0, "is_raining": False}),
}
TRAINING = {
    "feature_service": "rides_v1",
    "candidate_key": "driver_id",
    "request_features": ["distance_km", "pickup", "is_raining", "zone"],
    "defaults": {"shared_trips": 0, "is_raining": False},
    "estimator": {"arguments": {"alpha": 0.1}},  # demand and zone say the same
}
CONTRACT = RankingContract(
    Input("driver_id", "BYTES"),
    keys=(Input("rider_id", "INT64"), Input("zone", "BYTES")),
    request=(Input("pickup", "BYTES"), Input("distance_km", "FP64"), Input("is_raining", "BOOL")),
    features={
        "pickup": "BYTES",
        "demand": "FP64",
        "distance_km": "FP64",
        "shared_trips": "INT64",
        "acceptance": "FP32",
        "zone": "BYTES",  # a key of its own, and what the model takes of the request
        "is_raining": "BOOL",
        "tip_rate": "FP64",
        "on_shift": "BOOL",
    },
    optional=("is_raining",),
)


def write_rides(project: Path, now: datetime) -> ForeignProject:
    """Make a project one of rides."""
    install_definitions(project, "rides")
    say_what_orders_have(project, {"distance_km": "number", "pickup": "text", "is_raining": "boolean"})
    rng = np.random.default_rng(29)
    for name, rows in _tables(rng, now).items():
        rows.to_parquet(project / f"data/01_raw/{name}.parquet", index=False)
    example = _features(rng, 400)[list(CONTRACT.features)]
    label = example["acceptance"] * example["distance_km"] + 3 * (example["pickup"] == "street") + example["demand"]
    label += 2 * (example["zone"] == "süd")
    regressor = lightgbm.LGBMRegressor(n_estimators=20, min_child_samples=5, verbose=-1)
    model = regressor.fit(_categories(example), label)

    def log() -> Any:
        signature = infer_signature(example)
        return mlflow.lightgbm.log_model(model, name="model", signature=signature, pip_requirements=["lightgbm"])

    def scores(rows: pd.DataFrame) -> NDArray[np.float64]:
        return np.asarray(model.predict(_categories(rows)))

    register(project, log, TAGS)
    defaults = {"shared_trips": 0, "is_raining": False, "tip_rate": 0.05}
    return ForeignProject(project, now, CONTRACT, _queries(rng), defaults, TRAINING, example, scores)


def _categories(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.astype({"pickup": pd.CategoricalDtype(PICKUPS), "zone": pd.CategoricalDtype([*ZONES, OLD_ZONE])})


def _features(rng: np.random.Generator, count: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "pickup": rng.choice(np.array(PICKUPS, dtype=object), count),
            "demand": rng.uniform(0, 5, count),
            "distance_km": rng.gamma(2, 4, count),
            "shared_trips": rng.integers(0, 20, count),
            "acceptance": rng.random(count, dtype=np.float32),
            "is_raining": rng.random(count) < 0.5,
            "zone": rng.choice(np.array(ZONES, dtype=object), count),
            "tip_rate": rng.random(count),
            "on_shift": rng.random(count) < 0.5,
        }
    )


def _tables(rng: np.random.Generator, now: datetime) -> dict[str, pd.DataFrame]:
    """What is known of riders with drivers, of zones and of drivers, newcomers and what is too old among them."""
    known = [*DRIVERS, UNKNOWN, TIRED, NULL]
    pairs = pd.DataFrame(list(itertools.product(RIDERS[:2], known)), columns=["rider_id", "driver_id"])
    pairs = pairs.assign(at=now - timedelta(days=1), **_of(rng, pairs, "shared_trips", "tip_rate"))
    pairs.loc[pairs["driver_id"] == "driver 3", "at"] = now - timedelta(days=31)
    pairs["tip_rate"] = pairs["tip_rate"].where(pairs["driver_id"] != "driver 4")
    zones = pd.DataFrame({"zone": [*ZONES, OLD_ZONE], "nickname": "the zone"})
    zones = zones.assign(at=now - timedelta(hours=1), **_of(rng, zones, "demand"))
    zones.loc[zones["zone"] == OLD_ZONE, "at"] = now - timedelta(hours=7)
    drivers = pd.DataFrame({"driver_id": [*DRIVERS, NEWCOMER, TIRED, NULL]})
    drivers = drivers.assign(at=now - timedelta(hours=2), **_of(rng, drivers, "acceptance", "on_shift"))
    drivers.loc[drivers["driver_id"] == TIRED, "at"] = now - timedelta(hours=25)
    drivers["acceptance"] = drivers["acceptance"].where(drivers["driver_id"] != NULL)
    return {"pairs": pairs, "zones": zones, "drivers": drivers}


def _of(rng: np.random.Generator, rows: pd.DataFrame, *names: str) -> dict[str, Any]:
    """Return some features for rows."""
    return {str(name): column for name, column in _features(rng, len(rows))[list(names)].items()}


def _queries(rng: np.random.Generator) -> tuple[Query, ...]:
    """Trips of one rider, zone and distance each; then what differs by candidate, and what is missing."""

    def query(drivers: list[str], rider: list[int], zone: list[str], **request: list[Any]) -> Query:
        trip: dict[str, list[Any]] = {"pickup": ["station"], "distance_km": [3.5], "is_raining": [True]}
        return Query(drivers, {"rider_id": rider, "zone": zone}, trip | request)

    mixed, count = rng.permutation(ALL_DRIVERS).tolist(), len(ALL_DRIVERS)
    apart: dict[str, list[Any]] = {
        "pickup": [*PICKUPS, "nowhere", None],
        "distance_km": [0.1, 25.0, None],
        "is_raining": [True, False, None],
    }
    return (
        query(mixed, [7], ["north"]),
        query(mixed, [7], ["süd"], distance_km=[31.25], pickup=["Flughafen Zürich"]),
        query(mixed, [2**40], ["0"], is_raining=[None]),  # has never taken a ride
        query(
            [*mixed, "7"],
            rng.choice(RIDERS, count + 1).tolist(),
            rng.choice([*ZONES, OLD_ZONE, "no such zone"], count + 1).tolist(),
            **{name: rng.choice(np.array(values, dtype=object), count + 1).tolist() for name, values in apart.items()},
        ),
        query(["7", "007"], [7], [OLD_ZONE]),
        query(["7", "007"], [7], ["north"], distance_km=[None]),
    )
