"""Rows per second and peak memory of materialization: Feast's stock call against the streaming engine.

    python benchmarks/bench_materialize.py --drivers 100000 --runs 3
    python benchmarks/bench_materialize.py --drivers 1000000 --runs 1 --cases asof+streaming

One feature view with an int64 key and three double features, `--history` rows per driver, in Parquet. A case is an
offline store and an engine; each is run on SQLite and on Redis, into an empty store, in a process of its own, by turns.
Timed is `FeatureStore.materialize`, without imports; peak memory is the operating system's account of the whole
process, imports included (Feast alone takes some 250 MiB). Redis is a server of the script's own.
"""

from __future__ import annotations

# The standard library alone: Linux adds the peak memory of the process that starts a child to the child's own.
import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from borrowed import redis_server
from measure import ROOT, Usage, machine, markdown_table, measure, ratios, spread, timed

OFFLINE = {"duckdb": "duckdb", "asof": "feast_columnar.AsofOfflineStore"}
STREAMING = "feast_columnar.StreamingComputeEngine"
CASES = ("duckdb+stock", "duckdb+streaming", "asof+streaming")
STORES = ("sqlite", "redis")


def main() -> None:
    """Measure every case, or play the part of one of the children."""
    arguments = _arguments()
    if arguments.part == "data":
        make_data(Path(arguments.folder), arguments.drivers[0], arguments.history)
    elif arguments.part == "run":
        run_case(arguments)
    else:
        compare(arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drivers", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/materialize.md", help="where the table goes")
    parser.add_argument("--history", type=int, default=1, help="feature rows per driver")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rows-per-batch", type=int, help="of the streaming engine; without it, the engine's own")
    parser.add_argument("--cases", nargs="+", default=CASES, choices=CASES)
    for hidden in ("--part", "--folder", "--store", "--redis"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    return parser.parse_args()


# --- The parent: starts, waits, counts --------------------------------------------------------------------------------


def compare(arguments: argparse.Namespace) -> None:
    """Run all cases by turns, for each number of drivers, and write the tables."""
    tables = ["# Materialization", ""]
    for drivers in arguments.drivers:
        with tempfile.TemporaryDirectory() as name, redis_server(Path(name)) as address:
            child("--part", "data", "--folder", name, "--drivers", str(drivers), "--history", str(arguments.history))
            results: dict[tuple[str, str], list[Usage]] = {}
            for _ in range(arguments.runs):
                for store in STORES:
                    for case in arguments.cases:
                        result = measure_one(name, case, store, address, arguments.rows_per_batch)
                        results.setdefault((store, case), []).append(result)
            tables.append(report(drivers, results))
    arguments.output.write_text("\n".join(tables), encoding="utf-8")
    print("\n".join(tables))


def measure_one(folder: str, case: str, store: str, address: str, rows: int | None) -> Usage:
    """One case in a process of its own."""
    words = ["--part", "run", "--folder", folder, "--cases", case, "--store", store, "--redis", address]
    return child(*words, *(["--rows-per-batch", str(rows)] if rows else []))


def child(*arguments: str) -> Usage:
    """Run a part of this script."""
    return measure([sys.executable, __file__, *arguments])


def report(drivers: int, results: dict[tuple[str, str], list[Usage]]) -> str:
    """Median and spread of each case; the ratio is to Feast's stock call on the same store, run by run."""
    rows = []
    for (store, case), runs in results.items():
        seconds, stock = [run.seconds for run in runs], results.get((store, "duckdb+stock"))
        faster = spread(ratios([run.seconds for run in stock], seconds), 1) if stock else ""
        rate = f"{drivers / statistics.median(seconds):,.0f}"
        rows.append([store, case, spread(seconds), rate, faster, spread([run.peak for run in runs], 0)])
    header = ["online store", "offline store + engine", "seconds", "rows/s", "times as fast as stock", "peak MiB"]
    head = f"{drivers} drivers; median (lowest to highest) of {len(runs)} runs in turns. {machine()}."
    return "\n".join([head, "", *markdown_table(header, rows), ""])


# --- The children -----------------------------------------------------------------------------------------------------


def make_data(folder: Path, drivers: int, history: int) -> None:
    """Write the feature rows, drivers in random order, one block of all drivers per day."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    random = np.random.default_rng(0)
    with pq.ParquetWriter(folder / "features.parquet", _schema()) as writer:
        for day in range(history):
            times = np.datetime64("2026-01-01", "us") + np.timedelta64(day, "D") + random.integers(0, 10**9, drivers)
            columns = [random.permutation(drivers), *random.random((3, drivers)), times, times]
            writer.write_table(pa.table(columns, schema=_schema()))


def _schema() -> Any:  # noqa: ANN401 - pyarrow is imported in the children alone
    import pyarrow as pa

    moment = pa.timestamp("us", tz="UTC")
    features = [(name, pa.float64()) for name in ("conv_rate", "acc_rate", "avg_daily_trips")]
    return pa.schema([("driver_id", pa.int64()), *features, ("event_timestamp", moment), ("created", moment)])


def run_case(arguments: argparse.Namespace) -> None:
    """Materialize into an empty store, and say how long it took."""
    from datetime import UTC, datetime

    store = open_store(arguments)
    start, end = datetime(2025, 12, 31, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)
    timed(lambda: store.materialize(start, end))


def open_store(arguments: argparse.Namespace) -> Any:  # noqa: ANN401 - feast is imported in the children alone
    """A feature repo with nothing in its online store."""
    from feast import FeatureStore, RepoConfig

    folder = Path(arguments.folder)
    offline, engine = arguments.cases[0].split("+")
    for name in ("online.db", "registry.db"):
        (folder / name).unlink(missing_ok=True)
    empty_redis(arguments.redis)
    config = RepoConfig(
        project="bench",
        provider="local",
        registry=str(folder / "registry.db"),
        offline_store={"type": OFFLINE[offline]},
        online_store=online_store(arguments),
        batch_engine="local" if engine == "stock" else {"type": STREAMING, "rows_per_batch": arguments.rows_per_batch},
        entity_key_serialization_version=3,
        repo_path=folder,
    )
    store = FeatureStore(config=config)
    store.apply(definitions(folder))
    return store


def online_store(arguments: argparse.Namespace) -> dict[str, str]:
    """The online store's section of feature_store.yaml."""
    if arguments.store == "sqlite":
        return {"type": "sqlite", "path": str(Path(arguments.folder) / "online.db")}
    return {"type": "redis", "connection_string": arguments.redis}


def empty_redis(address: str) -> None:
    """Drop all keys of the script's own server."""
    import redis

    with redis.Redis.from_url(f"redis://{address}") as client:
        client.flushall()


def definitions(folder: Path) -> list[Any]:
    """The entity and the feature view."""
    from datetime import timedelta

    from feast import Entity, FeatureView, Field, FileSource, ValueType
    from feast.data_format import ParquetFormat
    from feast.types import Float64

    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    source = FileSource(
        name="stats_source",
        path=str(folder / "features.parquet"),
        file_format=ParquetFormat(),
        timestamp_field="event_timestamp",
        created_timestamp_column="created",
    )
    schema = [Field(name=name, dtype=Float64) for name in ("conv_rate", "acc_rate", "avg_daily_trips")]
    return [driver, FeatureView(name="stats", entities=[driver], ttl=timedelta(days=1), schema=schema, source=source)]


if __name__ == "__main__":
    main()
