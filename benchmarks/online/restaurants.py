"""Another world than the sample: text ids, a zone that all candidates share, and what only a request knows."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from borrowed import copy_project
from numpy.typing import NDArray
from online.requests_for import Asked
from online.world import World, champion_scores, location, materialized

HERE = Path(__file__).parent
SERVICE = "restaurants_v1"
STORED, OF_ZONE, OF_REQUEST = ("rating", "on_time_rate", "daily_orders"), "open_orders", ("distance_km", "minutes_left")
COLUMNS = (*STORED, OF_ZONE, *OF_REQUEST)
ZONES = 200
TAGS = {"candidate_key": "restaurant_id", "request_features": ", ".join(OF_REQUEST)}


def make_restaurants(folder: Path, address: str, count: int) -> World:
    """Write features, fit and register a linear model as the sample's is one, and materialize into a Redis."""
    project = copy_project(folder / "restaurants")
    for file in (project / "feature_repo").glob("*.py"):
        file.unlink()
    shutil.copyfile(HERE / "restaurants_repo.py", project / "feature_repo/definitions.py")
    random = np.random.default_rng(6)
    ids, values = _write(project, "restaurants", "restaurant_id", [f"restaurant {n:05d}" for n in range(count)], random)
    zones, open_orders = _write(project, "zones", "zone", [f"zone {number}" for number in range(ZONES)], random)
    _register(project, np.column_stack([values, open_orders[random.integers(0, ZONES, count)], _trips(random, count)]))
    variables = materialized(project, address)
    places = {text: place for place, text in enumerate(ids.tolist())}
    predict = champion_scores(project, COLUMNS)

    def scores(asked: Asked) -> NDArray[np.float64]:
        own = values[[places[text] for text in asked["restaurant_id"].tolist()]]
        shared = [open_orders[zones.tolist().index(asked["zone"][0])], *(asked[name] for name in OF_REQUEST)]
        return predict(np.column_stack([own, *(np.repeat(one, len(own)) for one in shared)]))

    return World(project, variables, SERVICE, "PlainTextsRuntime", known=ids, request=_requests(zones), scores=scores)


def _requests(zones: NDArray[Any]) -> Callable[[NDArray[Any]], Asked]:
    """Return what makes a request of some ids, with another zone and trip each time; all candidates share them."""
    random = np.random.default_rng(7)

    def request(ids: NDArray[Any]) -> Asked:
        trip = _trips(random, 1)
        return {
            "restaurant_id": ids,
            "zone": random.choice(zones, 1),
            **{name: trip[:, place] for place, name in enumerate(OF_REQUEST)},
        }

    return request


def _trips(random: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Return what requests know, as JSON spells it: two decimals."""
    return np.column_stack([random.gamma(2, 3, count), random.uniform(10, 60, count)]).round(2)


def _write(
    project: Path, name: str, key: str, ids: list[str], random: np.random.Generator
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Write one row for each id with nothing missing, and return the ids and the features ``[n, k]``."""
    count = len(ids)
    moments = pa.array([datetime(2026, 6, 14, tzinfo=UTC)] * count, pa.timestamp("us", "UTC"))
    columns: dict[str, NDArray[Any]] = {"open_orders": random.random(count, dtype=np.float32)}
    if name == "restaurants":
        rates = random.random((2, count), dtype=np.float32)
        columns = dict(zip(STORED, [*rates, random.integers(0, 300, count, dtype=np.int32)], strict=True))
    pq.write_table(pa.table({"datetime": moments, key: ids, **columns}), project / f"data/01_raw/{name}.parquet")
    return np.array(ids, dtype=object), np.column_stack(list(columns.values())).astype(np.float64)


def _register(project: Path, rows: NDArray[np.float64]) -> None:
    """Fit a model on numbers alone, and make it the champion."""
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from driver_ranking.model import ModelRegistry, TrainedModel

    label = rows @ np.array([1.0, 0.5, 0.002, -0.3, -0.05, 0.01])
    estimator = make_pipeline(StandardScaler(), LinearRegression()).fit(rows, label)
    registry = ModelRegistry(location(project))
    trained = TrainedModel(estimator, COLUMNS, SERVICE, rows[:3], {}, {}, {}, ())
    registry.promote(registry.log(trained), SERVICE, TAGS)
