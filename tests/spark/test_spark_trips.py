"""Keys of any types and what a request brings, on Spark: the same rows as the local run, or the same refusal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from spark.test_spark_batch import OUTPUT, batch
from support.projects import copy_project, kedro_command
from support.registries import registry_forgotten
from support.trips import request_rows, write, write_trips

from driver_ranking.datasets.entity_rows import EntityRowsDataset
from driver_ranking.datasets.spark import SparkEntityRowsDataset
from driver_ranking.errors import RequestError
from driver_ranking.feature_store.entity_columns import EntityColumn, Reading

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow
NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)
NAN = float("nan")
WANTED = [
    EntityColumn("zone", Reading.TEXT, "a key", required=True),
    EntityColumn("driver", Reading.INTEGER, "a key", required=True),
    EntityColumn("km", Reading.NUMBER, "a number"),
    EntityColumn("night", Reading.BOOLEAN, "a truth"),
    EntityColumn("code", Reading.BYTES, "bytes"),
    EntityColumn("seen", Reading.TIME, "a time"),
]
TABLE = pa.table(
    {
        "event_timestamp": pa.array([NOON] * 3, pa.timestamp("us", "UTC")),
        "zone": ["007", "7", "Zürich"],
        "driver": pa.array([1, 2, 3], pa.uint64()),
        "km": [2.5, None, NAN],
        "night": [True, None, False],
        "code": [b"\xff", None, b""],
        "seen": pa.array([NOON, None, NOON], pa.timestamp("us")),
    }
)
TEXT = """event_timestamp,zone,driver,km,night,code,seen
2026-06-15T12:00:00Z,007,1,2.5,true,x,2026-06-15T12:00:00Z
2026-06-15T12:00:00Z,7,+2,,,,
2026-06-15T12:00:00Z,Zürich,3,1e1,FALSE,ä,2026-06-15
"""


def test_a_trip_gives_what_the_local_run_gives(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "a project")
    with registry_forgotten():
        write_trips(project)
    request = ("--params", f"batch_request={write(tmp_path / 'request.csv', request_rows())}")
    for run in (kedro_command(project, "run", "--pipelines", "batch", *request), batch(project, *request)):
        assert run.returncode == 0, run.stderr
        assert "Scored 7 rows with the model 'driver_ranking' version 1: 4 ok, 3 missing_features." in run.stderr
    local, spark = pq.read_table(project / f"{OUTPUT}.parquet"), pq.read_table(project / OUTPUT)
    assert spark.schema.remove_metadata() == local.schema.remove_metadata()
    ours, theirs = (sorted(table.to_pylist(), key=lambda row: str(row["note"])) for table in (local, spark))
    scores = [[row.pop("score") for row in rows] for rows in (ours, theirs)]
    assert ours == theirs
    assert scores[1] == [score if score is None else pytest.approx(score, rel=1e-12) for score in scores[0]]
    faulty = write(tmp_path / "faulty.csv", [row | {"km": "far"} for row in request_rows()])
    run = batch(project, "--params", f"batch_request={faulty}")
    assert run.returncode != 0
    assert "7 value(s) at fault, the first of them:\n  row 1: 'far' in column 'km' is not a number" in run.stderr


@pytest.mark.usefixtures("session")
@pytest.mark.parametrize("kind", ["csv", "parquet", "folder"])
def test_columns_are_read_as_in_the_local_run(tmp_path: Path, kind: str) -> None:
    file = tmp_path / ("request.csv" if kind == "csv" else "request.parquet")
    if kind == "csv":
        file.write_text(TEXT, encoding="utf-8")
    else:
        pq.write_table(TABLE, file)
    expected = EntityRowsDataset(filepath=str(file)).load().typed(WANTED)
    path = tmp_path if kind == "folder" else file
    rows = SparkEntityRowsDataset(filepath=str(path)).load().typed(WANTED)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        table = connection.execute(expected.sql).to_arrow_table()
    found = rows.rows.toArrow()
    assert found.schema.types == table.schema.types
    assert found.sort_by("driver").to_pylist() == table.sort_by("driver").to_pylist()
    assert rows.typed(WANTED).row_count == 3


@pytest.mark.usefixtures("session")
def test_faults_in_a_folder_are_shown(tmp_path: Path) -> None:
    pq.write_table(TABLE.set_column(3, "km", pa.array(["2", "far", "3"])), tmp_path / "a.parquet")
    rows = SparkEntityRowsDataset(filepath=str(tmp_path)).load()
    with pytest.raises(
        RequestError, match=r"1 value\(s\) at fault, some of the rows:\n  'far' in column 'km' is not a"
    ):
        rows.typed(WANTED)
    with pytest.raises(RequestError, match="'code' has the type BLOB; a truth, it has to be true or false"):
        rows.typed([EntityColumn("code", Reading.BOOLEAN, "a truth")])
