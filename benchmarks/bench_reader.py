"""How long the read of a feature service takes: the library's reader against Feast's `get_online_features`.

    python benchmarks/bench_reader.py --turns 15 --seconds 0.3

Two feature views with five features, 30,000 entities, on SQLite and on a Redis of the script's own; beside them one
view keyed by a text, one by a text and an integer, and one whose features are texts, of as many rows. Both readers are
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
from feast.types import Float32, Float64, Int64, String
from measure import ROOT, machine, markdown_table, ratios, spread

from feast_columnar.online.reader import OnlineReader, open_reader

if TYPE_CHECKING:
    from numpy.typing import NDArray

KEY, ENTITIES, SIZES = "driver_id", 30_000, (5, 100, 1_000)
VIEWS = {
    "rates": {"conv_rate": Float32, "acc_rate": Float32, "rating": Float64},
    "counts": {"trips": Int64, "days": Int64},
    "zones": {"orders": Int64, "area": Float32},
    "pairs": {"visits": Int64, "last_rating": Float32},
    "words": {"city": String, "car": String},
}
KEYS = {"rates": (KEY,), "counts": (KEY,), "zones": ("zone",), "pairs": (KEY, "zone"), "words": (KEY,)}
SERVICES = {
    "one integer": ("rates", "counts"),
    "a text": ("zones",),
    "an integer and a text": ("pairs",),
    "one integer, features that are texts": ("words",),
}
CALLERS = ("sync", "async")
_KEY_SETS = 50
_CASES = "case"  # a feature service's name, with its place in `SERVICES`

Asked = dict[str, "NDArray[Any]"]
Call = Callable[[Asked], Awaitable[object]]


@dataclass(frozen=True)
class Measured:
    """Mean seconds a call, turn by turn, of one store, caller and number of entities."""

    ours: list[float]
    stock: list[float]


Found = dict[tuple[str, str], dict[tuple[str, int], Measured]]


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
        offline_store={"type": "feast_columnar.AsofOfflineStore"},
        online_store=dict(online_store),
        batch_engine={"type": "feast_columnar.StreamingComputeEngine"},
        entity_key_serialization_version=3,
        repo_path=folder,
    )
    entities = {
        KEY: Entity(name="driver", join_keys=[KEY], value_type=ValueType.INT64),
        "zone": Entity(name="zone_entity", join_keys=["zone"], value_type=ValueType.STRING),
    }
    now = datetime.now(tz=UTC)
    views = {name: _view(folder, [entities[key] for key in KEYS[name]], name, now) for name in VIEWS}
    services = [
        FeatureService(name=f"{_CASES}_{place}", features=[views[name] for name in names])
        for place, names in enumerate(SERVICES.values())
    ]
    store = FeatureStore(config=config)
    store.apply([*entities.values(), *views.values(), *services])
    store.materialize(now - timedelta(days=1), now)
    return lambda: FeatureStore(config=config)


def keys_of(numbers: NDArray[np.int64], names: Sequence[str]) -> Asked:
    """Return the keys of some entities, by name."""
    texts = np.array([f"zone-{number:05d}" for number in numbers.tolist()], dtype=object)
    return {name: numbers if name == KEY else texts for name in names}


def _view(folder: Path, entities: list[Entity], name: str, now: datetime) -> FeatureView:
    """Write a view's rows, and return the view."""
    random, features = np.random.default_rng(5), VIEWS[name]
    columns: dict[str, Any] = {feature: _values(random, dtype) for feature, dtype in features.items()}
    times = pa.array([now - timedelta(hours=1)] * ENTITIES, pa.timestamp("us", "UTC"))
    path = folder / f"{name}.parquet"
    keys = keys_of(np.arange(ENTITIES), KEYS[name])
    pq.write_table(pa.table({**keys, "event_timestamp": times, **columns}), path)
    source = FileSource(name=f"{name}_source", path=str(path), timestamp_field="event_timestamp")
    schema = [Field(name=feature, dtype=dtype) for feature, dtype in features.items()]
    return FeatureView(name=name, entities=entities, schema=schema, source=source, ttl=timedelta(days=2))


def _values(random: np.random.Generator, dtype: object) -> NDArray[Any]:
    """Return a feature's values."""
    integers = random.integers(0, 300, ENTITIES)
    if dtype == String:
        return np.array([f"a text, number {number}" for number in integers.tolist()], dtype=object)
    return (
        integers if dtype == Int64 else random.random(ENTITIES).astype(np.float32 if dtype == Float32 else np.float64)
    )


def callers(reader: OnlineReader, store: FeatureStore, name: str) -> dict[str, tuple[Call, Call]]:
    """Return our call and Feast's, by how they are called."""
    service = store.get_feature_service(name)
    has_async = store._get_provider().online_store.async_supported.read  # noqa: SLF001 - Feast has no other way

    def given(keys: Asked) -> Any:  # noqa: ANN401 - an array where there is one integer, else columns
        return keys[KEY] if list(keys) == [KEY] else keys

    def stock(keys: Asked) -> dict[str, Any]:
        answer: dict[str, Any] = store.get_online_features(service, _listed(keys)).to_dict()
        return answer

    async def ours_sync(keys: Asked) -> object:
        return reader.read(given(keys))

    async def ours_async(keys: Asked) -> object:
        return await reader.read_async(given(keys))

    async def stock_sync(keys: Asked) -> object:
        return stock(keys)

    async def stock_async(keys: Asked) -> object:
        if not has_async:
            return await asyncio.to_thread(stock, keys)
        return (await store.get_online_features_async(service, _listed(keys))).to_dict()

    return {"sync": (ours_sync, stock_sync), "async": (ours_async, stock_async)}


def _listed(keys: Asked) -> dict[str, list[Any]]:
    return {name: column.tolist() for name, column in keys.items()}


async def compare(
    reader: OnlineReader, store: FeatureStore, name: str, turns: int, seconds: float
) -> dict[tuple[str, int], Measured]:
    """Let both read by turns, after they were seen to give the same and have warmed up."""
    random = np.random.default_rng(9)
    keys = {
        size: [keys_of(random.choice(ENTITIES, size, replace=False), list(reader.keys)) for _ in range(_KEY_SETS)]
        for size in SIZES
    }
    calls = callers(reader, store, name)
    for ours, stock in calls.values():
        for sets in keys.values():
            await _require_same(reader, ours, stock, sets[0])
    found = {(caller, size): Measured([], []) for caller in CALLERS for size in SIZES}
    for turn in range(turns):
        for (caller, size), measured in found.items():
            ours, stock = calls[caller]
            measured.ours.append(await _mean(ours, keys[size], seconds))
            measured.stock.append(await _mean(stock, keys[size], seconds))
        print(f"  turn {turn + 1} of {turns}", file=sys.stderr)
    return found


async def _require_same(reader: OnlineReader, ours: Call, stock: Call, keys: Asked) -> None:
    features: Any = await ours(keys)
    answer: Any = await stock(keys)
    for place, name in enumerate(reader.columns):
        np.testing.assert_array_equal(features.matrix[:, place], np.array(answer[name], dtype=np.float64))
    for name in reader.others:
        np.testing.assert_array_equal(features.others[name], np.array(answer[name], dtype=object))


async def _mean(call: Call, keys: Sequence[Asked], seconds: float) -> float:
    """Return the mean seconds of a call, over at least some time."""
    count, start = 0, time.perf_counter()
    while True:
        await call(keys[count % len(keys)])
        count += 1
        taken = time.perf_counter() - start
        if taken >= seconds:
            return taken / count


def rows(found: Found) -> Iterator[list[str]]:
    """Yield the rows of the table."""
    for (store, case), measured in found.items():
        for (caller, size), one in measured.items():
            ours, stock = (f"{1e3 * statistics.median(times):.2f}" for times in (one.ours, one.stock))
            yield [store, case, caller, f"{size:,}", ours, stock, spread(ratios(one.stock, one.ours), 1)]


def report(found: Found, turns: int, load: float) -> str:
    """Return the table."""
    header = ["online store", "keyed by", "called", "entities", "the reader, ms", "`get_online_features`, ms"]
    header.append("times as fast")
    head = (
        f"Median (lowest to highest) of {turns} turns in one process, {ENTITIES:,} entities; by one integer two "
        f"feature views with five features, by other keys one view with two. {machine()}; load before: {load:.1f}."
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
    load, found = os.getloadavg()[0], Found()
    with tempfile.TemporaryDirectory() as name, redis_server(Path(name)) as address:
        stores = {
            "SQLite": {"type": "sqlite", "path": f"{name}/SQLite/online.db"},
            "Redis": {"type": "redis", "connection_string": address},
        }
        for store, settings in stores.items():
            folder = Path(name) / store
            folder.mkdir()
            opened = make_repo(folder, settings)
            for place, (case, names) in enumerate(SERVICES.items()):
                columns = [feature for name in names for feature in VIEWS[name]]
                reader, service = open_reader(opened(), f"{_CASES}_{place}", columns=columns), f"{_CASES}_{place}"
                found[store, case] = asyncio.run(compare(reader, opened(), service, options.turns, options.seconds))
                reader.close()
    table = report(found, options.turns, load)
    options.output.write_text(table, encoding="utf-8")
    print(table)


if __name__ == "__main__":
    main()
