"""Entries in a folder or at a URL: whole, side by side, and kept for as long as they are to be."""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from columnar_support.ledger_entries import NOON, append, entry, ledger_in
from hypothesis import given, settings
from hypothesis import strategies as st

from feast_columnar.errors import RepoError
from feast_columnar.ledger import books, files
from feast_columnar.ledger.books import Retention, name_of
from feast_columnar.ledger.entries import Brought, Entry, Kind, OnlineStore, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from feast_columnar.ledger.books import Ledger


@pytest.fixture(params=["folder", "file", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    prefix = {"folder": "", "file": "file://", "memory": "memory://"}[request.param]
    yield f"{prefix}{tmp_path}/ledger"
    if request.param == "memory":
        import fsspec

        with suppress(FileNotFoundError):
            fsspec.filesystem("memory").rm(f"{tmp_path}/ledger", recursive=True)


def ids(ledger: Ledger, **options: Any) -> list[int]:
    return [int(one.id, 16) for one in ledger.entries(**options)]


# ---- In a folder or at a URL -----------------------------------------------------------------------------------------


def test_entries_come_in_the_order_in_which_they_began(place: str) -> None:
    ledger = ledger_in(place)
    assert ids(ledger) == []
    for number in (1441, 2, 1, 3):
        ledger.put(entry(number), durable=number != 2)
    assert ids(ledger) == [1, 2, 3, 1441]
    assert ids(ledger, since=NOON + timedelta(minutes=3)) == [3, 1441]
    assert list(ledger_in(place).entries()) == [entry(number) for number in (1, 2, 3, 1441)]


def test_an_entry_that_ends_takes_its_own_place(place: str) -> None:
    ledger = ledger_in(place)
    begun = entry(1, outcome=Outcome.BEGUN, ended=None, brought=Brought())
    ledger.put(begun)
    assert list(ledger.entries()) == [begun]
    ended = begun.closed(NOON, Brought(3), "no space")
    ledger.put(ended)
    assert list(ledger.entries()) == [ended]
    assert (ended.outcome, ended.error, ended.brought.rows) == (Outcome.FAILED, "no space", 3)


def test_old_entries_are_removed_and_the_newest_with_rows_of_each_view_stays(place: str) -> None:
    ledger = ledger_in(place, retention=Retention(age=timedelta(hours=1)))
    kept = [entry(0, view="rare"), entry(2, view="rare", kind=Kind.PUSH)]
    other = replace(entry(3), store=OnlineStore("another.Store", "there"))
    failed = [entry(number, view=view, outcome=Outcome.FAILED) for number, view in ((5, "stats"), (7, "never"))]
    for one in (*kept, other, *failed, entry(1), entry(4), entry(6, brought=Brought(0))):
        ledger.put(one)
    ledger.put(entry(99))
    removed = ledger.prune(NOON + timedelta(minutes=100))
    assert len(removed) == 5
    assert ids(ledger) == [0, 2, 3, 99]
    assert ledger.prune(NOON + timedelta(minutes=100)) == []


def test_a_place_where_nothing_was_written_yet_has_no_entries(tmp_path: Path) -> None:
    class System:
        def invalidate_cache(self) -> None:
            pass

        def find(self, path: str) -> list[str]:
            raise FileNotFoundError(path)

    assert ids(ledger_in(tmp_path / "nothing")) == []
    assert files.RemoteFiles(System(), "bucket/ledger").names() == []


def test_too_many_entries_are_removed_from_the_oldest_on(place: str) -> None:
    ledger = ledger_in(place, retention=Retention(count=3))
    for number in range(6):
        ledger.put(entry(number))
    ledger.prune(NOON)
    assert ids(ledger) == [3, 4, 5]


@settings(max_examples=20, deadline=None)
@given(
    drawn=st.lists(st.tuples(st.sampled_from("ab"), st.booleans()), max_size=12),
    count=st.none() | st.integers(1, 6),
    age=st.none() | st.integers(1, 12),
)
def test_whatever_is_removed_the_newest_of_each_view_is_there(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[str, bool]], count: int | None, age: int | None
) -> None:
    folder = tmp_path_factory.mktemp("ledger")
    retention = Retention(None if age is None else timedelta(minutes=age), count)
    ledger, now = ledger_in(folder, retention=retention), NOON + timedelta(minutes=len(drawn))
    put = [entry(n, view=view, brought=Brought(int(rows))) for n, (view, rows) in enumerate(drawn)]
    for one in put:
        ledger.put(one, durable=False)
    ledger.prune(now)
    left = list(ledger.entries())
    newest = {one.view: one for one in put if one.has_rows}
    wanted = [one for one in put if age is None or one.began >= now - timedelta(minutes=age)]
    wanted = wanted[-count:] if count else wanted
    assert left == [one for one in put if one in wanted or one in newest.values()]
    shutil.rmtree(folder)


def test_old_entries_are_looked_for_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books, "_PRUNED_AFTER", 3)
    ledger = ledger_in(tmp_path, retention=Retention(count=1))
    left = []
    for number in range(6):
        ledger.put(entry(number))
        ledger.tidy()
        left.append(len(ids(ledger)))
    assert left == [1, 2, 3, 1, 2, 3]
    ledger_in(tmp_path).tidy()
    assert len(ids(ledger)) == 3


# ---- What is no entry, and what is not there any more ----------------------------------------------------------------


def test_what_is_no_entry_is_left_out_and_hides_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ledger = ledger_in(tmp_path)
    for number in range(3):
        ledger.put(entry(number))
    (tmp_path / name_of(entry(1))).write_bytes(b'{"format": 1, "id"')
    (tmp_path / "README").write_text("a text")
    (tmp_path / "2026-01-31" / ".hidden.partial").write_text("torn")
    assert ids(ledger) == [0, 2]
    assert f"{name_of(entry(1))} in the ledger {tmp_path} is no entry, and left out" in caplog.text


def test_an_entry_of_a_later_format_is_refused_by_name(tmp_path: Path) -> None:
    ledger = ledger_in(tmp_path)
    ledger.put(entry(1))
    file = tmp_path / name_of(entry(1))
    file.write_text(file.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(RepoError, match=rf"The entry {name_of(entry(1))} in the ledger .* is of format 2"):
        list(ledger.entries())


def test_what_is_removed_while_it_is_read_is_not_there(place: str) -> None:
    ledger = ledger_in(place)
    for number in range(3):
        ledger.put(entry(number))
    reading = ledger.entries()
    next(reading)
    ledger.files.remove(name_of(entry(1)))
    ledger.files.remove(name_of(entry(1)))
    assert [int(one.id, 16) for one in reading] == [2]


def test_a_day_that_is_removed_while_it_is_listed_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = ledger_in(tmp_path)
    ledger.put(entry(1))
    scan = os.scandir

    def removing(path: Any) -> Any:
        if isinstance(path, os.DirEntry) and path.name == "2026-01-31":
            shutil.rmtree(path)
        return scan(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", removing)
        assert ids(ledger) == []


def test_what_a_killed_process_has_left_is_removed_a_day_later(tmp_path: Path) -> None:
    ledger = ledger_in(tmp_path, retention=Retention(count=1))
    ledger.put(entry(1))
    old, new = (tmp_path / "2026-01-31" / f".{name}.partial" for name in ("old", "new"))
    for file in (old, new):
        file.write_text("torn")
    yesterday = time.time() - 25 * 3600
    os.utime(old, (yesterday, yesterday))
    ledger.prune(NOON)
    assert (old.exists(), new.exists()) == (False, True)


def test_what_another_process_has_removed_already_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = ledger_in(tmp_path)
    gone = "2026-01-31/.gone.partial"
    monkeypatch.setattr(files.LocalFiles, "_all", lambda _: iter([gone]))
    ledger.files.remove_unfinished()


def test_a_folder_that_is_removed_as_it_is_written_to_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, left = Path.mkdir, [3]

    def raced(folder: Path, *arguments: Any, **named: Any) -> None:
        made(folder, *arguments, **named)
        if left[0] and folder.name == "2026-01-31":
            left[0] -= 1
            folder.rmdir()

    monkeypatch.setattr(Path, "mkdir", raced)
    ledger_in(tmp_path).put(entry(1))
    assert ids(ledger_in(tmp_path)) == [1]
    left[0] = 100
    shutil.rmtree(tmp_path / "2026-01-31")
    with pytest.raises(FileNotFoundError):
        ledger_in(tmp_path).put(entry(1))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
def test_what_a_full_disk_cuts_short_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = ledger_in(tmp_path)
    ledger.put(entry(1))
    opened = Path.open

    def full(file: Path, mode: str = "r") -> Any:
        opened(file, mode).close()
        return opened(Path("/dev/full"), "wb")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", full)
        with pytest.raises(OSError, match="No space left"):
            ledger.put(entry(1, view="later"))
    assert list(ledger.entries()) == [entry(1)]
    assert len(list((tmp_path / "2026-01-31").iterdir())) == 1


# ---- Side by side ----------------------------------------------------------------------------------------------------


def finished(folder: Path) -> set[int]:
    return {int(one.id, 16) for one in ledger_in(folder).entries() if one.outcome is Outcome.FINISHED}


def test_threads_append_side_by_side_while_others_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    writers = [threading.Thread(target=append, args=(str(tmp_path), first, 30)) for first in (0, 1000, 2000)]
    for writer in writers:
        writer.start()
    seen: set[int] = set()
    with caplog.at_level(logging.WARNING):
        while any(writer.is_alive() for writer in writers):
            now = finished(tmp_path)
            assert seen <= now
            seen = now
    assert len(finished(tmp_path)) == 90
    assert not caplog.text


def test_processes_append_side_by_side(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=append, args=(str(tmp_path), first, 50)) for first in (0, 1000)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert len(finished(tmp_path)) == 100


WRITER = """
import sys
sys.path[:0] = {path!r}
from columnar_support.ledger_entries import append
for first in range(0, 10**9, 10):
    append({folder!r}, first + {offset}, 10)
    print(first + {offset} + 9, flush=True)
"""


@pytest.mark.slow
def test_whatever_is_killed_when_all_that_was_appended_is_there_and_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said: list[int] = []
    for number in range(8):
        code = WRITER.format(path=sys.path, folder=str(tmp_path), offset=number * 1_000_000)
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            said += [int(writer.stdout.readline()) for _ in range(1 + number)]
            time.sleep(0.0007 * number)  # anywhere in an entry
            writer.send_signal(signal.SIGKILL)
            said += [int(line) for line in writer.stdout]
    entries: list[Entry] = list(ledger_in(tmp_path).entries())
    done = {int(one.id, 16) for one in entries if one.outcome is Outcome.FINISHED}
    assert done >= {number for last in said for number in range(last - 9, last + 1)}
    assert len(entries) - len(done) <= 8
    assert "is no entry" not in caplog.text
