"""``kedro run --pipelines batch --env spark`` gives what the local run gives, and says what is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.projects import digests, kedro_command, run_pipeline

from driver_ranking.sample_data import (
    DRIVER_STATS_SCHEMA,
    ENTITY_ROWS_SCHEMA,
    SampleSize,
    driver_stats_batches,
    entity_row_batches,
    write_parquet,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.slow
OUTPUT = "data/07_model_output/batch_output"
BY = ("driver_id", "event_timestamp")


def batch(project: Path, *more: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the pipeline on Spark, in a process of its own."""
    command = [str(Path(sys.executable).with_name("kedro")), "run", "--pipelines", "batch", "--env", "spark", *more]
    return subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, timeout=500, check=False)


def assert_equal_rows(project: Path, by: Sequence[str] = BY) -> pa.Table:
    local = pq.read_table(project / f"{OUTPUT}.parquet")
    spark = pq.read_table(project / OUTPUT)
    assert spark.schema.remove_metadata() == local.schema.remove_metadata()
    order = [(name, "ascending") for name in by]
    local, spark = local.sort_by(order), spark.sort_by(order)
    for name in local.schema.names:
        if name == "score":
            got, want = (table[name].to_numpy() for table in (spark, local))
            np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12, equal_nan=True)
        else:
            assert spark[name].equals(local[name]), name
    return spark


def test_the_sample_gives_what_the_local_run_gives(project: Path) -> None:
    run = batch(project)
    assert run.returncode == 0, run.stderr
    assert "Scored 14 rows with the model 'driver_ranking' version 1: 11 ok, 3 missing_features." in run.stderr
    assert "Best row 1: event_timestamp=2026-06-14T08:21:00+00:00, driver_id=1015" in run.stderr
    assert_equal_rows(project)
    hidden = [path.name for path in (project / OUTPUT).parent.iterdir() if path.name.startswith(".")]
    assert sorted(hidden) == [".batch_output.lock", ".batch_output.parquet.lock"]


def test_what_was_known_at_a_time_is_what_the_local_run_gives(project: Path) -> None:
    unknown = pq.read_table(project / f"{OUTPUT}.parquet")
    params = ("--params", "as_known_at=2026-06-10T08:00:00+02:00")
    run_pipeline(project, "batch", {"as_known_at": "2026-06-10T06:00:00"})
    run = batch(project, *params)
    assert run.returncode == 0, run.stderr
    assert not assert_equal_rows(project)["conv_rate"].equals(unknown["conv_rate"])
    assert '"driver_ranking.as_known_at": "2026-06-10T06:00:00+00:00"' in (
        project / OUTPUT / "_driver_ranking.json"
    ).read_text(encoding="utf-8")


def test_a_million_random_rows_give_what_the_local_run_gives(project: Path, tmp_path: Path) -> None:
    size = SampleSize.of_rows(1_000_000, drivers=5_000)
    write_parquet(project / "data/01_raw/driver_stats.parquet", DRIVER_STATS_SCHEMA, driver_stats_batches(size))
    request = tmp_path / "request.parquet"
    write_parquet(request, ENTITY_ROWS_SCHEMA, entity_row_batches(size, 1_000_000))
    params = ("--params", f"batch_request={request}")
    local = kedro_command(project, "run", "--pipelines", "batch", *params)
    assert local.returncode == 0, local.stderr
    run = batch(project, *params)
    assert run.returncode == 0, run.stderr
    rows = assert_equal_rows(project)
    assert rows.num_rows == 1_000_000
    assert set(rows["status"].to_pylist()) == {"ok", "missing_features"}
    # a folder of Parquet files is a request as well, and a fault in it stops the run
    folder = tmp_path / "requests"
    folder.mkdir()
    table = pq.read_table(request).slice(0, 1000)
    pq.write_table(table, folder / "a.parquet")
    run = batch(project, "--params", f"batch_request={folder}")
    assert run.returncode == 0, run.stderr
    assert "Scored 1000 rows" in run.stderr
    before = digests(project / "data/07_model_output")
    driver = pa.array([None, *range(999)], pa.int64())
    pq.write_table(table.set_column(1, "driver_id", driver), folder / "b.parquet")
    run = batch(project, "--params", f"batch_request={folder}")
    assert run.returncode != 0
    assert "1 value(s) at fault" in run.stderr
    assert digests(project / "data/07_model_output") == before
