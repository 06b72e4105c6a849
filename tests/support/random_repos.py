"""Projects with a random feature repo and a random model, to compare ways of serving them."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import ElasticNet, LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from driver_ranking.model import ModelRegistry, RegistryLocation, TrainedModel
from driver_ranking.serving.contract import Input, RankingContract
from support.foreign_repos.project import leave_keys_to_the_repo
from support.queries import AskedProject, Query

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
DRIVERS = range(1, 81)
ZONES = range(1, 5)
UNKNOWN = 9001
TYPES = {"Float32": pa.float32(), "Float64": pa.float64(), "Int32": pa.int32(), "Int64": pa.int64()}
KEYS = {"Int64": (pa.int64(), "INT64"), "Int32": (pa.int32(), "INT32"), "String": (pa.string(), "BYTES")}
TTLS = (None, timedelta(hours=2), timedelta(days=1))
MODELS: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (make_pipeline(StandardScaler(), ElasticNet(alpha=0.001)), ()),
    (LinearRegression(), ()),
    (RandomForestRegressor(n_estimators=10, random_state=17), ("sklearn.tree._tree.Tree",)),
)

_ENTITY = """
{name} = Entity(name="{name}", join_keys=["{name}"], value_type=ValueType.{kind})
"""
_VIEW = """
{name}_source = FileSource(name="{name}_source", path="../data/01_raw/{name}.parquet", file_format=ParquetFormat(),
    timestamp_field="datetime", created_timestamp_column="created")
{name} = FeatureView(name="{name}", entities=[{keys}], ttl={ttl!r}, source={name}_source, online=True,
    schema=[{fields}])
"""
_IMPORTS = """
import datetime
from feast import Entity, FeatureView, FeatureService, Field, FileSource, ValueType
from feast.data_format import ParquetFormat
from feast.types import Float32, Float64, Int32, Int64
"""


@dataclass(frozen=True)
class View:
    """A feature view.

    Attributes:
        name: Its name.
        ttl: Its ttl.
        features: The types of its features, by name.
        keys: Its join keys.
        defaults: What stands for which of its features, where the repo says so.
    """

    name: str
    ttl: timedelta | None
    features: dict[str, str]
    keys: tuple[str, ...]
    defaults: dict[str, int] = field(default_factory=dict)


def write_random_repo(project: Path, seed: int) -> AskedProject:
    """Replace a project's feature repo and its data by random ones, and register a model.

    Each seed has another type of key, number of views and model; odd ones have a second key and composite ones, those
    from 1 on request features, those from 2 on defaults.
    """
    rng = np.random.default_rng(seed)
    keys = {"driver_id": list(KEYS)[seed % 3]} | ({"zone": list(KEYS)[(seed + 1) % 3]} if seed % 2 else {})
    views = [_random_view(rng, f"view_{place}", seed, tuple(keys)) for place in range(1 + seed % 3)]
    if seed % 2:
        views.append(replace(_random_view(rng, "pairs", 1, ()), keys=tuple(keys)))
    if seed > 1:
        views = [replace(view, defaults=_defaults(rng, view.features)) for view in views]
    _write_definitions(project, views, keys)
    for view in views:
        pq.write_table(_history(rng, view, keys), project / f"data/01_raw/{view.name}.parquet")
    requested = [f"asked_{place}" for place in range(seed)]
    columns = rng.permutation([*requested, *(name for view in views for name in view.features)]).tolist()
    given = {name: 0.5 for name in requested[:1] if seed > 1}
    tags = {"request_features": ",".join(requested), "defaults": json.dumps(given)}
    _register(project, rng, tuple(columns), seed, tags)
    candidate, *others = (Input(name, KEYS[kind][1]) for name, kind in keys.items())
    request, features = tuple(Input(name, "FP64") for name in requested), dict.fromkeys(columns, "FP64")
    contract = RankingContract(candidate, tuple(others), request, features)
    defaults = given | {name: value for view in views for name, value in view.defaults.items()}
    return AskedProject(project, NOW, contract, _queries(rng, keys, requested), defaults)


def _random_view(rng: np.random.Generator, name: str, seed: int, keys: tuple[str, ...]) -> View:
    """Return a view by the first of the keys, or by the last."""
    count = int(rng.integers(2, 5)) if seed % 2 else 17  # many: BLAS then rounds by a row's place
    types = rng.choice(list(TYPES), count).tolist()
    features = {f"{name}_f{place}": kind for place, kind in enumerate(types)}
    return View(name, TTLS[int(rng.integers(len(TTLS)))], features, keys[:1] if rng.random() < 0.6 else keys[-1:])


def _defaults(rng: np.random.Generator, features: Mapping[str, str]) -> dict[str, int]:
    return {name: int(rng.integers(-2, 3)) for name in features if rng.random() < 0.5}


def _write_definitions(project: Path, views: list[View], keys: Mapping[str, str]) -> None:
    repo = project / "feature_repo"
    for file in repo.glob("*.py"):
        file.unlink()
    parts = [_IMPORTS, *(_ENTITY.format(name=name, kind=kind.upper()) for name, kind in keys.items())]
    for view in views:
        fields = ", ".join(
            f'Field(name="{name}", dtype={dtype}, tags={_tags(view, name)})' for name, dtype in view.features.items()
        )
        parts.append(_VIEW.format(name=view.name, keys=", ".join(view.keys), ttl=view.ttl, fields=fields))
    names = ", ".join(view.name for view in views)
    parts.append(f'\nservice = FeatureService(name="random_service", features=[{names}])\n')
    (repo / "definitions.py").write_text("".join(parts), encoding="utf-8")
    leave_keys_to_the_repo(project)


def _tags(view: View, name: str) -> dict[str, str]:
    return {"default": str(view.defaults[name])} if name in view.defaults else {}


def _key(kind: str, number: int) -> int | str:
    """Return a key of a type: of texts, some that differ from numbers in what they look like alone."""
    return number if kind != "String" else f"{number:0{1 + number % 3}}"


def _history(rng: np.random.Generator, view: View, keys: Mapping[str, str]) -> pa.Table:
    """Rows of most keys: some too old, some after NOW, some corrected, some null, some equal to a neighbour's."""
    numbers = itertools.product(*(DRIVERS if name == "driver_id" else ZONES for name in view.keys))
    rows = [row for key in numbers if rng.random() < 0.9 for row in _rows_of(rng, view, key, keys)]
    schema = {"datetime": pa.timestamp("us", "UTC"), "created": pa.timestamp("us", "UTC")}
    schema |= {name: KEYS[keys[name]][0] for name in view.keys}
    return pa.Table.from_pylist(rows, pa.schema(schema | {name: TYPES[kind] for name, kind in view.features.items()}))


def _rows_of(
    rng: np.random.Generator, view: View, key: tuple[int, ...], keys: Mapping[str, str]
) -> list[dict[str, Any]]:
    edges = [timedelta(0), view.ttl or timedelta(0), (view.ttl or timedelta(0)) + timedelta(seconds=1)]
    named = {name: _key(keys[name], number) for name, number in zip(view.keys, key, strict=True)}
    rows = []
    for _ in range(int(rng.integers(1, 5))):
        age = timedelta(minutes=int(rng.integers(-90, 2000))) if rng.random() < 0.7 else edges[int(rng.integers(3))]
        created = NOW - timedelta(minutes=int(rng.integers(0, 3)))
        like = np.random.default_rng(sum(key) % 7) if rng.random() < 0.6 else rng  # equal drivers tie
        values = {name: _value(like, kind, rng) for name, kind in view.features.items()}
        rows.append({"datetime": NOW - age, "created": created, **named, **values})
    return rows


def _value(like: np.random.Generator, kind: str, rng: np.random.Generator) -> float | int | None:
    number = like.normal()
    if rng.random() < 0.01:
        return None
    return float(number) if kind.startswith("Float") else int(number * 1000)


def _queries(rng: np.random.Generator, keys: Mapping[str, str], requested: list[str]) -> list[Query]:
    """Return a request for all drivers, with a zone and request features for each, and some for parts of them."""
    numbers = rng.permutation([*DRIVERS, UNKNOWN, *rng.choice(DRIVERS, 20)]).tolist()
    drivers = [_key(keys["driver_id"], number) for number in numbers]
    zones = [_key(keys.get("zone", "Int64"), number) for number in rng.choice(ZONES, len(numbers)).tolist()]
    values = {name: rng.normal(size=len(numbers)).round(3).astype(object) for name in requested}
    for one in values.values():
        one[rng.random(len(one)) < 0.05] = None

    def part(which: slice, told: slice) -> Query:
        by_zone = {"zone": zones[told]} if "zone" in keys else {}
        return Query(drivers[which], by_zone, {name: one[told].tolist() for name, one in values.items()})

    starts = range(0, len(drivers) - 30, 15)
    one_trip = [part(slice(start, start + 30), slice(start, start + 1)) for start in starts[::2]]
    apart = [slice(start, start + 30) for start in starts[1::2]]
    return [part(slice(None), slice(None)), *one_trip, *(part(which, which) for which in apart)]


def _register(
    project: Path, rng: np.random.Generator, columns: tuple[str, ...], seed: int, tags: Mapping[str, str]
) -> None:
    estimator, trusted = MODELS[seed % len(MODELS)]
    features = rng.normal(size=(300, len(columns)))
    estimator.fit(features, features.sum(axis=1) + rng.normal(size=300))
    trained = TrainedModel(estimator, columns, "random_service", features[:2], {}, {}, {}, (), trusted)
    location = RegistryLocation("driver_ranking", "champion", project / "data/06_models/mlflow")
    registry = ModelRegistry(location)
    version = registry.promote(registry.log(trained), "random_service")
    for name, value in tags.items():
        mlflow.MlflowClient(location.uri).set_model_version_tag(version.name, version.version, name, value)
