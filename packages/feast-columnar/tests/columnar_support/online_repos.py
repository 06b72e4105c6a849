"""Feature repos with one of the online stores, to be written through Feast and read by this project."""

from __future__ import annotations

import asyncio
import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.data_format import ParquetFormat
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import FeastType, Float64

from feast_columnar.online.reader import OnlineReader, open_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from feast_columnar.online.features import OnlineFeatures

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
NOON_US = int(NOON.timestamp()) * 1_000_000
HOUR_US = 3_600_000_000
UNREAD = np.iinfo(np.int64).max
PROJECTS = itertools.count()
ON_DEMAND = pytest.mark.filterwarnings("ignore:On demand feature view is an experimental:RuntimeWarning")

Row = tuple[int, datetime, dict[str, Any]]


def key_named(name: str = "driver_id", value_type: ValueType = ValueType.INT64) -> Entity:
    return Entity(name=f"{name}_entity", join_keys=[name], value_type=value_type)


@dataclass(frozen=True)
class OnlineRepo:
    """A feature repo with one of the online stores."""

    folder: Path
    project: str
    online_store: dict[str, Any]
    readers: list[OnlineReader] = field(default_factory=list)

    def open(self) -> FeatureStore:
        config = RepoConfig(
            project=self.project,
            provider="local",
            registry=str(self.folder / "registry.db"),
            online_store=self.online_store,
            offline_store={"type": "duckdb"},
            entity_key_serialization_version=3,
        )
        config.repo_path = self.folder
        return FeatureStore(config=config)

    def view(self, features: dict[str, FeastType], name: str = "stats", **options: Any) -> FeatureView:
        entity = options.pop("entity", key_named())
        path = self.folder / f"{name}.parquet"
        columns = {entity.join_key: pa.int64(), "event_timestamp": pa.timestamp("us", "UTC")}
        pq.write_table(pa.schema(columns | dict.fromkeys(features, pa.float64())).empty_table(), path)
        source = FileSource(path=str(path), timestamp_field="event_timestamp", file_format=ParquetFormat())
        schema = [Field(name=feature, dtype=dtype) for feature, dtype in features.items()]
        return FeatureView(name=name, entities=[entity], schema=schema, source=source, **{"ttl": None} | options)

    def apply(self, *objects: Any) -> FeatureStore:
        store = self.open()
        entities = [key_named(), *(one for one in objects if isinstance(one, Entity))]
        store.apply([*entities, *(one for one in objects if not isinstance(one, Entity))])
        return store

    def write(self, view: str, rows: Sequence[Row], key: str = "driver_id") -> None:
        records = [{key: driver, "event_timestamp": at, **values} for driver, at, values in rows]
        frame = pd.DataFrame(records).astype({name: object for row in rows for name in row[2]})
        self.open().write_to_online_store(view, df=frame)

    def reader(self, service: str, *wanted: str, timeout: float = 1.0) -> OnlineReader:
        full = any("__" in name for name in wanted)
        reader = open_reader(
            self.open(), service, columns=wanted, key="driver_id", full_feature_names=full, timeout=timeout
        )
        self.readers.append(reader)
        return self.readers[-1]


def on_demand_of(view: FeatureView) -> Any:
    @on_demand_feature_view(  # type: ignore[untyped-decorator] # Feast is not typed
        sources=[view], schema=[Field(name="doubled", dtype=Float64)], mode="pandas"
    )
    def doubled(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"doubled": inputs["rate"] * 2})

    return doubled


OURS = "feast_columnar.SharedSqliteOnlineStore"
OTHER = "columnar_support.online_store.OtherSqliteOnlineStore"


def read(reader: OnlineReader, *drivers: int, now: int = NOON_US) -> OnlineFeatures:
    """Read in every way there is; all give the same."""
    asked = np.array(drivers, dtype=np.int64)
    features = reader.read(asked, now)
    for found in asyncio.run(read_twice(reader, asked, now)):
        np.testing.assert_array_equal(found.matrix, features.matrix)
        np.testing.assert_array_equal(found.oldest, features.oldest)
    return features


async def read_twice(reader: OnlineReader, driver_id: NDArray[np.int64], now: int) -> list[OnlineFeatures]:
    """Read in a thread, and then, where a store can be read by the event loop itself, by that."""
    with ThreadPoolExecutor(1) as thread:
        return [await reader.read_async(driver_id, now, thread) for _ in range(2)]


def listed(features: OnlineFeatures) -> list[list[float | None]]:
    return [[None if np.isnan(value) else value for value in row] for row in features.matrix.tolist()]


def fresh(code: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function of an on-demand view anew: Feast says of one that it was given that it is elsewhere."""
    copied = FunctionType(code.__code__, code.__globals__, code.__name__)
    copied.__annotations__, copied.__module__ = code.__annotations__, code.__globals__["__name__"]
    return copied
