"""Requests that Spark reads: what the local run takes is taken, with the same values, or refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kedro.io import SharedMemoryDataCatalog

from driver_ranking.datasets.spark import SparkEntityRowsDataset
from driver_ranking.errors import RequestError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("session")]
TIME = "2026-06-14T12:00:00Z"
NOON = datetime(2026, 6, 14, 12, tzinfo=UTC)


def dataset(path: Path) -> SparkEntityRowsDataset:
    return SparkEntityRowsDataset(filepath=str(path), key_columns=["driver_id"])


def test_text_is_read_as_in_the_local_run(tmp_path: Path) -> None:
    path = tmp_path / "request.csv"
    path.write_text(f'driver_id,event_timestamp,note\n1,{TIME},"a ""b"", c"\n2,{TIME},\n', encoding="utf-8")
    loaded = dataset(path).load()
    assert loaded.row_count == 2
    assert sorted(loaded.rows.toArrow().to_pylist(), key=lambda row: int(row["driver_id"])) == [
        {"driver_id": 1, "event_timestamp": NOON, "note": 'a "b", c'},
        {"driver_id": 2, "event_timestamp": NOON, "note": None},
    ]


@pytest.mark.parametrize("row", [f'1, "{TIME}",a', f'1,{TIME},"a\nb"', f'1,{TIME}, "a"', f"1,{TIME},a,"])
def test_text_that_spark_reads_otherwise_is_refused(tmp_path: Path, row: str) -> None:
    path = tmp_path / "request.csv"
    path.write_text(f"driver_id,event_timestamp,note\n{row}\n", encoding="utf-8")
    with pytest.raises(
        RequestError, match=r"request\.csv: Spark reads it otherwise\. .* use Parquet\. Nothing was written"
    ):
        dataset(path).check()


@pytest.mark.parametrize("as_folder", [False, True])
@pytest.mark.parametrize("kind", [pa.int64(), pa.int16(), pa.uint32(), pa.uint64(), pa.string()])
def test_keys_of_all_integer_types_and_text_are_read(tmp_path: Path, kind: pa.DataType, *, as_folder: bool) -> None:
    path = tmp_path / ("request" if as_folder else "request.parquet")
    if as_folder:
        path.mkdir()
    table = pa.table({"driver_id": pa.array([1, 2]).cast(kind), "event_timestamp": [NOON] * 2})
    pq.write_table(table, path / "a.parquet" if as_folder else path)
    loaded = dataset(path).load()
    assert loaded.row_count == 2
    rows = loaded.rows.toArrow()
    assert rows.schema.field("driver_id").type == pa.int64()
    assert sorted(rows["driver_id"].to_pylist()) == [1, 2]


@pytest.mark.parametrize("name", ["_request.csv", ".request.csv", "_request.parquet"])
def test_files_that_are_hidden_to_spark_are_refused(tmp_path: Path, name: str) -> None:
    path, table = tmp_path / name, pa.table({"driver_id": [1], "event_timestamp": [NOON]})
    if path.suffix == ".csv":
        path.write_text(f"driver_id,event_timestamp\n1,{TIME}\n", encoding="utf-8")
    else:
        pq.write_table(table, path)
    with pytest.raises(RequestError, match="to Spark, a name that begins with _ or a dot is hidden; rename"):
        dataset(path).check()


def test_folders_are_checked_and_what_is_wrong_is_said(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"the request: no Parquet file at .*Nothing was written"):
        dataset(tmp_path).check()
    times = pa.array([NOON] * 3, pa.timestamp("us", "UTC"))
    table = pa.table({"driver_id": pa.array([1, None, 3], pa.int64()), "event_timestamp": times})
    pq.write_table(table.slice(0, 0), tmp_path / "a.parquet")
    with pytest.raises(RequestError, match="there are no rows"):
        dataset(tmp_path).check()
    (tmp_path / "more").mkdir()
    pq.write_table(table, tmp_path / "more/b.parquet")
    with pytest.raises(RequestError) as refused:
        dataset(tmp_path).check()
    fault = "nothing in column 'driver_id' is not an integer (event_timestamp=2026-06-14 12:00:00+00)"
    assert f"1 value(s) at fault, some of the rows:\n  {fault}\n" in str(refused.value)


def test_other_runners_processes_cannot_load_it(tmp_path: Path) -> None:
    path = tmp_path / "request.csv"
    path.write_text(f"driver_id,event_timestamp\n1,{TIME}\n", encoding="utf-8")
    catalog = SharedMemoryDataCatalog({"request": dataset(path)})
    with pytest.raises(AttributeError, match=r"multiprocessing: \['request'\]"):
        catalog.validate_catalog()


def test_names_that_pyspark_cannot_take_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "request.csv"
    path.write_text(f"driver_id,event_timestamp,a.b\n1,{TIME},a\n", encoding="utf-8")
    with pytest.raises(RequestError, match=r"a column 'a\.b'; PySpark takes none with .* Nothing was written"):
        dataset(path).check()


def test_previews_show_some_rows(tmp_path: Path) -> None:
    path = tmp_path / "request.csv"
    path.write_text(f"driver_id,event_timestamp\n1,{TIME}\n2,{TIME}\n", encoding="utf-8")
    shown = dataset(path).preview(1)
    assert shown["columns"] == ["driver_id", "event_timestamp"]
    assert len(shown["data"]) == 1
