"""Feature repos that keep a ledger of materializations, on SQLite and on Redis."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, PushSource, RepoConfig, ValueType
from feast.data_format import ParquetFormat
from feast.types import Int64

from columnar_support.ledger_entries import at
from feast_columnar.ledger.settings import open_ledger

if TYPE_CHECKING:
    from pathlib import Path

    from feast_columnar.ledger.entries import Entry


@dataclass(frozen=True)
class LedgerRepo:
    """A feature repo whose materializations are recorded."""

    folder: Path
    online_store: dict[str, Any]
    ledger: Any = "ledger"
    project: str = "shop"
    views: list[FeatureView] = field(default_factory=list)

    def open(self, **options: Any) -> FeatureStore:
        engine = {"type": "feast_columnar.StreamingComputeEngine", "rows_per_batch": 2, "ledger": self.ledger}
        settings: dict[str, Any] = {
            "project": self.project,
            "provider": "local",
            "registry": str(self.folder / "registry.db"),
            "online_store": self.online_store,
            "offline_store": {"type": "feast_columnar.AsofOfflineStore"},
            "batch_engine": engine,
            "entity_key_serialization_version": 3,
            "repo_path": self.folder,
        }
        return FeatureStore(config=RepoConfig(**(settings | options)))

    def write(self, *rows: tuple[int, float, float, int], name: str = "stats") -> None:
        """Write the source: driver, event time and created in minutes after noon, trips."""
        records = [
            {"driver_id": driver, "event_timestamp": at(event), "created": at(created), "trips": trips}
            for driver, event, created, trips in rows
        ]
        kinds = {"driver_id": pa.int64(), "event_timestamp": _TIME, "created": _TIME, "trips": pa.int64()}
        pq.write_table(pa.Table.from_pylist(records, schema=pa.schema(kinds)), self.folder / f"{name}.parquet")

    def apply(self, **options: Any) -> FeatureStore:
        """Define a view of drivers, which can be pushed to as well."""
        driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
        source = FileSource(
            name="stats_source",
            path="stats.parquet",
            file_format=ParquetFormat(),
            timestamp_field="event_timestamp",
            created_timestamp_column="created",
        )
        schema = [Field(name="trips", dtype=Int64)]
        given: dict[str, Any] = {"source": source, "ttl": timedelta(days=1), "entities": [driver], "schema": schema}
        view = FeatureView(name="stats", **(given | options))
        store = self.open()
        pushed = FeatureView(
            name="pushed",
            entities=[driver],
            schema=schema,
            ttl=timedelta(days=1),
            source=PushSource(name="push_source", batch_source=source),
            online=True,
        )
        store.apply([driver, source, view, pushed])
        return store

    def entries(self) -> list[Entry]:
        """Return what is in the ledger."""
        return list(open_ledger(self.open()).entries())


_TIME = pa.timestamp("us", "UTC")
