"""What the tests of the offline store need: a feature repo whose sources are made of rows."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.data_format import ParquetFormat
from feast.types import Int32

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

    from feast_columnar.offline.store import AsofRetrievalJob

ASOF = "feast_columnar.AsofOfflineStore"
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
_SECONDS = itertools.count(1_700_000_000)
STATS = pa.schema(
    {
        "driver_id": pa.int64(),
        "event_timestamp": pa.timestamp("us", "UTC"),
        "created": pa.timestamp("us", "UTC"),
        "trips": pa.int32(),
    },
)


@dataclass(frozen=True)
class AsofRepo:
    """A feature repo in a folder, used through the store under test or through Feast's own duckdb store."""

    folder: Path

    def noon(self, minutes: float = 0) -> datetime:
        """Return a moment, in minutes after noon."""
        return NOON + timedelta(minutes=minutes)

    def write(self, name: str, rows: pa.Table | Sequence[tuple[Any, ...]]) -> Path:
        """Write a Parquet file; tuples are rows of (driver_id, event_timestamp, created, trips)."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not isinstance(rows, pa.Table):
            rows = pa.Table.from_pylist([dict(zip(STATS.names, row, strict=True)) for row in rows], schema=STATS)
        pq.write_table(rows, path)
        # The oracle's one connection takes a file of the same second for the one it has read before.
        moment = next(_SECONDS)
        os.utime(path, (moment, moment))
        return path

    def source(self, path: Path | str, **options: Any) -> FileSource:
        """Return a source with the columns of `write`."""
        defaults: dict[str, Any] = {
            "timestamp_field": "event_timestamp",
            "created_timestamp_column": "created",
            "file_format": ParquetFormat(),  # the oracle reads nothing without it
        }
        return FileSource(path=str(path), **(defaults | options))

    def entity(self, name: str = "driver", key: str = "driver_id") -> Entity:
        """Return an entity with an integer key."""
        return Entity(name=name, join_keys=[key], value_type=ValueType.INT64)

    def view(
        self,
        name: str = "stats",
        rows: pa.Table | Sequence[tuple[Any, ...]] = (),
        *,
        ttl: timedelta | None = None,
        **options: Any,
    ) -> FeatureView:
        """Return a feature view with the feature `trips` over a file with these rows."""
        defaults: dict[str, Any] = {"entities": [self.entity()], "schema": [Field(name="trips", dtype=Int32)]}
        source = options.pop("source", None) or self.source(self.write(f"{name}.parquet", rows))
        return FeatureView(name=name, source=source, ttl=ttl, **(defaults | options))

    def open(self, **offline_store: Any) -> Any:
        """Open the repo with an offline store; by default the one under test. Feast's types know fewer entity rows."""
        config = RepoConfig(
            project="asof",
            provider="local",
            registry=str(self.folder / "registry.db"),
            online_store={"type": "sqlite", "path": str(self.folder / "online.db")},
            offline_store={"type": ASOF} | offline_store,
            entity_key_serialization_version=3,
        )
        config.repo_path = self.folder
        return FeatureStore(config=config)

    def apply(self, *objects: Any) -> None:
        """Register feature views and what they need."""
        self.open().apply([self.entity(), *objects])

    def job(self, entities: Any, features: Any = ("stats:trips",), **options: Any) -> AsofRetrievalJob:
        """Ask the store under test for features, in the order of the entity rows."""
        features = list(features) if isinstance(features, tuple) else features
        job: AsofRetrievalJob = self.open().get_historical_features(entities, features, **options)
        return job.in_request_order()

    def features(self, entities: Any, features: Any = ("stats:trips",), **options: Any) -> list[dict[str, Any]]:
        """Return the rows that the store under test gives."""
        rows: list[dict[str, Any]] = self.job(entities, features, **options).to_arrow().to_pylist()
        return rows

    def trips(self, entities: Any, **options: Any) -> list[int | None]:
        """Return the feature `trips` of each entity row."""
        return [row["trips"] for row in self.features(entities, **options)]

    def oracle(self, entities: pd.DataFrame, features: Sequence[str], **options: Any) -> list[dict[str, Any]]:
        """Return the rows that Feast's own duckdb store gives, in the order of a column `request`."""
        job = self.open(type="duckdb").get_historical_features(entities.copy(), list(features), **options)
        rows: list[dict[str, Any]] = job.to_arrow().to_pylist()
        return sorted(rows, key=lambda row: int(row["request"]))
