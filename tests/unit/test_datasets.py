"""Datasets that read and write files, and files that are whole or not there."""

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kedro.io import DatasetError

from driver_ranking.atomic_file import replacing
from driver_ranking.datasets.entity_rows import EntityRowsDataset
from driver_ranking.datasets.parquet_stream import ParquetStreamDataset
from driver_ranking.datasets.registered_model import RegisteredModelDataset

TABLE = pa.table({"driver_id": [1001, 1002], "score": [0.5, None], "status": ["ok", "missing_features"]})


@pytest.fixture
def dataset(tmp_path: Path) -> ParquetStreamDataset:
    return ParquetStreamDataset(filepath=str(tmp_path / "folder" / "rows.parquet"))


def test_a_table_a_reader_and_what_writes_itself_are_saved_alike(dataset: ParquetStreamDataset) -> None:
    class Query:
        def write_parquet(self, path: str) -> int:
            pq.write_table(TABLE, path)
            return int(TABLE.num_rows)

    for data in (TABLE, TABLE.to_reader(), Query()):
        dataset.save(data)
        assert dataset.load().to_table().equals(TABLE)


def test_rows_and_metadata_of_a_schema_are_kept(dataset: ParquetStreamDataset) -> None:
    table = TABLE.replace_schema_metadata({"model_version": "7"})
    dataset.save(table)
    assert dataset.load().schema.metadata == {b"model_version": b"7"}


def test_a_stream_that_fails_leaves_the_last_file_as_it_was(dataset: ParquetStreamDataset, tmp_path: Path) -> None:
    dataset.save(TABLE)

    def failing() -> Iterator[pa.RecordBatch]:
        yield TABLE.to_batches()[0]
        message = "the model failed"
        raise ValueError(message)

    with pytest.raises(DatasetError, match="the model failed"):
        dataset.save(pa.RecordBatchReader.from_batches(TABLE.schema, failing()))
    assert dataset.load().to_table().equals(TABLE)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["rows.parquet"]


def test_a_file_that_is_not_there_is_an_error_that_says_what_to_do(dataset: ParquetStreamDataset) -> None:
    assert not dataset.exists()
    with pytest.raises(DatasetError, match=r"There is no file .*rows\.parquet\. Run the pipeline that makes it first"):
        dataset.load()


def test_what_a_killed_run_left_behind_is_removed_a_day_later(tmp_path: Path) -> None:
    old, new = tmp_path / ".rows.parquet.a.tmp", tmp_path / ".rows.parquet.b.tmp"
    inner = tmp_path / "..rows.parquet.a.tmp.c.partial"
    for file in (old, new, inner):
        file.touch()
    for file in (old, inner):
        os.utime(file, times=(0, time.time() - 25 * 3600))
    with replacing(tmp_path / "rows.parquet") as temporary:
        temporary.touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".rows.parquet.b.tmp", "rows.parquet"]


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "rows.parquet").symlink_to(tmp_path / "disk/rows.parquet")
    ParquetStreamDataset(filepath=str(tmp_path / "rows.parquet")).save(TABLE)
    assert (tmp_path / "rows.parquet").is_symlink()
    assert pq.read_table(tmp_path / "disk/rows.parquet").equals(TABLE)
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["rows.parquet"]


def test_kedro_viz_is_shown_the_first_rows(dataset: ParquetStreamDataset) -> None:
    dataset.save(TABLE)
    assert dataset.preview(rows=1) == {
        "index": [0],
        "columns": ["driver_id", "score", "status"],
        "data": [[1001, 0.5, "ok"]],
    }


def test_kedro_viz_is_shown_the_first_entity_rows() -> None:
    fsspec.filesystem("memory").pipe("/preview/request.csv", b"event_timestamp,driver_id\n2026-06-15T00:00:00Z,1001\n")
    shown = EntityRowsDataset(filepath="memory://preview/request.csv", key_columns=["driver_id"]).preview()
    assert shown["data"] == [[str(datetime(2026, 6, 15, tzinfo=UTC)), 1001]]


def test_kedro_viz_is_shown_the_record_of_the_model(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    record.write_text(json.dumps({"version": "3"}), encoding="utf-8")
    dataset = RegisteredModelDataset(
        name="drivers",
        alias="champion",
        registry={"path": str(tmp_path / "mlflow")},
        record={"filepath": str(record)},
    )
    assert json.loads(dataset.preview()) == {"version": "3"}
    assert not dataset.exists()
