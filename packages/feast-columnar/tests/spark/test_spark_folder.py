"""Folders that Spark writes: replaced as a whole, readable by others, never half there."""

from __future__ import annotations

import os
import shutil
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feast_columnar.spark import folder as spark_folder
from feast_columnar.spark.folder import ParquetFolder, setting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.slow
NAME = "a folder=1 [x]{y}"
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture(params=["exchanged", "renamed", "elsewhere"])
def folder(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, session: SparkSession
) -> ParquetFolder:
    """A folder that is put in place in either way, on the local file system or on what is another one for Hadoop."""
    if request.param == "elsewhere":
        mount = f"fs.viewfs.mounttable.{tmp_path.name}.link./mounted"
        session.sparkContext._jsc.hadoopConfiguration().set(mount, f"file://{tmp_path}")  # noqa: SLF001  # there is no other way
        return ParquetFolder(f"viewfs://{tmp_path.name}/mounted/{NAME}")
    if request.param == "renamed":
        monkeypatch.setattr(spark_folder, "_exchanged", lambda *_: False)
    return ParquetFolder(str(tmp_path / NAME))


def rows(session: SparkSession, number: int) -> DataFrame:
    return session.createDataFrame(pa.table({"number": [number] * 100, "at": [NOON] * 100}))


def table_in(folder: Path) -> pa.Table:
    return pq.read_table(folder / NAME, partitioning=None)


def numbers(folder: Path) -> set[int]:
    return set(table_in(folder)["number"].to_pylist())


def test_rows_and_notes_come_back(session: SparkSession, folder: ParquetFolder, tmp_path: Path) -> None:
    assert not folder.exists(session)
    for number in (1, 2):
        folder.replace(rows(session, number), {"model": f"ü{number}"})
    table = table_in(tmp_path)
    assert table["number"].to_pylist() == [2] * 100
    assert table["at"].type == pa.timestamp("us", "UTC")
    assert table["at"][0].as_py() == NOON
    assert folder.read(session).count() == 100
    assert folder.notes(session) == {"model": "ü2"}
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_what_another_program_wrote_has_no_notes(session: SparkSession, tmp_path: Path) -> None:
    rows(session, 1).write.parquet(str(tmp_path / "other"))
    assert ParquetFolder(f"file://{tmp_path}/other").notes(session) == {}


def test_rows_that_are_refused_leave_the_last_ones(
    session: SparkSession, folder: ParquetFolder, tmp_path: Path
) -> None:
    folder.replace(rows(session, 1))

    def refuse(written: DataFrame) -> None:
        assert written.count() == 100
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011  # our own
        folder.replace(rows(session, 2), check=refuse)
    assert numbers(tmp_path) == {1}
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_rows_that_are_taken_away_leave_the_last_ones(
    session: SparkSession, folder: ParquetFolder, tmp_path: Path
) -> None:
    def take_away(_: DataFrame) -> None:
        (written,) = tmp_path.glob(".*.tmp")
        shutil.rmtree(written)

    with pytest.raises(OSError, match="The rows can't be put in place at"):
        folder.replace(rows(session, 1), check=take_away)
    assert not folder.exists(session)
    folder.replace(rows(session, 1))
    with pytest.raises(OSError, match="The rows can't be put in place at"):
        folder.replace(rows(session, 2), check=take_away)
    assert numbers(tmp_path) == {1}


def test_rows_that_fail_leave_the_last_ones(session: SparkSession, folder: ParquetFolder, tmp_path: Path) -> None:
    folder.replace(rows(session, 1))
    failing = rows(session, 2).selectExpr("assert_true(number = 3, 'in the middle') AS failed")
    with pytest.raises(Exception, match="in the middle"):
        folder.replace(failing)
    assert numbers(tmp_path) == {1}
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_readers_always_find_a_whole_folder(session: SparkSession, tmp_path: Path) -> None:
    folder, ended = ParquetFolder(str(tmp_path / "rows")), threading.Event()
    lacking: list[str] = []
    folder.replace(rows(session, 0))

    def watch() -> None:
        while not ended.is_set():
            lacking.extend(
                name for name in ("_SUCCESS", "_feast_columnar.json") if not (tmp_path / "rows" / name).exists()
            )

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for number in range(1, 6):
            folder.replace(rows(session, number))
    finally:
        ended.set()
        watcher.join()
    assert lacking == []
    assert pq.read_table(folder.path)["number"].to_pylist() == [5] * 100


def test_a_link_stays_and_what_it_leads_to_is_replaced(session: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/rows").mkdir()
    (tmp_path / "rows").symlink_to(tmp_path / "disk/rows")
    folder = ParquetFolder(str(tmp_path / "rows"))
    for number in (1, 2):
        folder.replace(rows(session, number))
        assert (tmp_path / "rows").is_symlink()
        assert pq.read_table(tmp_path / "disk/rows")["number"].to_pylist() == [number] * 100
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["rows"]


def test_a_file_is_not_replaced_by_a_folder(session: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "rows").write_text("precious", encoding="utf-8")
    with pytest.raises(FileExistsError, match=r"There is a file at .*rows, where a folder is to be\. Remove it"):
        ParquetFolder(str(tmp_path / "rows")).replace(rows(session, 1))
    assert (tmp_path / "rows").read_text(encoding="utf-8") == "precious"


def test_what_killed_runs_left_is_removed_a_week_later(
    session: SparkSession, folder: ParquetFolder, tmp_path: Path
) -> None:
    a_week_ago = time.time() - 8 * 24 * 3600
    for name in (f".{NAME}.1.tmp", f".{NAME}.2.tmp", f".{NAME}.3.old", ".other.4.tmp"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "part").touch()
        if "2" not in name:
            os.utime(tmp_path / name, (a_week_ago, a_week_ago))
    folder.replace(rows(session, 1))
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {NAME, f".{NAME}.2.tmp", f".{NAME}.3.old", ".other.4.tmp"}


def test_a_task_that_still_runs_does_not_bring_the_folder_back(session: SparkSession, tmp_path: Path) -> None:
    folder = ParquetFolder(str(tmp_path / "rows"))

    def slow(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch["id"][0].as_py() == 0:
                time.sleep(1)
                raise ValueError
            time.sleep(3)
            yield batch

    failing = session.range(0, 200, 1, 2).mapInArrow(slow, "id long")
    with pytest.raises(Exception, match="ValueError"):
        folder.replace(failing)
    time.sleep(3)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_run_ends_what_it_has_started(session: SparkSession, tmp_path: Path) -> None:
    def slow(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            time.sleep(1)
            yield batch

    endless = session.range(0, 100_000, 1, 1).mapInArrow(slow, "id long")
    with setting(session, "spark.sql.execution.arrow.maxRecordsPerBatch", "100"):  # a quarter of an hour
        failures: list[Exception] = []

        def run() -> None:
            try:
                endless.write.format("noop").mode("overwrite").save()
            except Exception as error:  # noqa: BLE001  # whatever it is
                failures.append(error)

        running = threading.Thread(target=run)
        running.start()
        while not session.sparkContext.statusTracker().getActiveJobsIds():
            time.sleep(0.1)

        def interrupt(_: DataFrame) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            ParquetFolder(str(tmp_path / "rows")).replace(rows(session, 1), check=interrupt)
        running.join(timeout=30)
    assert not running.is_alive()
    assert "cancelled" in str(failures[0]).lower()
    assert list(tmp_path.iterdir()) == []
