"""What libraries say of a full disk is recognized, and nothing else is."""

import errno
import sqlite3
from pathlib import Path

import duckdb
import pytest

from driver_ranking.errors import FeatureStoreError
from driver_ranking.full_disk import full_disk_message


def test_a_join_that_finds_no_room_to_put_rows_aside_is_a_full_disk(tmp_path: Path) -> None:
    with duckdb.connect(config={"memory_limit": "60MB", "temp_directory": str(tmp_path)}) as connection:
        connection.execute("SET max_temp_directory_size = '1MB'")  # else most of what is free on the disk
        with pytest.raises(duckdb.OutOfMemoryException) as raised:
            connection.execute("SELECT * FROM range(20000000) t(a) ORDER BY hash(a)").fetchmany(1)
    message = full_disk_message(raised.value)
    assert message is not None
    assert "The disk is full, where rows that the memory limit has no room for are put aside" in message


def test_too_little_memory_is_no_full_disk() -> None:
    with duckdb.connect(config={"memory_limit": "10MB", "temp_directory": ""}) as connection:
        with pytest.raises(duckdb.OutOfMemoryException) as raised:
            connection.execute("SELECT * FROM range(20000000) t(a) ORDER BY hash(a)").fetchmany(1)
        assert full_disk_message(raised.value) is None


def test_the_file_is_named_where_it_is_known() -> None:
    error = FeatureStoreError("The features can't be extracted")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device", "/some/rows.parquet")
    assert "The disk is full, where /some/rows.parquet was to be written." in (full_disk_message(error) or "")


def test_another_error_of_sqlite_is_none(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError) as raised:
        sqlite3.connect(tmp_path)
    assert full_disk_message(raised.value) is None
