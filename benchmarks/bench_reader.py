"""How long the read of a feature service takes: the library's reader against Feast's `get_online_features`.

    python benchmarks/bench_reader.py --turns 15 --seconds 0.3

Two feature views with five features, 30,000 entities, on SQLite and on a Redis of the script's own. Both readers are
in one process, opened once, and read the same random keys by turns; a turn's figure is its mean. Feast's is called with
a column of keys, which is faster than a dict for each, and `to_dict()` is what its answer is read by. Feast has no
asynchronous read for SQLite: there its synchronous one is called in a thread.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from borrowed import redis_server
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float32, Float64, Int64
from measure import ROOT, machine, markdown_table, ratios, spread

from feast_columnar.online.reader import OnlineReader, open_reader

if TYPE_CHECKING:
    from numpy.typing import NDArray

KEY, SERVICE, ENTITIES, SIZES = "driver_id", "all", 30_000, (5, 100, 1_000)
VIEWS = {
    "rates": {"conv_rate": Float32, "acc_rate": Float32, "rating": Float64},
    "counts": {"trips": Int64, "days": Int64},
}
CALLERS = ("sync", "async")
_KEY_SETS = 50

Call = Callable[["NDArray[np.int64]"], Awaitable[object]]


@dataclass(frozen=True)
class Measured:
    """Mean seconds a call, turn by turn, of one store, caller and number of entities."""

    ours: list[float]
    stock: list[float]


def make_repo(folder: Path, online_store: Mapping[str, str]) -> Callable[[], FeatureStore]:
    """Fill an online store, and return what opens the repo.

    Args:
        folder: For the files.
        online_store: That section of feature_store.yaml.
    """
    config = RepoConfig(
        project="bench",
        provider="local",
        registry=str(folder / "registry.db"),
        offline_store={"type": "feast_columnar.offline.store.AsofOfflineStore"},
        online_store=dict(online_store),
        batch_engine={"type": "feast_columnar.materialization.engine.StreamingComputeEngine"},
        entity_key_serialization_version=3,
        repo_path=folder,
    )
    entity = Entity(name="driver", join_keys=[KEY], value_type=ValueType.INT64)
    now = datetime.now(tz=UTC)
    views = [_view(folder, entity, name, now) for name in VIEWS]
    store = FeatureStore(config=config)
    store.apply([entity, *views, FeatureService(name=SERVICE, features=[*views])])
    store.materialize(now - timedelta(days=1), now)
    return lambda: FeatureStore(config=config)


def _view(folder: Path, entity: Entity, name: str, now: datetime) -> FeatureView:
    """Write a view's rows, and return the view."""
    random, features = np.random.default_rng(5), VIEWS[name]
    columns: dict[str, Any] = {
        feature: random.integers(0, 300, ENTITIES) if dtype == Int64 else random.random(ENTITIES).astype(_numpy(dtype))
        for feature, dtype in features.items()
    }
    times = pa.array([now - timedelta(hours=1)] * ENTITIES, pa.timestamp("us", "UTC"))
    path = folder / f"{name}.parquet"
    pq.write_table(pa.table({KEY: np.arange(ENTITIES), "event_timestamp": times, **columns}), path)
    source = FileSource(name=f"{name}_source", path=str(path), timestamp_field="event_timestamp")
    schema = [Field(name=feature, dtype=dtype) for feature, dtype in features.items()]
    return FeatureView(name=name, entities=[entity], schema=schema, source=source, ttl=timedelta(days=2))


def _numpy(dtype: object) -> type[np.generic]:
    return np.float32 if dtype == Float32 else np.float64


def callers(reader: OnlineReader, store: FeatureStore) -> dict[str, tuple[Call, Call]]:
    """Return our call and Feast's, by how they are called."""
    service = store.get_feature_service(SERVICE)
    has_async = store._get_provider().online_store.async_supported.read  # noqa: SLF001 - Feast has no other way

    def stock(keys: NDArray[np.int64]) -> dict[str, Any]:
        answer: dict[str, Any] = store.get_online_features(service, {KEY: keys.tolist()}).to_dict()
        return answer

    async def ours_sync(keys: NDArray[np.int64]) -> object:
        return reader.read(keys)

    async def stock_sync(keys: NDArray[np.int64]) -> object:
        return stock(keys)

    async def stock_async(keys: NDArray[np.int64]) -> object:
        if not has_async:
            return await asyncio.to_thread(stock, keys)
        return (await store.get_online_features_async(service, {KEY: keys.tolist()})).to_dict()

    return {"sync": (ours_sync, stock_sync), "async": (reader.read_async, stock_async)}


async def compare(
    reader: OnlineReader, store: FeatureStore, turns: int, seconds: float
) -> dict[tuple[str, int], Measured]:
    """Let both read by turns, after they were seen to give the same and have warmed up."""
    random = np.random.default_rng(9)
    keys = {size: [random.choice(ENTITIES, size, replace=False) for _ in range(_KEY_SETS)] for size in SIZES}
    calls = callers(reader, store)
    for ours, stock in calls.values():
        for sets in keys.values():
            await _require_same(reader.columns, ours, stock, sets[0])
    found = {(caller, size): Measured([], []) for caller in CALLERS for size in SIZES}
    for turn in range(turns):
        for (caller, size), measured in found.items():
            ours, stock = calls[caller]
            measured.ours.append(await _mean(ours, keys[size], seconds))
            measured.stock.append(await _mean(stock, keys[size], seconds))
        print(f"  turn {turn + 1} of {turns}", file=sys.stderr)
    return found


async def _require_same(columns: Sequence[str], ours: Call, stock: Call, keys: NDArray[np.int64]) -> None:
    features: Any = await ours(keys)
    answer: Any = await stock(keys)
    np.testing.assert_array_equal(features.matrix, np.array([answer[name] for name in columns], dtype=np.float64).T)


async def _mean(call: Call, keys: Sequence[NDArray[np.int64]], seconds: float) -> float:
    """Return the mean seconds of a call, over at least some time."""
    count, start = 0, time.perf_counter()
    while True:
        await call(keys[count % len(keys)])
        count += 1
        taken = time.perf_counter() - start
        if taken >= seconds:
            return taken / count


def rows(found: Mapping[str, Mapping[tuple[str, int], Measured]]) -> Iterator[list[str]]:
    """Yield the rows of the table."""
    for store, measured in found.items():
        for (caller, size), one in measured.items():
            ours, stock = (f"{1e3 * statistics.median(times):.2f}" for times in (one.ours, one.stock))
            yield [store, caller, f"{size:,}", ours, stock, spread(ratios(one.stock, one.ours), 1)]


def report(found: Mapping[str, Mapping[tuple[str, int], Measured]], turns: int, load: float) -> str:
    """Return the table."""
    header = ["online store", "called", "entities", "the reader, ms", "`get_online_features`, ms", "times as fast"]
    head = (
        f"Median (lowest to highest) of {turns} turns in one process, {ENTITIES:,} entities, two feature views with "
        f"five features. {machine()}; load before: {load:.1f}."
    )
    return "\n".join(["# Online reads", "", head, "", *markdown_table(header, list(rows(found))), ""])


def main() -> None:
    """Print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.3, help="of each reader in each turn, at least")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/reader.md")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    os.environ["TZ"] = "UTC"  # Feast's own SQLite store depends on it
    time.tzset()
    load, found = os.getloadavg()[0], {}
    with tempfile.TemporaryDirectory() as name, redis_server(Path(name)) as address:
        stores = {
            "SQLite": {"type": "sqlite", "path": f"{name}/SQLite/online.db"},
            "Redis": {"type": "redis", "connection_string": address},
        }
        for store, settings in stores.items():
            folder = Path(name) / store
            folder.mkdir()
            opened = make_repo(folder, settings)
            reader = open_reader(opened(), SERVICE)
            found[store] = asyncio.run(compare(reader, opened(), options.turns, options.seconds))
            reader.close()
    table = report(found, options.turns, load)
    options.output.write_text(table, encoding="utf-8")
    print(table)


if __name__ == "__main__":
    main()
