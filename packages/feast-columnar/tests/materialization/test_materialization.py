"""The streaming engine stores what Feast's own engine stores, on SQLite and on Redis, byte for byte."""

from __future__ import annotations

import sqlite3
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis
from feast import (
    BatchFeatureView,
    Entity,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    PushSource,
    RepoConfig,
    ValueType,
)
from feast.data_format import ParquetFormat
from feast.infra.common.materialization_job import MaterializationTask
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import extract_text_and_num
from feast.infra.online_stores.redis import RedisOnlineStore
from feast.infra.online_stores.sqlite import SqliteOnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.repo_config import get_batch_engine_config_from_type
from feast.type_map import python_values_to_proto_values
from feast.types import (
    Array,
    Bool,
    Bytes,
    Decimal,
    FeastType,
    Float32,
    Float64,
    Int32,
    Int64,
    Json,
    String,
    UnixTimestamp,
    Uuid,
)
from feast.utils import _convert_arrow_to_proto
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.backoff import NoBackoff
from redis.retry import Retry

from feast_columnar.materialization import engine as materialization
from feast_columnar.materialization import sink
from feast_columnar.materialization.engine import StreamingComputeEngine, plain_source
from feast_columnar.materialization.record_batches import record_batches
from feast_columnar.materialization.sink import Sink
from feast_columnar.online import redis as redis_layout
from feast_columnar.online.batches import Layout, encode_batch
from feast_columnar.online.keys import encode_keys
from feast_columnar.online.redis import RedisWriter, exchange
from feast_columnar.online.sqlite import SqliteWriter
from feast_columnar.online.sqlite_store import SharedSqliteOnlineStore
from feast_columnar.online.stores import bulk_writer
from feast_columnar.online.values import encode_column

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

ENGINE = "feast_columnar.StreamingComputeEngine"
START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 31, tzinfo=UTC)
STORES = ["sqlite", "redis"]
OFFLINE = {"duckdb": "duckdb", "asof": "feast_columnar.AsofOfflineStore"}
Rows = dict[bytes, Any]


# --- A feature repo on either store -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Repos:
    """Feature repos on one kind of online store: `stock` and `ours` differ in the engine alone."""

    kind: str
    folder: Path
    address: str
    offline: str

    def open(self, engine: str, *, rows: int | None = None, **online: int) -> FeatureStore:
        batch_engine: object = "local" if engine == "stock" else {"type": ENGINE, "rows_per_batch": rows}
        config = RepoConfig(
            project="shop",
            provider="local",
            registry=str(self.folder / f"{engine}.registry.db"),
            offline_store={"type": self.offline},
            online_store=self._online(engine) | online,
            batch_engine=batch_engine,
            entity_key_serialization_version=3,
            repo_path=self.folder,
        )
        return FeatureStore(config=config)

    def _online(self, engine: str) -> dict[str, object]:
        if self.kind == "sqlite":
            return {"type": "sqlite", "path": str(self.folder / f"{engine}.online.db")}
        return {"type": "redis", "connection_string": f"{self.address},db={self._database(engine)}"}

    @staticmethod
    def _database(engine: str) -> int:
        return 0 if engine == "stock" else 1

    def stored(self, engine: str) -> Rows:
        """Everything that the online store holds, as it holds it."""
        if self.kind == "sqlite":
            return _sqlite_content(self.folder / f"{engine}.online.db")
        with redis.Redis.from_url(f"redis://{self.address}/{self._database(engine)}") as client:
            return {key: client.hgetall(key) for key in client.scan_iter()}


def _sqlite_content(path: Path) -> Rows:
    connection = sqlite3.connect(path)  # without converters: what is on disk
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    rows: Rows = {}
    for table in tables:
        for key, name, *values in connection.execute(f'SELECT * FROM "{table}"'):
            rows[key + name.encode()] = (table, values)
    connection.close()
    return rows


@pytest.fixture
def clean_redis(redis_server: str) -> str:
    with redis.Redis.from_url(f"redis://{redis_server}") as client:
        client.flushall()
    return redis_server


@pytest.fixture(params=OFFLINE)
def offline(request: pytest.FixtureRequest) -> str:
    return OFFLINE[request.param]


@pytest.fixture(params=STORES)
def repos(request: pytest.FixtureRequest, tmp_path: Path, clean_redis: str, offline: str) -> Repos:
    return Repos(request.param, tmp_path, clean_redis, offline)


# --- Data -------------------------------------------------------------------------------------------------------------


def times(count: int) -> pa.Array:
    moments = np.datetime64("2026-01-02T03:04:05.678901", "us") + np.arange(count) * np.timedelta64(3_601_000_001, "us")
    return pa.array(moments, type=pa.timestamp("us", tz="UTC"))


def table_of(columns: dict[str, pa.Array], **keys: pa.Array) -> pa.Table:
    keys = keys or {"driver_id": pa.array(range(len(next(iter(columns.values())))), pa.int64())}
    count = len(next(iter(keys.values())))
    return pa.table({**keys, **columns, "event_timestamp": times(count), "created": times(count)})


def numbers(count: int) -> pa.Table:
    return table_of({name: pa.array(np.linspace(-1, 1, count) * (place + 1)) for place, name in enumerate("abc")})


NUMBERS = {"a": Float64, "b": Float64, "c": Float64}


def source_of(
    folder: Path, table: pa.Table, *, created: str = "created", mapping: dict[str, str] | None = None
) -> FileSource:
    path = folder / "features.parquet"
    pq.write_table(table, path)
    return FileSource(
        name="features",
        path=str(path),
        file_format=ParquetFormat(),
        timestamp_field="event_timestamp",
        created_timestamp_column=created,
        field_mapping=mapping,
    )


def view_of(
    source: Any,
    features: Mapping[str, FeastType],
    keys: dict[str, ValueType] | None = None,
    **options: Any,
) -> tuple[list[Entity], FeatureView]:
    keys = {"driver_id": ValueType.INT64} if keys is None else keys
    entities = [Entity(name=f"the_{key}", join_keys=[key], value_type=kind) for key, kind in keys.items()]
    schema = [Field(name=name, dtype=kind) for name, kind in features.items()]
    options = {"name": "stats", "ttl": timedelta(days=1), **options}
    return entities, FeatureView(entities=entities, schema=schema, source=source, **options)


def materialize(store: FeatureStore, objects: tuple[list[Entity], FeatureView]) -> None:
    store.apply([*objects[0], objects[1]])
    store.materialize(START, END)


def assert_same(
    repos: Repos, make: Callable[[], tuple[list[Entity], FeatureView]], *, rows: int | None = None, **online: int
) -> Rows:
    for engine in ("stock", "ours"):
        materialize(repos.open(engine, rows=rows, **online), make())
    stored = repos.stored("ours")
    assert stored == repos.stored("stock")
    return stored


def forbid_protos(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        pytest.fail("took Feast's slow path")

    monkeypatch.setattr(sink, "_convert_arrow_to_proto", refuse)


# --- The same bytes ---------------------------------------------------------------------------------------------------

SCALARS: dict[str, tuple[FeastType, pa.Array]] = {
    "double": (Float64, pa.array([0.1, -0.0, None, float("nan"), float("inf"), 1e300])),
    "float": (Float32, pa.array([0.1, 0.0, None, float("nan"), float("-inf"), 3e38], pa.float32())),
    "int32": (Int32, pa.array([0, 1, -1, None, 2**31 - 1, -(2**31)], pa.int32())),
    "int64": (Int64, pa.array([0, 127, 128, None, -1, 2**53], pa.int64())),
    "wide": (Int64, pa.array([0, 1, 2, 3, 2**63 - 1, -(2**63)], pa.int64())),
    "narrowed": (Int32, pa.array([0, 1, -1, None, 5, 7], pa.int64())),
    "bool": (Bool, pa.array([True, False, None, True, False, None])),
    "string": (String, pa.array(["", "ü", None, "x" * 200, "line\nbreak", "\x00"])),
    "big_string": (String, pa.array(["", "ü", None, "x" * 20_000, "b", "c"], pa.large_string())),
    "bytes": (Bytes, pa.array([b"", b"\x00\xff", None, b"x" * 300, b"a", b"b"])),
    "moment": (UnixTimestamp, pa.array([0, 1, None, -1, 1_700_000_000_999_999, -1_500_000], pa.timestamp("us"))),
    "zoned": (UnixTimestamp, pa.array([0, 1, None, -1, 10**15, 5], pa.timestamp("us", tz="Europe/Berlin"))),
    "category": (String, pa.array(["a", "b", None, "a", "c", "b"])),
    "all_null": (Float64, pa.array([None] * 6, pa.float64())),
    "no_moment": (UnixTimestamp, pa.array([None] * 6, pa.timestamp("us"))),
    "counted": (Float64, pa.array([1, 2, None, 4, 5, 6], pa.int64())),
}
SCALAR_TYPES = {name: kind for name, (kind, _) in SCALARS.items()}
SCALAR_TABLE = table_of({name: values for name, (_, values) in SCALARS.items()})


def test_scalars_with_nulls_are_stored_as_feast_stores_them(repos: Repos, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_protos(monkeypatch)

    stored = assert_same(repos, lambda: view_of(source_of(repos.folder, SCALAR_TABLE), SCALAR_TYPES))

    assert len(stored) == (6 if repos.kind == "redis" else 6 * len(SCALARS))


@pytest.mark.parametrize(
    "keys",
    [
        {"driver_id": (ValueType.INT64, pa.array([1, -1, 2**62], pa.int64()))},
        {"driver_id": (ValueType.INT32, pa.array([1, -1, 2**30], pa.int32()))},
        {"plate": (ValueType.STRING, pa.array(["", "B-ü 1", "x" * 300]))},
        {"chip": (ValueType.BYTES, pa.array([b"", b"\xff\x00", b"xyz"]))},
        {
            "zone": (ValueType.STRING, pa.array(["north", "north", "south"])),
            "driver_id": (ValueType.INT64, pa.array([1, 2, 1], pa.int64())),
            "hour": (ValueType.UNIX_TIMESTAMP, pa.array([0, 1, -1], pa.timestamp("us"))),
        },
    ],
    ids="+".join,
)
def test_entity_keys_are_stored_as_feast_stores_them(
    repos: Repos, keys: dict[str, tuple[ValueType, pa.Array]], monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_protos(monkeypatch)
    table = table_of({"a": pa.array([1.0, 2.0, None])}, **{name: values for name, (_, values) in keys.items()})
    kinds = {name: kind for name, (kind, _) in keys.items()}

    stored = assert_same(repos, lambda: view_of(source_of(repos.folder, table), {"a": Float64}, kinds))

    assert len(stored) == 3


FURTHER: dict[str, tuple[FeastType, pa.Array]] = {
    "vector": (Array(Float64), pa.array([[1.0, 2.0], [], None])),
    "names": (Array(String), pa.array([["a"], ["b", "c"], None])),
    "json": (Json, pa.array(['{"a": 1}', None, "[]"])),
    "uuid": (Uuid, pa.array(["6f1b1a52-37b5-4a0c-8b0e-6f3b8b7a9c01", None, "6f1b1a52-37b5-4a0c-8b0e-6f3b8b7a9c02"])),
    "decimal": (Decimal, pa.array(["1.10", None, "2"])),
    "plain": (Float64, pa.array([1.0, None, 3.0])),
}


def test_further_types_are_stored_as_feast_stores_them(repos: Repos, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_protos(monkeypatch)
    table = table_of({name: values for name, (_, values) in FURTHER.items()})
    kinds = {name: kind for name, (kind, _) in FURTHER.items()}

    assert_same(repos, lambda: view_of(source_of(repos.folder, table), kinds))


def test_field_mapping_is_applied(repos: Repos) -> None:
    mapping = {"id": "driver_id", "conv": "a", "ts": "event_timestamp", "made": "created"}
    raw = numbers(5).select(["driver_id", "a", "event_timestamp", "created"]).rename_columns(list(mapping))

    stored = assert_same(repos, lambda: view_of(source_of(repos.folder, raw, mapping=mapping), {"a": Float64}), rows=2)

    assert len(stored) == 5


def test_a_source_without_created_timestamps(repos: Repos) -> None:
    stored = assert_same(repos, lambda: view_of(source_of(repos.folder, numbers(5), created=""), NUMBERS))

    assert stored


def test_latest_row_of_each_driver_within_the_range(repos: Repos) -> None:
    stamps = ["2025-12-31", "2026-01-01", "2026-01-30", "2026-01-30", "2026-01-31T00:00:01", "2026-01-02"]
    created = ["2026-02-01", "2026-02-01", "2026-02-02", "2026-02-01", "2026-02-01", "2026-02-01"]
    table = pa.table(
        {
            "driver_id": pa.array([1, 1, 1, 1, 1, 2], pa.int64()),
            "a": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            "event_timestamp": pa.array(np.array(stamps, "datetime64[us]"), pa.timestamp("us", tz="UTC")),
            "created": pa.array(np.array(created, "datetime64[us]"), pa.timestamp("us", tz="UTC")),
        }
    )

    stored = assert_same(repos, lambda: view_of(source_of(repos.folder, table), {"a": Float64}))

    assert len(stored) == 2
    values = repos.open("ours").get_online_features(["stats:a"], [{"driver_id": 1}, {"driver_id": 2}]).to_dict()
    assert values["a"] == [3.0, 6.0]


def test_several_batches_store_the_same(repos: Repos) -> None:
    stored = assert_same(repos, lambda: view_of(source_of(repos.folder, numbers(103)), NUMBERS), rows=10)

    assert len(stored) == (103 if repos.kind == "redis" else 309)


def test_stock_store_reads_what_was_written(repos: Repos) -> None:
    materialize(repos.open("ours"), view_of(source_of(repos.folder, numbers(3)), NUMBERS))

    answer = repos.open("ours").get_online_features(["stats:a", "stats:c"], [{"driver_id": 2}, {"driver_id": 9}])

    assert answer.to_dict() == {"driver_id": [2, 9], "a": [1.0, None], "c": [3.0, None]}


@pytest.fixture(params=["America/New_York", "Asia/Kolkata"])
def local_zone(request: pytest.FixtureRequest) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield request.param
    time.tzset()


@pytest.mark.usefixtures("local_zone")
def test_local_time_zone_matters_as_little_as_to_feast(repos: Repos, caplog: pytest.LogCaptureFixture) -> None:
    assert_same(repos, lambda: view_of(source_of(repos.folder, numbers(30)), NUMBERS))

    warned = "Feast's own SQLite store (`type: sqlite`), whose times depend on the time zone" in caplog.text
    assert warned == (repos.kind == "sqlite")


def test_integers_with_nulls_stay_exact_where_feast_loses_digits(repos: Repos) -> None:
    table = table_of({"a": pa.array([2**53 + 1, None], pa.int64())})

    materialize(repos.open("ours"), view_of(source_of(repos.folder, table), {"a": Int64}))

    answer = repos.open("ours").get_online_features(["stats:a"], [{"driver_id": 0}]).to_dict()
    assert answer["a"] == [2**53 + 1]


# --- Semantics --------------------------------------------------------------------------------------------------------


def test_empty_range_writes_nothing(repos: Repos) -> None:
    stored = assert_same(repos, lambda: view_of(source_of(repos.folder, numbers(3).slice(0, 0)), NUMBERS))

    assert stored == {}


def test_twice_is_once(repos: Repos) -> None:
    store, objects = repos.open("ours", rows=7), view_of(source_of(repos.folder, numbers(20)), NUMBERS)
    materialize(store, objects)
    once = repos.stored("ours")

    store.materialize(START, END)

    assert repos.stored("ours") == once


def test_an_older_interval_after_a_newer_one(repos: Repos) -> None:
    days = pa.array(np.array(["2026-01-02", "2026-01-20"], "datetime64[us]"), pa.timestamp("us", tz="UTC"))
    columns = {"driver_id": pa.array([1, 1], pa.int64()), "a": [1.0, 2.0], "event_timestamp": days, "created": days}
    source = source_of(repos.folder, pa.table(columns))
    for engine in ("stock", "ours"):
        store = repos.open(engine)
        materialize(store, view_of(source, {"a": Float64}))
        store.materialize(START, START + timedelta(days=5))

    assert repos.stored("ours") == repos.stored("stock")
    value = repos.open("ours").get_online_features(["stats:a"], [{"driver_id": 1}]).to_dict()["a"]
    assert value == [2.0 if repos.kind == "redis" else 1.0]  # Feast's SQLite store overwrites, its Redis store compares


def test_incremental_goes_on_where_the_last_run_ended(repos: Repos) -> None:
    for engine in ("stock", "ours"):
        store = repos.open(engine)
        entities, view = view_of(source_of(repos.folder, numbers(40)), NUMBERS)
        store.apply([*entities, view])
        store.materialize(START, START + timedelta(days=2))
        store.materialize_incremental(START + timedelta(days=3))

    assert repos.stored("ours") == repos.stored("stock")
    intervals = repos.open("ours").get_feature_view("stats").materialization_intervals
    assert intervals[-1] == (START + timedelta(days=2), START + timedelta(days=3))


def test_failing_read_keeps_what_was_written(repos: Repos, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(job: Any, rows: int) -> Iterator[pa.RecordBatch]:
        batches = list(record_batches(job, rows))
        yield from batches[:2]
        message = "disk on fire"
        raise OSError(message)

    store, objects = repos.open("ours", rows=10), view_of(source_of(repos.folder, numbers(30)), NUMBERS)
    with monkeypatch.context() as patch:
        patch.setattr(materialization, "record_batches", failing)
        with pytest.raises(OSError, match="disk on fire"):
            materialize(store, objects)
    half = repos.stored("ours")
    assert len(half) == (20 if repos.kind == "redis" else 60)

    store.materialize(START, END)

    whole = repos.stored("ours")
    assert len(whole) == len(half) * 3 // 2
    assert half.items() <= whole.items()


def poison(repos: Repos, store: FeatureStore, driver: int) -> None:
    key = EntityKey(join_keys=["driver_id"], entity_values=python_values_to_proto_values([driver], ValueType.INT64))
    if repos.kind == "redis":
        client = redis.Redis.from_url(f"redis://{repos.address}/1")
        client.set(serialize_entity_key(key) + b"shop", "not a hash")
        client.close()
        return
    connection = sqlite3.connect(store.config.online_store.path)
    text = str(numbers(30)["c"][driver].as_py())
    connection.execute(
        f"CREATE TRIGGER bad BEFORE INSERT ON shop_stats WHEN NEW.value_text = '{text}' "
        "BEGIN SELECT RAISE(ABORT, 'WRONGTYPE'); END"
    )
    connection.close()


def test_failing_write_is_raised_and_leaves_no_half_rows(repos: Repos) -> None:
    store, (entities, view) = repos.open("ours", rows=10), view_of(source_of(repos.folder, numbers(30)), NUMBERS)
    store.apply([*entities, view])
    poison(repos, store, driver=17)

    with pytest.raises((sqlite3.Error, redis.RedisError), match="WRONGTYPE"):
        store.materialize(START, END)

    if repos.kind == "sqlite":
        assert len(repos.stored("ours")) % 30 == 0


def test_null_keys_are_refused_as_feast_refuses_them(repos: Repos) -> None:
    table = table_of({"a": pa.array([1.0, 2.0])}, driver_id=pa.array([1, None], pa.int64()))
    for engine in ("stock", "ours"):
        with pytest.raises(ValueError, match="not supported"):
            materialize(repos.open(engine), view_of(source_of(repos.folder, table), {"a": Float64}))


def test_values_that_do_not_fit_are_refused_as_feast_refuses_them(repos: Repos) -> None:
    table = table_of({"a": pa.array([1, 2**40], pa.int64())})
    for engine in ("stock", "ours"):
        with pytest.raises(ValueError, match="out of range"):
            materialize(repos.open(engine), view_of(source_of(repos.folder, table), {"a": Int32}))


# --- Progress ---------------------------------------------------------------------------------------------------------


class Bar:
    """Stands for tqdm."""

    def __init__(self, total: int | None) -> None:
        self.total, self.counts, self.closed, self.unit, self.desc, self.unit_scale = total, [0], False, "", "", False

    def update(self, rows: int) -> None:
        self.counts.append(rows)

    def __enter__(self) -> Bar:  # noqa: PYI034 - tqdm's shape, nothing more
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True


def run_with_bars(repos: Repos) -> list[Bar]:
    store, (entities, view) = repos.open("ours", rows=10), view_of(source_of(repos.folder, numbers(25)), NUMBERS)
    store.apply([*entities, view])
    bars: list[Bar] = []

    def build(total: int | None) -> Any:
        bars.append(Bar(total))
        return bars[-1]

    task = MaterializationTask("shop", store.get_feature_view("stats"), START, END, tqdm_builder=build)
    provider: Any = store.provider
    (job,) = provider.batch_engine.materialize(store.registry, task)
    assert (job.status().name, job.error(), job.job_id()) == ("SUCCEEDED", None, f"stats-{START}-{END}")
    return bars


def test_progress_counts_rows_on_a_terminal(
    repos: Repos, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)

    (bar,) = run_with_bars(repos)

    assert (bar.counts, bar.total, bar.closed) == ([0, 10, 10, 5], None, True)
    assert (bar.unit, bar.desc) == (" rows", "stats")
    assert "Materialized 25 rows of feature view stats" in caplog.text


def test_no_bar_without_a_terminal(repos: Repos, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)

    assert run_with_bars(repos) == []


# --- What Feast's own engine and the stores' own writes still do ------------------------------------------------------


def test_other_views_go_through_feasts_engine(tmp_path: Path) -> None:
    source = source_of(tmp_path, numbers(3))
    entities, plain = view_of(source, NUMBERS)
    pushed = view_of(PushSource(name="pushed", batch_source=source), NUMBERS)[1]
    with pytest.warns(RuntimeWarning, match="experimental"):
        batch = BatchFeatureView(name="batch", entities=entities, schema=plain.schema, source=source)
    others = [
        pushed,
        batch,
        view_of(source, {})[1],
        *(view_of(source, NUMBERS, **option)[1] for option in OTHER_OPTIONS),
    ]

    assert plain_source(MaterializationTask("shop", plain, START, END)) is source
    assert plain_source(MaterializationTask("shop", plain, START, END, only_latest=False)) is None
    assert [plain_source(MaterializationTask("shop", view, START, END)) for view in others] == [None] * len(others)


OTHER_OPTIONS: list[dict[str, Any]] = [{"offline": True}, {"online": False}, {"enable_validation": True}]


def test_validated_view_is_stored_by_feasts_engine(repos: Repos, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StreamingComputeEngine, "_stream", lambda *_: pytest.fail("streamed"))

    stored = assert_same(repos, lambda: view_of(source_of(repos.folder, numbers(3)), NUMBERS, enable_validation=True))

    assert stored


def test_stream_and_table_are_cut_alike() -> None:
    table = numbers(25)

    class Stream:
        def to_record_batches(self, rows_per_batch: int) -> pa.RecordBatchReader:
            return table.to_reader(rows_per_batch + 3)

    class Table:
        def to_arrow(self) -> pa.Table:
            return pa.concat_tables([table.slice(0, 3), table.slice(3, 11), table.slice(14)])

    jobs: list[Any] = [Stream(), Table()]
    assert [[batch.num_rows for batch in record_batches(job, 10)] for job in jobs] == [[10, 10, 5]] * 2


@pytest.mark.parametrize("option", ["vector_enabled", "enable_openai_compatible_store"])
def test_sqlite_options_with_columns_of_their_own(tmp_path: Path, option: str) -> None:
    repos = Repos("sqlite", tmp_path, "", "duckdb")

    stored = assert_same(repos, lambda: view_of(source_of(tmp_path, numbers(3)), NUMBERS), **{option: True})

    assert len(stored) == 9


def test_rows_per_batch_comes_from_the_engine_then_from_feast(tmp_path: Path) -> None:
    config: Any = RepoConfig(
        project="shop",
        provider="local",
        registry=str(tmp_path / "r.db"),
        materialization={"online_write_batch_size": 7},
    )
    stores: dict[str, Any] = {"repo_config": config, "offline_store": None, "online_store": None}

    assert StreamingComputeEngine(**stores).rows_per_batch == 7
    assert StreamingComputeEngine(**stores, rows_per_batch=9).rows_per_batch == 9
    config.materialization_config.online_write_batch_size = None
    assert StreamingComputeEngine(**stores).rows_per_batch == materialization.ROWS_PER_BATCH


def test_options_of_the_engine_are_checked() -> None:
    options = get_batch_engine_config_from_type(ENGINE)

    assert options(type=ENGINE, rows_per_batch=5).rows_per_batch == 5
    with pytest.raises(ValueError, match="greater than 0"):
        options(type=ENGINE, rows_per_batch=0)


class Recorder(SqliteOnlineStore):
    """A store with a write of its own."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def online_write_batch(self, config: object, table: object, data: list[Any], progress: object) -> None:  # noqa: ARG002
        self.sizes.append(len(data))


def test_other_stores_get_protos_in_small_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink, "PROTO_ROWS", 4)
    store, (_, view) = Recorder(), view_of(source_of(tmp_path, numbers(10)), NUMBERS)
    config = Repos("sqlite", tmp_path, "", "duckdb").open("stock").config
    layout = Layout.of(view, "event_timestamp", "created")

    Sink(store, config, view, layout, bulk_writer(store, config, view)).write(numbers(10).to_batches()[0])

    assert store.sizes == [4, 4, 2]


def test_which_stores_and_views_have_a_fast_writer(tmp_path: Path, redis_server: str) -> None:
    sqlite, in_redis = (Repos(kind, tmp_path, redis_server, "duckdb").open("stock").config for kind in STORES)
    _, view = view_of(source_of(tmp_path, numbers(3)), NUMBERS)
    _, indexed = view_of(source_of(tmp_path, numbers(3)), {"v": Array(Float32)})
    indexed.features[0].vector_index = True
    cluster, old = in_redis.model_copy(deep=True), sqlite.model_copy(update={"entity_key_serialization_version": 2})
    cluster.online_store.redis_type = "redis_cluster"

    assert isinstance(bulk_writer(SqliteOnlineStore(), sqlite, view), SqliteWriter)
    assert isinstance(bulk_writer(RedisOnlineStore(), in_redis, view), RedisWriter)
    assert bulk_writer(RedisOnlineStore(), cluster, view) is None
    assert bulk_writer(SqliteOnlineStore(), sqlite, indexed) is None
    assert bulk_writer(SqliteOnlineStore(), old, view) is None
    assert bulk_writer(Recorder(), sqlite, view) is None


@pytest.mark.parametrize("option", ["vector_enabled", "enable_openai_compatible_store"])
def test_tables_with_further_columns_are_left_to_the_shared_store_as_well(tmp_path: Path, option: str) -> None:
    config = Repos("sqlite", tmp_path, "", "duckdb").open("stock").config
    _, view = view_of(source_of(tmp_path, numbers(3)), NUMBERS)
    more = config.model_copy(deep=True)
    setattr(more.online_store, option, True)

    assert isinstance(bulk_writer(SharedSqliteOnlineStore(), config, view), SqliteWriter)
    assert bulk_writer(SharedSqliteOnlineStore(), more, view) is None


def test_times_that_only_feast_may_judge() -> None:
    layout = Layout({"a": ValueType.DOUBLE}, {"driver_id": ValueType.INT64}, "event_timestamp", "created")
    batch = numbers(2).select(["driver_id", "a", "event_timestamp", "created"]).to_batches()[0]
    dates = batch.set_column(2, "event_timestamp", pa.array(["2026-01-01", "2026-01-02"]))
    null = batch.set_column(2, "event_timestamp", pa.array([None, None], pa.timestamp("us")))

    assert encode_batch(batch, layout) is not None
    assert encode_batch(dates, layout) is None
    assert encode_batch(null, layout) is None


def test_categories_are_decoded() -> None:
    names = pa.array(["a", "b", "a"])
    batch, coded = pa.record_batch({"key": names}), pa.record_batch({"key": names.dictionary_encode()})
    kinds = {"key": ValueType.STRING}

    assert encode_keys(coded, kinds) == encode_keys(batch, kinds)
    assert encode_column(coded["key"], ValueType.STRING).texts() == ["a", "b", "a"]


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        (pa.array([1.0, 2.0]), ValueType.DOUBLE),
        (pa.array(["1", "2"]), ValueType.INT64),
        (pa.array([1, None]), ValueType.INT64),
        (pa.array([1, 2**40]), ValueType.INT32),
    ],
)
def test_keys_that_only_feast_may_judge(array: pa.Array, kind: ValueType) -> None:
    assert encode_keys(pa.record_batch({"key": array}), {"key": kind}) is None


def test_null_created_timestamps_become_null(tmp_path: Path) -> None:
    repos, table = Repos("sqlite", tmp_path, "", "duckdb"), numbers(2)
    table = table.set_column(5, "created", pa.array([None, None], pa.timestamp("us")))

    materialize(repos.open("ours"), view_of(source_of(tmp_path, table), NUMBERS))

    assert len(repos.stored("ours")) == 6
    assert {row[1][-1] for row in repos.stored("ours").values()} == {None}


# --- Redis alone ------------------------------------------------------------------------------------------------------


@pytest.fixture
def redis_repos(tmp_path: Path, clean_redis: str) -> Repos:
    return Repos("redis", tmp_path, clean_redis, "duckdb")


def write_both(repos: Repos, table: pa.Table, **online: int) -> None:
    """Each row handed to either writer in one call, as no offline store would: keys may repeat."""
    entities, view = view_of(source_of(repos.folder, table), {"a": Float64})
    for engine in ("stock", "ours"):
        store = repos.open(engine, **online)
        store.apply([*entities, view])
        view = store.get_feature_view("stats")
        online_store, batch = store.provider.online_store, table.combine_chunks().to_batches()[0]
        layout = Layout.of(view, "event_timestamp", "created")
        if engine == "ours":
            Sink(online_store, store.config, view, layout, bulk_writer(online_store, store.config, view)).write(batch)
        else:
            rows = _convert_arrow_to_proto(batch, view, {"driver_id": ValueType.INT64})
            online_store.online_write_batch(store.config, view, rows, None)


def history() -> pa.Table:
    days = ["2026-01-03", "2026-01-05", "2026-01-04", "2026-01-05", "1970-01-01", "1969-12-31T23:59:59.5"]
    stamps = pa.array(np.array(days, "datetime64[us]"), pa.timestamp("us", tz="UTC"))
    drivers = pa.array([1, 1, 1, 1, 2, 3], pa.int64())
    return pa.table({"driver_id": drivers, "a": [1.0, 2, 3, 4, 5, 6], "event_timestamp": stamps, "created": stamps})


@pytest.mark.parametrize("rows", [2, 100])
@pytest.mark.parametrize("skip", [True, False])
def test_redis_repeated_keys_resolve_as_feast_resolves_them(
    redis_repos: Repos, monkeypatch: pytest.MonkeyPatch, *, skip: bool, rows: int
) -> None:
    monkeypatch.setattr(redis_layout, "REDIS_ROWS", rows)

    for _ in range(2):
        write_both(redis_repos, history(), skip_dedup=skip)
        assert redis_repos.stored("ours") == redis_repos.stored("stock")

    assert len(redis_repos.stored("ours")) == 3


def test_redis_expiry(redis_repos: Repos) -> None:
    write_both(redis_repos, history(), key_ttl_seconds=500)

    with redis.Redis.from_url(f"redis://{redis_repos.address}/1") as client:
        assert {client.ttl(key) for key in client.scan_iter()} <= {498, 499, 500}
    assert redis_repos.stored("ours") == redis_repos.stored("stock")


def test_redis_lost_connection_is_tried_again() -> None:
    class Flaky:
        retry = Retry(NoBackoff(), retries=1)
        sent, dropped = 0, 0

        def send_packed_command(self, _: list[bytes]) -> None:
            self.sent += 1
            if self.sent == 1:
                raise redis.ConnectionError

        def read_response(self, *, disable_decoding: bool) -> str:
            return f"{self.sent} {disable_decoding}"

        def disconnect(self) -> None:
            self.dropped += 1

    flaky = Flaky()

    assert exchange(flaky, pa.array([b"PING"]), replies=2) == ["2 True", "2 True"]
    assert flaky.dropped == 1


# --- The wire format, at random ---------------------------------------------------------------------------------------

INT32S, INT64S = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
EXACT = st.integers(-(2**53), 2**53)  # Feast goes through doubles where there are nulls
MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1))  # noqa: DTZ001 - naive is UTC
RANDOM = {
    ValueType.DOUBLE: (st.floats(), pa.float64()),
    ValueType.FLOAT: (st.floats(width=32), pa.float32()),
    ValueType.INT32: (INT32S, pa.int32()),
    ValueType.INT64: (EXACT, pa.int64()),
    ValueType.BOOL: (st.booleans(), pa.bool_()),
    ValueType.STRING: (st.text(st.characters(codec="utf-8")), pa.string()),
    ValueType.BYTES: (st.binary(min_size=1), pa.binary()),
    ValueType.UNIX_TIMESTAMP: (MOMENTS, pa.timestamp("us")),
}


@settings(deadline=None, max_examples=60)
@pytest.mark.parametrize("kind", RANDOM, ids=lambda kind: kind.name)
@given(data=st.data())
def test_any_column_is_encoded_as_feast_encodes_it(kind: ValueType, data: st.DataObject) -> None:
    values, arrow = RANDOM[kind]
    array = pa.array(data.draw(st.lists(values | st.none(), max_size=20)), arrow)
    protos = python_values_to_proto_values(array.to_numpy(zero_copy_only=False), kind)

    column = encode_column(array, kind)

    assert column.wire().to_pylist() == [proto.SerializeToString() for proto in protos]
    assert column.texts() == [extract_text_and_num(proto, compute_num=False)[0] for proto in protos]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(INT64S, INT32S, st.text(st.characters(codec="utf-8")), st.binary(min_size=1), MOMENTS),
        min_size=1,
        max_size=10,
    )
)
def test_any_key_is_encoded_as_feast_encodes_it(rows: list[tuple[Any, ...]]) -> None:
    kinds = {
        "zulu": (ValueType.INT64, pa.int64()),
        "alpha": (ValueType.INT32, pa.int32()),
        "mike": (ValueType.STRING, pa.string()),
        "bravo": (ValueType.BYTES, pa.binary()),
        "über": (ValueType.UNIX_TIMESTAMP, pa.timestamp("us")),
    }
    columns = {
        name: pa.array(list(values), arrow)
        for (name, (_, arrow)), values in zip(kinds.items(), zip(*rows, strict=True), strict=True)
    }
    protos = [
        python_values_to_proto_values(columns[name].to_numpy(zero_copy_only=False), kind)
        for name, (kind, _) in kinds.items()
    ]
    expected = [
        serialize_entity_key(EntityKey(join_keys=list(kinds), entity_values=values))
        for values in zip(*protos, strict=True)
    ]

    keys = encode_keys(pa.record_batch(columns), {name: kind for name, (kind, _) in kinds.items()})

    assert keys is not None
    assert keys.to_pylist() == expected
