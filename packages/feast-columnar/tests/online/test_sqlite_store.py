"""Our SQLite store: readers beside writers, files that move or are closed, folders that can't be written to."""

from __future__ import annotations

import contextlib
import copy
import gc
import os
import pickle
import shutil
import sqlite3
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from columnar_support.online_repos import NOON, ON_DEMAND, OURS, OnlineRepo, key_named, listed, on_demand_of, read
from feast import FeatureService, FeatureStore, FeatureView, Field
from feast.infra.provider import get_provider
from feast.types import Array, Float32, Float64, String

from feast_columnar.errors import StoreUnavailableError
from feast_columnar.online import sqlite_file
from feast_columnar.online.sqlite_file import ReadConnection, let_use_log, open_to_write
from feast_columnar.online.sqlite_store import SharedSqliteOnlineStore

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def repo(tmp_path: Path) -> OnlineRepo:
    """A repo with one row."""
    made = OnlineRepo(tmp_path, "shared", {"type": OURS, "path": str(tmp_path / "online.db")})
    apply(made)
    made.write("stats", [(1, NOON, {"rate": 0.5})])
    return made


def apply(repo: OnlineRepo) -> None:
    view = repo.view({"rate": Float64})
    repo.apply(view, FeatureService(name="service", features=[view]))


def path_of(repo: OnlineRepo) -> Path:
    return Path(repo.online_store["path"])


def opened(repo: OnlineRepo) -> tuple[FeatureStore, SharedSqliteOnlineStore]:
    store = repo.open()
    online_store = get_provider(store.config).online_store
    assert isinstance(online_store, SharedSqliteOnlineStore)
    return store, online_store


def handles(path: Path) -> int:
    """How many files this process has open whose names begin with a path."""
    found = 0
    for one in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found += str(one.readlink()).startswith(str(path))
    return found


# --- readers beside a writer


def test_rows_are_read_while_a_transaction_is_open_and_seen_once_it_has_ended(repo: OnlineRepo) -> None:
    reader = repo.reader("service", "rate")
    store, online_store = opened(repo)
    with online_store.writing(store.config) as connection:
        with connection:
            connection.execute("DELETE FROM shared_stats")
            assert listed(read(reader, 1)) == [[0.5]]
        assert listed(read(reader, 1)) == [[None]]
    online_store.close_connections()


def test_a_database_that_feast_made_is_given_a_log_when_it_is_served(repo: OnlineRepo) -> None:
    stock = OnlineRepo(repo.folder, "stock", {"type": "sqlite", "path": str(repo.folder / "stock.db")})
    apply(stock)
    stock.write("stats", [(1, NOON, {"rate": 0.5})])
    reader = stock.reader("service", "rate")
    with contextlib.closing(sqlite3.connect(path_of(stock))) as writer:
        assert writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        writer.execute("BEGIN EXCLUSIVE")
        assert listed(read(reader, 1)) == [[0.5]]


def test_a_database_in_use_keeps_its_journal_until_the_next_time(tmp_path: Path) -> None:
    path = tmp_path / "busy.db"
    with contextlib.closing(sqlite3.connect(path)) as one:
        one.execute("CREATE TABLE t (x)")
        one.execute("BEGIN EXCLUSIVE")
        let_use_log(path)
        one.rollback()
        assert one.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    let_use_log(path)
    with contextlib.closing(sqlite3.connect(path)) as one:
        assert one.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    let_use_log(tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()


def test_the_log_does_not_grow_while_readers_come_and_go(repo: OnlineRepo) -> None:
    reader = repo.reader("service", "rate")
    sizes = []
    for number in range(5):
        repo.write("stats", [(driver, NOON, {"rate": float(number)}) for driver in range(500)])
        assert listed(read(reader, 1)) == [[number]]
        log = path_of(repo).with_name("online.db-wal")
        sizes.append(log.stat().st_size if log.exists() else 0)
    assert sizes == [0] * 5


def test_a_reader_that_hangs_holds_up_no_writer(repo: OnlineRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "_CHECKPOINT_WAIT", 50)
    with contextlib.closing(sqlite3.connect(path_of(repo))) as hanging:
        hanging.execute("BEGIN")
        hanging.execute("SELECT * FROM shared_stats").fetchall()
        repo.write("stats", [(1, NOON, {"rate": 0.75})])
        assert listed(read(repo.reader("service", "rate"), 1)) == [[0.75]]


def test_threads_write_and_read_one_store_and_no_row_is_seen_in_halves(tmp_path: Path) -> None:
    repo = OnlineRepo(tmp_path, "threads", {"type": OURS, "path": str(tmp_path / "online.db")})
    view = repo.view({"a": Float64, "b": Float64})
    repo.apply(view, FeatureService(name="service", features=[view]))
    store = repo.open()
    seen, failures = set(), []

    def write(number: float) -> None:
        try:
            for _ in range(10):
                repo_rows = {"driver_id": [1], "event_timestamp": [NOON], "a": [number], "b": [number]}
                store.write_to_online_store("stats", df=pd.DataFrame(repo_rows))
        except Exception as error:  # noqa: BLE001 - whatever it is
            failures.append(error)

    threads = [threading.Thread(target=write, args=(float(number),)) for number in range(3)]
    for one in threads:
        one.start()
    while any(one.is_alive() for one in threads):
        answer = store.get_online_features(["stats:a", "stats:b"], [{"driver_id": 1}]).to_dict()
        seen.add((answer["a"][0], answer["b"][0]))
    assert not failures
    assert all(a == b for a, b in seen)


# --- files


def test_apply_makes_what_is_missing_and_touches_no_other_file(repo: OnlineRepo) -> None:
    copied = OnlineRepo(repo.folder / "copy", "shared", {"type": OURS, "path": str(repo.folder / "copy/online.db")})
    copied.folder.mkdir()
    shutil.copy2(repo.folder / "registry.db", copied.folder)
    before = path_of(repo).read_bytes()
    apply(copied)  # the registry knows the table already
    copied.write("stats", [(1, NOON, {"rate": 0.75})])
    assert path_of(repo).read_bytes() == before
    assert listed(read(copied.reader("service", "rate"), 1)) == [[0.75]]
    path_of(copied).unlink()
    apply(copied)
    assert listed(read(copied.reader("service", "rate"), 1)) == [[None]]
    store, online_store = opened(copied)
    assert online_store.plan(store.config, store.registry.proto()) == []
    store.teardown()  # type: ignore[no-untyped-call] # Feast's
    assert list(copied.folder.glob("online.db*")) == []
    assert path_of(repo).read_bytes() == before


def test_a_view_that_is_gone_takes_its_table_along(repo: OnlineRepo) -> None:
    store = repo.open()
    store.apply([], objects_to_delete=[store.get_feature_view("stats")], partial=False)
    with contextlib.closing(sqlite3.connect(path_of(repo))) as database:
        assert database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == []


def test_what_is_written_goes_into_the_file_that_has_the_name(repo: OnlineRepo) -> None:
    store, online_store = opened(repo)
    with online_store.writing(store.config):
        pass
    path_of(repo).rename(repo.folder / "away.db")
    shutil.copy2(repo.folder / "away.db", path_of(repo))
    with online_store.writing(store.config) as connection, connection:
        connection.execute("DELETE FROM shared_stats")
    assert listed(read(repo.reader("service", "rate"), 1)) == [[None]]
    with contextlib.closing(sqlite3.connect(repo.folder / "away.db")) as away:
        assert away.execute("SELECT count(*) FROM shared_stats").fetchone() == (1,)
    path_of(repo).unlink()
    with online_store.writing(store.config):
        assert path_of(repo).exists()
    online_store.close_connections()


def test_another_file_in_its_place_is_read_and_one_that_is_gone_is_missed(repo: OnlineRepo) -> None:
    reader = repo.reader("service", "rate")
    assert listed(read(reader, 1)) == [[0.5]]
    other = OnlineRepo(repo.folder / "other", "shared", {"type": OURS, "path": str(repo.folder / "other/online.db")})
    other.folder.mkdir()
    apply(other)
    other.write("stats", [(driver, NOON, {"rate": 0.75}) for driver in range(5_000)])
    path_of(other).replace(path_of(repo))
    assert listed(read(reader, 1, 4_999)) == [[0.75], [0.75]]
    path_of(repo).unlink()
    with pytest.raises(StoreUnavailableError, match="SharedSqlite online store can't be read: its file is not there"):
        read(reader, 1)
    assert not path_of(repo).exists()
    with pytest.raises(FileNotFoundError, match="its file is not there"):
        repo.open().get_online_features(["stats:rate"], [{"driver_id": 1}])


def test_what_is_no_database_is_said_to_be_none(repo: OnlineRepo) -> None:
    path_of(repo).write_bytes(b"no database " * 1_000)
    with pytest.raises(StoreUnavailableError, match="file is not a database"):
        read(repo.reader("service", "rate"), 1)


@ON_DEMAND
@pytest.mark.parametrize("wanted", ["rate", "doubled"])
@pytest.mark.parametrize("kind", [OURS, "sqlite", "columnar_support.online_store.OtherSqliteOnlineStore"])
def test_readers_that_are_opened_and_closed_leave_no_file_open(tmp_path: Path, kind: str, wanted: str) -> None:
    repo = OnlineRepo(tmp_path, "closed", {"type": kind, "path": str(tmp_path / "online.db")})
    view = repo.view({"rate": Float64})
    doubled = on_demand_of(view)
    repo.apply(view, doubled, FeatureService(name="service", features=[view, doubled]))
    repo.write("stats", [(1, NOON, {"rate": 0.5})])
    gc.collect()  # what Feast has opened meanwhile
    gc.disable()
    before = repo.reader("service", wanted)
    read(before, 1)
    counts = []
    for _ in range(5):  # as the server reloads: the next one is there before the last one goes
        reader = repo.reader("service", wanted)
        read(reader, 1)
        before.close()
        counts.append(handles(path_of(repo)))
        before = reader
    before.close()
    gc.enable()
    assert counts == [counts[0]] * 5
    assert handles(path_of(repo)) == 0
    assert listed(read(before, 1)) == [[0.5 if wanted == "rate" else 1.0]]  # it can still be read
    before.close()
    assert handles(path_of(repo)) == 0


# --- copies


def test_a_store_is_copied_and_pickled_without_its_connections(repo: OnlineRepo) -> None:
    store, online_store = opened(repo)
    with online_store.writing(store.config):
        pass
    for other in (copy.deepcopy(online_store), pickle.loads(pickle.dumps(online_store))):  # noqa: S301 - its own
        with other.writing(store.config) as connection, connection:
            connection.execute("UPDATE shared_stats SET feature_name = 'rate'")
        other.close_connections()
    online_store.close_connections()


def test_a_store_reads_the_file_of_each_configuration(repo: OnlineRepo) -> None:
    store, online_store = opened(repo)
    elsewhere = store.config.model_copy(deep=True)
    elsewhere.online_store.path = str(repo.folder / "elsewhere.db")
    open_to_write(repo.folder / "elsewhere.db", 1).close()
    view = store.get_feature_view("stats")
    online_store.online_read(store.config, view, [])
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        online_store.online_read(elsewhere, view, [])


def test_texts_are_searched_as_feast_does(tmp_path: Path) -> None:
    options = {"type": OURS, "path": str(tmp_path / "online.db"), "text_search_enabled": True}
    repo = OnlineRepo(tmp_path, "texts", options)
    embedding = Field(name="embedding", dtype=Array(Float32), vector_index=True)
    schema = [Field(name="city", dtype=String), embedding]
    source = repo.view({"city": String}).batch_source
    view = FeatureView(name="stats", entities=[key_named()], schema=schema, source=source)
    store = repo.apply(view)
    rows = [(1, NOON, {"city": "a long road"}), (2, NOON, {"city": "a short street"})]
    repo.write("stats", [(one, moment, {**values, "embedding": [0.5]}) for one, moment, values in rows])
    online_store = get_provider(store.config).online_store
    found = online_store.retrieve_online_documents_v2(store.config, view, ["city"], None, 1, None, "street")
    assert [(moment, values["city"].string_val) for moment, _, values in found if values] == [(NOON, "a short street")]
    with pytest.raises(ValueError, match="not enabled"):
        online_store.retrieve_online_documents(store.config, view, ["city"], [0.5], 1)


# --- folders that can't be written to


@contextlib.contextmanager
def nobody() -> Iterator[None]:
    """Be a user who may not write to everything, as root may."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


@contextlib.contextmanager
def owner() -> Iterator[None]:
    """Within `nobody`, be who one is."""
    before = os.geteuid()
    os.seteuid(os.getuid())
    try:
        yield
    finally:
        os.seteuid(before)


@dataclass(frozen=True)
class ReadOnlyFolder:
    """A database in a folder that can't be written to, but by its owner at times."""

    path: Path
    connection: ReadConnection

    def count(self) -> int:
        with nobody():
            rows: int = self.connection.read(lambda one: one.execute("SELECT count(*) FROM t").fetchone()[0])
        return rows

    @contextlib.contextmanager
    def written(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.chmod(0o755)
        if self.path.exists():
            self.path.chmod(0o644)
        with contextlib.closing(open_to_write(self.path, 1)) as database:
            yield database
        self.path.chmod(0o444)
        self.path.parent.chmod(0o555)


@pytest.fixture
def read_only() -> Iterator[ReadOnlyFolder]:
    """A database with a table without rows, in a folder that nobody may write to."""
    with tempfile.TemporaryDirectory() as name:  # pytest's own can't be entered by others
        path = Path(name) / "a.db"
        folder = ReadOnlyFolder(path, ReadConnection(path))
        with folder.written() as database, database:
            database.execute("CREATE TABLE t (x)")
        yield folder
        path.parent.chmod(0o755)


def add(database: sqlite3.Connection, rows: int) -> None:
    with database:
        database.executemany("INSERT INTO t VALUES (?)", [(number,) for number in range(rows)])


def test_a_store_in_a_folder_that_is_read_only_is_read_and_followed(read_only: ReadOnlyFolder) -> None:
    assert read_only.count() == 0
    assert [one.name for one in read_only.path.parent.iterdir()] == ["a.db"]
    with read_only.written() as database:
        add(database, 1)
        assert read_only.count() == 1  # from the log
        add(database, 1)
        assert read_only.count() == 2
    assert read_only.count() == 2
    with read_only.written() as database:
        add(database, 10_000)
    assert read_only.count() == 10_002


def test_a_read_during_which_an_unwritable_file_changes_is_done_again(read_only: ReadOnlyFolder) -> None:
    changes = [3, 4]

    def work(one: sqlite3.Connection) -> int:
        rows: int = one.execute("SELECT count(*) FROM t").fetchone()[0]
        if changes:
            with owner(), read_only.written() as database:
                add(database, changes.pop())
            if rows == 4:
                message = "half of one state, half of another"
                raise sqlite3.DatabaseError(message)
        return rows

    with nobody():
        assert read_only.connection.read(work) == 7
        changes.extend([1] * 5)
        with pytest.raises(sqlite3.OperationalError, match="being written to"):
            read_only.connection.read(work)
        changes.clear()
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            read_only.connection.read(lambda one: one.execute("SELECT * FROM u"))


def test_a_log_that_cant_be_read_is_said_not_left_out(read_only: ReadOnlyFolder) -> None:
    read_only.path.parent.chmod(0o755)
    read_only.path.with_name("a.db-wal").write_bytes(b"what a writer that was killed left")
    read_only.path.parent.chmod(0o555)
    with pytest.raises(sqlite3.OperationalError, match="it has a write-ahead log that can't be read here"):
        read_only.count()
