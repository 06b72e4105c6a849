"""What is recorded of materializations and pushes, on SQLite and on Redis."""

from __future__ import annotations

import asyncio
import getpass
import hashlib
import os
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pytest
import redis
from columnar_support.ledger_entries import NOON, at
from columnar_support.ledger_repos import LedgerRepo
from feast import FeatureView, Field
from feast.types import Int64

from feast_columnar.errors import AsofError, RepoError
from feast_columnar.ledger import recording
from feast_columnar.ledger.described import definition_digest, described_source
from feast_columnar.ledger.entries import Brought, Kind, OnlineStore, Outcome
from feast_columnar.ledger.settings import open_ledger, store_of
from feast_columnar.ledger.tally import Tally
from feast_columnar.materialization.ranges import materialize_on, materialize_range

if TYPE_CHECKING:
    from collections.abc import Iterator

SQLITE, REDIS = "feast_columnar.SharedSqliteOnlineStore", "feast_columnar.SecretRedisOnlineStore"
ROWS = [(1, -90, -80, 10), (1, -60, -50, 11), (2, -30, 20, 20), (3, -10, -10, 30), (4, 60, 60, 40)]


@pytest.fixture
def sqlite(tmp_path: Path) -> LedgerRepo:
    made = LedgerRepo(tmp_path, {"type": SQLITE, "path": str(tmp_path / "online.db")})
    made.write(*ROWS)
    return made


@pytest.fixture(params=["sqlite", "redis"])
def repo(request: pytest.FixtureRequest, sqlite: LedgerRepo, tmp_path: Path) -> Iterator[LedgerRepo]:
    if request.param == "sqlite":
        yield sqlite
        return
    address = request.getfixturevalue("redis_server")
    monkeypatch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    monkeypatch.setenv("REDIS_PASSWORD", "")
    with redis.Redis.from_url(f"redis://{address}/9") as client:
        client.flushdb()
    online = {"type": REDIS, "connection_string": f"{address},db=9"}
    yield LedgerRepo(tmp_path, online)


def hour() -> tuple[datetime, datetime]:
    return at(-120), at(0)


def frame(*rows: tuple[int, float, float | None, int]) -> pd.DataFrame:
    records = [
        {"driver_id": one, "event_timestamp": at(event), "created": None if made is None else at(made), "trips": trips}
        for one, event, made, trips in rows
    ]
    return pd.DataFrame(records).astype({"created": "datetime64[us, UTC]"})


# ---- Materializations ------------------------------------------------------------------------------------------------


def test_a_materialization_is_recorded_with_all_that_is_known_of_it(repo: LedgerRepo) -> None:
    store, before = repo.apply(), datetime.now(tz=UTC)
    store.materialize(*hour(), feature_views=["stats"])
    (found,) = repo.entries()
    assert (found.kind, found.outcome, found.project, found.view) == ("materialization", "finished", "shop", "stats")
    assert (found.start, found.end, found.join_keys, found.error) == (*hour(), ("driver_id",), None)
    assert found.ended is not None
    assert before <= found.began <= found.ended <= datetime.now(tz=UTC)
    brought = found.brought
    assert (brought.rows, brought.oldest_event_time, brought.newest_event_time) == (3, at(-60), at(-10))
    assert (brought.newest_created, found.store_was_empty, found.run) == (at(20), True, None)
    assert found.actor.pid == os.getpid()
    assert (found.actor.user, found.actor.host) == (getpass.getuser(), socket.gethostname())
    assert (found.store.type, found.store.overwrites) == (
        repo.online_store["type"],
        repo.online_store["type"] == SQLITE,
    )
    assert found.store.address == repo.online_store.get("path", repo.online_store.get("connection_string"))
    (source,) = found.sources
    file = repo.folder / "stats.parquet"
    assert (source.name, source.path, source.count, source.size) == (
        "stats_source",
        "stats.parquet",
        1,
        file.stat().st_size,
    )
    content = file.read_bytes()
    footer = hashlib.sha256(content[-8 - int.from_bytes(content[-8:-4], "little") : -8]).hexdigest()
    assert (source.files[0].path, source.files[0].size, source.files[0].digest) == (str(file), source.size, footer)
    assert source.files[0].modified is not None
    assert abs(source.files[0].modified.timestamp() - file.stat().st_mtime) < 0.001


def test_where_a_row_came_from_is_answered_for_what_the_store_gives(repo: LedgerRepo) -> None:
    store = repo.apply()
    store.materialize(*hour(), feature_views=["stats"])
    store.materialize(at(1), at(90), feature_views=["stats"])
    features = store.get_online_features(["stats:trips"], [{"driver_id": driver} for driver in (2, 4)])
    times = [one.ToDatetime(tzinfo=UTC) for result in features.proto.results for one in result.event_timestamps][-2:]
    history, now = open_ledger(store).history("stats"), datetime.now(tz=UTC)
    assert times == [at(-30), at(60)]
    assert [history.origins(time, now) for time in times] == [(history.entries[0],), (history.entries[1],)]
    assert [entry.store_was_empty for entry in history.entries] == [True, False]


def test_what_brings_nothing_is_recorded_as_that(sqlite: LedgerRepo) -> None:
    store = sqlite.apply()
    store.materialize(*hour(), feature_views=["stats"])
    store.materialize_incremental(at(-60), feature_views=["stats"])
    store.materialize(at(-5), at(-4), feature_views=["stats"])
    assert [entry.brought.rows for entry in sqlite.entries()] == [3, 0, 0]
    assert [entry.has_rows for entry in sqlite.entries()] == [True, False, False]


def test_rows_that_feasts_engine_brings_are_counted_as_the_store_is_given_them(repo: LedgerRepo) -> None:
    store = repo.apply(enable_validation=True)
    store.materialize(*hour(), feature_views=["stats"])
    (found,) = repo.entries()
    assert found.brought.rows is not None
    assert (found.outcome, found.kind, found.brought.newest_event_time) == (
        Outcome.FINISHED,
        "materialization",
        at(-10),
    )
    assert found.brought.rows >= 3


def test_what_fails_is_recorded_with_its_reason(sqlite: LedgerRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    store = sqlite.apply()
    monkeypatch.setenv("A_SECRET", "stats.parquet")
    (sqlite.folder / "stats.parquet").write_bytes(b"not Parquet")
    with pytest.raises(Exception, match="stats_source"):
        store.materialize(*hour(), feature_views=["stats"])
    (found,) = sqlite.entries()
    assert (found.outcome, found.brought.rows) == (Outcome.FAILED, 0)
    assert found.error is not None
    assert "stats_source" in found.error
    assert "stats.parquet" not in found.error


def test_what_feasts_engine_fails_at_is_recorded_with_its_reason(sqlite: LedgerRepo) -> None:
    store = sqlite.apply(enable_validation=True)
    (sqlite.folder / "stats.parquet").write_bytes(b"not Parquet")
    with pytest.raises(Exception, match="stats"):
        store.materialize(*hour(), feature_views=["stats"])
    (found,) = sqlite.entries()
    assert found.outcome is Outcome.FAILED
    assert found.error


def test_what_is_not_brought_online_is_not_recorded(sqlite: LedgerRepo) -> None:
    store = sqlite.apply(online=False, offline=True)
    with pytest.raises(AsofError):  # of its source, to which Feast would add an index of pandas
        store.materialize(*hour(), feature_views=["stats"])
    assert sqlite.entries() == []


def test_what_is_killed_has_begun(sqlite: LedgerRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    store = sqlite.apply()
    monkeypatch.setattr(recording.Recorder, "end", lambda *_, **__: None)  # as if it never came there
    store.materialize(*hour(), feature_views=["stats"])
    (found,) = sqlite.entries()
    assert (found.outcome, found.ended, found.brought.rows) == (Outcome.BEGUN, None, None)
    assert open_ledger(store).history("stats").origins(at(-60), datetime.now(tz=UTC)) == (found,)


def test_the_entries_of_one_run_say_so(sqlite: LedgerRepo) -> None:
    store = sqlite.apply()
    full = materialize_range(store, *hour(), now=at(-5))
    incremental = materialize_on(store, at(0), now=at(0))
    ledger = open_ledger(store)
    assert (full.mode, full.start, full.end) == ("full", at(-120).isoformat(), at(-5).isoformat())
    assert (incremental.mode, incremental.start, incremental.end) == ("incremental", None, NOON.isoformat())
    first = ledger.run(full.id)
    assert {entry.view for entry in first} == {"pushed", "stats"}
    assert {entry.run for entry in first} == {full}
    assert {entry.view for entry in ledger.run(incremental.id, since=first[-1].ended)} == {"pushed", "stats"}


@pytest.mark.slow
def test_feasts_own_command_is_recorded(sqlite: LedgerRepo, tmp_path: Path) -> None:
    sqlite.apply()
    config = f"""
project: shop
provider: local
registry: registry.db
online_store: {{type: {SQLITE}, path: {tmp_path}/online.db}}
offline_store: {{type: feast_columnar.AsofOfflineStore}}
batch_engine: {{type: feast_columnar.StreamingComputeEngine, ledger: {{path: ledger, keep_days: 30}}}}
entity_key_serialization_version: 3
"""
    (tmp_path / "feature_store.yaml").write_text(config)
    command = [
        str(Path(sys.executable).with_name("feast")),
        "materialize",
        "2026-01-31T10:00:00",
        "2026-01-31T12:00:00",
    ]
    ran = subprocess.run(
        [*command, "--views", "stats"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stderr
    (found,) = sqlite.entries()
    assert (found.view, found.brought.rows, found.actor.program) == ("stats", 3, "feast")
    assert (found.start, found.end) == hour()


# ---- Pushes ----------------------------------------------------------------------------------------------------------


def test_a_push_is_recorded(repo: LedgerRepo) -> None:
    store = repo.apply()
    store.push("push_source", frame((7, -5, -4, 1), (8, -3, None, 2)))
    store.write_to_online_store("stats", df=frame((9, -2, -1, 3)))
    pushed, written = repo.entries()
    assert (pushed.kind, pushed.outcome, pushed.view, pushed.start, pushed.end) == (
        "push",
        "finished",
        "pushed",
        None,
        None,
    )
    brought = pushed.brought
    assert (brought.rows, brought.oldest_event_time, brought.newest_event_time) == (2, at(-5), at(-3))
    assert (brought.newest_created, pushed.sources) == (at(-4), ())
    assert (written.kind, written.view, written.brought.rows) == ("push", "stats", 1)
    now = datetime.now(tz=UTC)
    assert open_ledger(store).history("pushed").origins(at(-3), now) == (pushed,)


def test_a_push_that_goes_on_in_an_event_loop_is_recorded(repo: LedgerRepo) -> None:
    store = repo.apply()
    push = store.push_async("push_source", frame((7, -5, -4, 1)))
    expected: Any = nullcontext() if repo.online_store["type"] == REDIS else pytest.raises(NotImplementedError)
    with expected:
        asyncio.run(_closing(store, push))
        assert [entry.view for entry in repo.entries()] == ["pushed"]


async def _closing(store: Any, push: Any) -> None:
    await push
    client = store._get_provider().online_store._client_async  # noqa: SLF001 - Feast's own close leaves its connections
    if client:
        await client.aclose(close_connection_pool=True)


def test_a_push_that_fails_is_recorded(sqlite: LedgerRepo) -> None:
    store = sqlite.apply()
    with closing(sqlite3.connect(sqlite.folder / "online.db")) as connection:
        connection.execute("DROP TABLE shop_pushed")
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        store.push("push_source", frame((7, -5, -4, 1)))
    (found,) = sqlite.entries()
    assert (found.outcome, found.brought.rows) == (Outcome.FAILED, 1)
    assert found.error == "no such table: shop_pushed"


def test_a_push_that_fails_without_a_ledger_is_an_error_as_ever(sqlite: LedgerRepo, tmp_path: Path) -> None:
    store = LedgerRepo(tmp_path, sqlite.online_store, None).apply()
    with closing(sqlite3.connect(sqlite.folder / "online.db")) as connection:
        connection.execute("DROP TABLE shop_pushed")
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        store.push("push_source", frame((7, -5, -4, 1)))
    assert not (tmp_path / "ledger").exists()


def test_times_that_are_none_are_not_counted() -> None:
    tally = Tally()
    tally.add_batch(pa.record_batch({"at": [NOON, None], "day": ["today", "today"]}), "at", "day")
    tally.add_batch(pa.record_batch({"at": pa.array([None], pa.timestamp("ns"))}), "at", "missing")
    assert tally.brought() == Brought(3, NOON, NOON, None)


def test_pushes_can_be_left_out(sqlite: LedgerRepo, tmp_path: Path) -> None:
    silent = LedgerRepo(tmp_path, sqlite.online_store, {"path": "ledger", "pushes": False})
    silent.apply().push("push_source", frame((7, -5, -4, 1)))
    assert silent.entries() == []


# ---- Without a ledger, with one that fails, and with one that can't be -----------------------------------------------


def test_without_one_nothing_is_recorded(sqlite: LedgerRepo, tmp_path: Path) -> None:
    for ledger, engine in ((None, {}), (None, {"batch_engine": "local"})):
        plain = LedgerRepo(tmp_path, sqlite.online_store, ledger)
        plain.apply()
        store = plain.open(**engine)
        store.materialize(*hour(), feature_views=["stats"])
        store.push("push_source", frame((7, -5, -4, 1)))
        with pytest.raises(RepoError, match="keeps no ledger of materializations: give batch_engine"):
            open_ledger(store)
    assert not (tmp_path / "ledger").exists()


def test_one_that_fails_ends_no_materialization_and_says_so(
    sqlite: LedgerRepo, caplog: pytest.LogCaptureFixture
) -> None:
    (sqlite.folder / "ledger").write_text("in its place")
    store = sqlite.apply()
    store.materialize(*hour(), feature_views=["stats"])
    store.push("push_source", frame((7, -5, -4, 1)))
    assert store.get_online_features(["stats:trips"], [{"driver_id": 1}]).to_dict()["trips"] == [11]
    said = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert [text.partition(": ")[0] for text in said] == [
        f"The ledger of materializations {sqlite.folder}/ledger can't take the {what}, so that what is served of it "
        "can't be traced"
        for what in (
            "materialization of stats, which is begun",
            "materialization of stats, which is finished",
            "push of pushed, which is finished",
        )
    ]
    assert "Not a directory" in said[0] or "File exists" in said[0]


def test_what_can_not_be_described_ends_nothing_and_is_said(
    sqlite: LedgerRepo, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(_: object) -> str:
        message = "no definition"
        raise LookupError(message)

    store = sqlite.apply()
    monkeypatch.setattr(recording, "definition_digest", failing)
    store.materialize(*hour(), feature_views=["stats"])
    store.push("push_source", frame((7, -5, -4, 1)))
    assert sqlite.entries() == []
    assert "can't say what the materialization of stats is: no definition" in caplog.text
    assert "can't say what the push to pushed is: no definition" in caplog.text


@pytest.mark.parametrize(
    ("ledger", "reason"),
    [
        ({"keep_days": 1}, "path"),
        ({"path": "x", "keep_days": -1}, "keep_days"),
        ("nowhere://x", "nowhere"),
        (7, "path"),
    ],
)
def test_one_that_can_not_be_is_refused_before_anything_is_read(
    sqlite: LedgerRepo, tmp_path: Path, ledger: object, reason: str
) -> None:
    sqlite.apply()
    store = LedgerRepo(tmp_path, sqlite.online_store, ledger).open()
    with pytest.raises((RepoError, ValueError), match=reason):
        store.materialize(*hour(), feature_views=["stats"])
    with pytest.raises(RepoError, match=f"can't be used as `batch_engine` configures it: (.|\n)*{reason}"):
        open_ledger(store)


# ---- What is said of sources, definitions, stores and people ---------------------------------------------------------


def test_folders_and_patterns_are_told_by_their_files_and_of_many_by_one_digest(sqlite: LedgerRepo) -> None:
    (sqlite.folder / "many" / "deep").mkdir(parents=True)
    for number in range(66):
        sqlite.write(ROWS[0], name=f"many/deep/{number}")
    (sqlite.folder / "many" / "_SUCCESS").write_text("")
    (sqlite.folder / "many" / "_hidden.parquet").write_text("")
    source: Any = sqlite.apply().get_data_source("stats_source")
    source.file_options.uri = "many"
    many = described_source(source, sqlite.folder)
    assert (many.count, many.files, len(many.digest or "")) == (66, (), 64)
    source.file_options.uri = "many/*/1*.parquet"
    some = described_source(source, sqlite.folder)
    assert (some.count, len(some.files)) == (11, 11)
    sqlite.write(ROWS[1], name="many/deep/10")
    assert described_source(source, sqlite.folder).digest != some.digest


def test_of_objects_what_their_store_says_is_taken(sqlite: LedgerRepo) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe_file("/described/one.parquet", b"rows")
    source: Any = sqlite.apply().get_data_source("stats_source")
    source.file_options.uri = "memory://described/one.parquet"
    told = described_source(source, None)
    assert (told.count, told.size, told.files[0].digest) == (1, 4, None)
    memory.rm("/described", recursive=True)
    source.file_options.uri = "nowhere://user:secret@described"
    told = described_source(source, None)
    assert (told.count, told.digest, told.path) == (None, "not listed: ValueError", "nowhere://user:***@described")


def test_a_source_without_files_is_told_by_its_kind(sqlite: LedgerRepo) -> None:
    source: Any = sqlite.apply().get_data_source("push_source")
    assert described_source(source, None).path == "PushSource"


def test_a_definition_has_one_digest_in_every_process_until_it_is_changed(sqlite: LedgerRepo) -> None:
    store = sqlite.apply()
    first = definition_digest(store.get_feature_view("stats"))
    sqlite.apply()
    assert definition_digest(sqlite.open().get_feature_view("stats")) == first
    changed = sqlite.apply(ttl=timedelta(days=2))
    assert definition_digest(changed.get_feature_view("stats")) != first


@pytest.mark.filterwarnings("ignore:On demand feature view is an experimental:RuntimeWarning")
def test_a_function_counts_by_its_text_and_not_by_how_it_is_pickled() -> None:
    from feast.on_demand_feature_view import OnDemandFeatureView
    from feast.transformation.pandas_transformation import PandasTransformation

    def digest(text: str, constant: int) -> str:
        view = OnDemandFeatureView(
            name="made",
            sources=[FeatureView(name="stats", entities=[], schema=[Field(name="trips", dtype=Int64)], source=None)],
            schema=[Field(name="twice", dtype=Int64)],
            feature_transformation=PandasTransformation(udf=lambda rows: rows * constant, udf_string=text),
            mode="pandas",
        )
        return definition_digest(view)

    assert digest("a", 2) == digest("a", 3)
    assert digest("a", 2) != digest("b", 2)


@pytest.mark.parametrize(
    ("online", "address"),
    [
        ({"type": "redis", "connection_string": "host:6379,db=3,password=a,b,username=c"}, "host:6379,db=3"),
        ({"type": "redis", "connection_string": "a:1,b:2,ssl=true"}, "a:1,b:2"),
        ({"type": SQLITE, "path": "data/online.db"}, "data/online.db"),
    ],
)
def test_what_is_said_of_a_store_lets_nobody_in(tmp_path: Path, online: dict[str, Any], address: str) -> None:
    told = store_of(LedgerRepo(tmp_path, online).open().config)
    assert (told.type, told.address) == (online["type"], address)


def test_of_a_store_that_is_not_known_it_is_not_said_whether_it_overwrites(sqlite: LedgerRepo) -> None:
    class Options:
        type, host, port = "other.Store", "there", 1

    class Config:
        online_store: Any = Options()

    config: Any = Config()
    assert store_of(config) == OnlineStore("other.Store", "there,1", None)
    config.online_store = None
    assert store_of(config) == OnlineStore("none", "")
    assert sqlite.apply() is not None


def test_a_user_without_a_name_is_told_by_number(sqlite: LedgerRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        message = "no username set"
        raise OSError(message)

    monkeypatch.setattr(getpass, "getuser", nameless)
    sqlite.apply().push("push_source", frame((7, -5, -4, 1)))
    (found,) = sqlite.entries()
    assert (found.actor.user, found.kind) == (str(os.getuid()), Kind.PUSH)
