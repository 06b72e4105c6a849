"""The programs that extract: this project's offline store, Feast's own, and SQL by hand.

Each is a process of its own, and imports what it needs.
"""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any

from batch.cases import LIMIT
from measure import timed

if TYPE_CHECKING:
    from pathlib import Path

ASOF = "feast_columnar.AsofOfflineStore"


def open_store(folder: Path, offline_store: dict[str, Any]) -> Any:  # noqa: ANN401 - feast is imported in children alone
    """Return a feature store with the view of the project over the generated statistics."""
    from datetime import timedelta

    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.data_format import ParquetFormat
    from feast.types import Float32, Int32

    config = RepoConfig(
        project="bench",
        provider="local",
        registry=str(folder / "registry.db"),
        online_store={"type": "sqlite", "path": str(folder / "online.db")},
        offline_store=offline_store,
        entity_key_serialization_version=3,
        repo_path=folder,
    )
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    source = FileSource(
        name="stats_source",
        path=str(folder / "stats.parquet"),
        file_format=ParquetFormat(),
        timestamp_field="datetime",
        created_timestamp_column="created",
    )
    schema = [
        Field(name="conv_rate", dtype=Float32),
        Field(name="acc_rate", dtype=Float32),
        Field(name="avg_daily_trips", dtype=Int32),
    ]
    view = FeatureView(name="stats", entities=[driver], ttl=timedelta(days=36500), schema=schema, source=source)
    store = FeatureStore(config=config)
    store.apply([driver, view])
    return store


REFS = ["stats:conv_rate", "stats:acc_rate", "stats:avg_daily_trips"]


def _extract_asof(folder: Path, options: dict[str, Any], requests: str = "requests", output: str = "output") -> None:
    store = open_store(folder, {"type": ASOF, **options})

    def work() -> None:
        job = store.get_historical_features(entity_df=str(folder / f"{requests}.parquet"), features=REFS)
        job.in_request_order().write_parquet(str(folder / f"{output}.parquet"))

    timed(work)


def extract_asof(folder: Path) -> None:
    """Extract with this project's offline store, in the request's order."""
    _extract_asof(folder, {})


def extract_asof_limited(folder: Path) -> None:
    """Likewise, with little memory."""
    _extract_asof(folder, {"memory_limit": LIMIT})


def extract_stock(folder: Path) -> None:
    """Extract with Feast's own DuckDB store."""
    import pandas as pd
    import pyarrow.parquet as pq

    store = open_store(folder, {"type": "duckdb"})
    requests = pd.read_parquet(folder / "requests.parquet")

    def work() -> None:
        table = store.get_historical_features(entity_df=requests, features=REFS).to_arrow()
        pq.write_table(table, folder / "output-stock.parquet")

    timed(work)


def sql_by_hand(folder: Path, *, tie_break: bool = True) -> str:
    """Return what one would write by hand: ttl, tie-break, the request's order."""
    # in microseconds: DuckDB subtracts times with zones by the calendar, which would take most of the query's time
    fresh = "CASE WHEN epoch_us(r.event_timestamp) - epoch_us(f.datetime) <= 36500 * 86_400_000_000 THEN"
    features = ", ".join(f"{fresh} f.{name} END AS {name}" for name in ("conv_rate", "acc_rate", "avg_daily_trips"))
    latest = "QUALIFY row_number() OVER (PARTITION BY driver_id, datetime ORDER BY created DESC) = 1"
    return f"""
        COPY (
            WITH f AS (SELECT * FROM read_parquet('{folder}/stats.parquet') {latest if tie_break else ""})
            SELECT r.event_timestamp, r.driver_id, {features}
            FROM read_parquet('{folder}/requests.parquet', file_row_number = true) AS r
            ASOF LEFT JOIN f ON r.driver_id = f.driver_id AND r.event_timestamp >= f.datetime
            ORDER BY r.file_row_number
        ) TO '{folder}/output-sql.parquet' (FORMAT parquet)
    """


def _extract_sql(folder: Path, settings: dict[str, Any], *, tie_break: bool = True) -> None:
    import duckdb

    with tempfile.TemporaryDirectory() as spill:
        connection = duckdb.connect(config={"temp_directory": spill, **settings})
        connection.execute("SET TimeZone = 'UTC'")
        timed(lambda: connection.execute(sql_by_hand(folder, tie_break=tie_break)))


def extract_sql(folder: Path) -> None:
    """Extract with SQL by hand."""
    _extract_sql(folder, {})


def extract_sql_bare(folder: Path) -> None:
    """Likewise, without the tie-break."""
    _extract_sql(folder, {}, tie_break=False)


def extract_sql_bare_limited(folder: Path) -> None:
    """Likewise, with little memory."""
    _extract_sql(folder, {"memory_limit": LIMIT}, tie_break=False)
