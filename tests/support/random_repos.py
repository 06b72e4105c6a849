"""Projects with a random feature repo and a random model, to compare ways of serving them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import ElasticNet, LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from driver_ranking.model import ModelRegistry, RegistryLocation, TrainedModel

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
DRIVERS = range(1, 81)
TYPES = {"Float32": pa.float32(), "Float64": pa.float64(), "Int32": pa.int32(), "Int64": pa.int64()}
TTLS = (None, timedelta(hours=2), timedelta(days=1))
MODELS: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (make_pipeline(StandardScaler(), ElasticNet(alpha=0.001)), ()),
    (LinearRegression(), ()),
    (RandomForestRegressor(n_estimators=10, random_state=17), ("sklearn.tree._tree.Tree",)),
)

_ENTITIES = """
from feast import Entity, ValueType
driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
"""
_VIEW = """
{name}_source = FileSource(name="{name}_source", path="../data/01_raw/{name}.parquet", file_format=ParquetFormat(),
    timestamp_field="datetime", created_timestamp_column="created")
{name} = FeatureView(name="{name}", entities=[driver], ttl={ttl!r}, source={name}_source, online=True,
    schema=[{fields}])
"""
_IMPORTS = """
import datetime
from feast import FeatureView, FeatureService, Field, FileSource
from feast.data_format import ParquetFormat
from feast.types import Float32, Float64, Int32, Int64
from entities import driver
"""


@dataclass(frozen=True)
class View:
    """A feature view.

    Attributes:
        name: Its name.
        ttl: Its ttl.
        features: The types of its features, by name.
    """

    name: str
    ttl: timedelta | None
    features: dict[str, str]


def write_random_repo(project: Path, seed: int) -> tuple[str, ...]:
    """Replace a project's feature repo and its data by random ones, register a model, and return its columns."""
    rng = np.random.default_rng(seed)
    views = [_random_view(rng, f"view_{place}", seed) for place in range(1 + seed % 3)]
    repo = project / "feature_repo"
    for file in repo.glob("*.py"):
        file.unlink()
    (repo / "entities.py").write_text(_ENTITIES, encoding="utf-8")
    (repo / "definitions.py").write_text(_definitions(views), encoding="utf-8")
    for view in views:
        pq.write_table(_history(rng, view), project / f"data/01_raw/{view.name}.parquet")
    columns = tuple(rng.permutation([name for view in views for name in view.features]).tolist())
    _register(project, rng, columns, seed)
    return columns


def _random_view(rng: np.random.Generator, name: str, seed: int) -> View:
    count = int(rng.integers(2, 5)) if seed % 2 else 17  # many: BLAS then rounds by a row's place
    types = rng.choice(list(TYPES), count).tolist()
    return View(
        name, TTLS[int(rng.integers(len(TTLS)))], {f"{name}_f{place}": kind for place, kind in enumerate(types)}
    )


def _definitions(views: list[View]) -> str:
    parts = [_IMPORTS]
    for view in views:
        fields = ", ".join(f'Field(name="{name}", dtype={dtype})' for name, dtype in view.features.items())
        parts.append(_VIEW.format(name=view.name, ttl=view.ttl, fields=fields))
    names = ", ".join(view.name for view in views)
    return "".join([*parts, f'\nservice = FeatureService(name="random_service", features=[{names}])\n'])


def _history(rng: np.random.Generator, view: View) -> pa.Table:
    """Rows of most drivers: some too old, some after NOW, some corrected, some null, some equal to a neighbour's."""
    rows = [row for driver in DRIVERS if rng.random() < 0.9 for row in _rows_of(rng, view, driver)]
    schema = {"datetime": pa.timestamp("us", "UTC"), "driver_id": pa.int64(), "created": pa.timestamp("us", "UTC")}
    return pa.Table.from_pylist(rows, pa.schema(schema | {name: TYPES[kind] for name, kind in view.features.items()}))


def _rows_of(rng: np.random.Generator, view: View, driver: int) -> list[dict[str, Any]]:
    edges = [timedelta(0), view.ttl or timedelta(0), (view.ttl or timedelta(0)) + timedelta(seconds=1)]
    rows = []
    for _ in range(int(rng.integers(1, 5))):
        age = timedelta(minutes=int(rng.integers(-90, 2000))) if rng.random() < 0.7 else edges[int(rng.integers(3))]
        created = NOW - timedelta(minutes=int(rng.integers(0, 3)))
        like = np.random.default_rng(driver % 7) if rng.random() < 0.6 else rng  # equal drivers tie
        values = {name: _value(like, kind, rng) for name, kind in view.features.items()}
        rows.append({"datetime": NOW - age, "driver_id": driver, "created": created, **values})
    return rows


def _value(like: np.random.Generator, kind: str, rng: np.random.Generator) -> float | int | None:
    number = like.normal()
    if rng.random() < 0.01:
        return None
    return float(number) if kind.startswith("Float") else int(number * 1000)


def _register(project: Path, rng: np.random.Generator, columns: tuple[str, ...], seed: int) -> None:
    estimator, trusted = MODELS[seed % len(MODELS)]
    features = rng.normal(size=(300, len(columns)))
    estimator.fit(features, features.sum(axis=1) + rng.normal(size=300))
    trained = TrainedModel(estimator, columns, "random_service", features[:2], {}, {}, {}, (), trusted)
    registry = ModelRegistry(RegistryLocation("driver_ranking", "champion", project / "data/06_models/mlflow"))
    registry.promote(registry.log(trained), "random_service")
