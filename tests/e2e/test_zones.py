"""What training and batch write does not depend on the time zone of the process, nor on its clock's changes."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.projects import copy_project
from support.servers import BIN, environment

from driver_ranking.sample_data import DRIVER_STATS_SCHEMA

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

ZONES = ("UTC", "Asia/Tokyo", "America/New_York", "Europe/Berlin")
# the nights in which clocks go forward in New York and in Berlin
NIGHTS = (datetime(2026, 3, 8, tzinfo=UTC), datetime(2026, 3, 29, tzinfo=UTC))
# 02:30 is not on the clocks of New York or Berlin; without an offset it is UTC all the same
REQUEST = """driver_id,event_timestamp
1001,2026-03-08T02:30:00
1001,2026-03-08T02:30:00-05:00
1001,2026-03-29T02:30:00
1001,2026-03-29T02:30:00+01:00
1001,2026-03-29T03:30:00+02:00
1002,2026-06-15T00:00:00Z
"""


def write_around_clock_changes(project: Path) -> None:
    """Give driver 1001 a row in each hour of both nights, each with its own number of trips, and ask for some."""
    hours = [night + timedelta(hours=hour) for night in NIGHTS for hour in range(12)]
    count = len(hours)
    columns = [hours, [1001] * count, [0.5] * count, [0.5] * count, list(range(count)), hours]
    source = project / "data/01_raw/driver_stats.parquet"
    table = pa.concat_tables([pq.read_table(source), pa.table(columns, schema=DRIVER_STATS_SCHEMA)])
    pq.write_table(table, source)
    (project / "data/01_raw/batch_request.csv").write_text(REQUEST, encoding="utf-8")


def run_in(zone: str, project: Path) -> tuple[pa.Table, pa.Table]:
    """Train and score in a zone; return the rows that were learned from and those that were scored."""
    write_around_clock_changes(copy_project(project))
    for pipeline in ("training", "batch"):
        command = [str(BIN / "kedro"), "run", "--pipeline", pipeline]
        done = subprocess.run(
            command, cwd=project, env=environment(TZ=zone), capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
    learned = pq.read_table(project / "data/05_model_input/training_rows.parquet")
    return learned, pq.read_table(project / "data/07_model_output/batch_output.parquet")


def test_training_and_batch_give_the_same_in_every_zone(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(run_in, ZONES, (tmp_path / zone / "project" for zone in ZONES)))
    learned, scored = results[0]
    trips = [2, 7, 12 + 2, 12 + 1, 12 + 1]
    assert scored["avg_daily_trips"].to_pylist()[: len(trips)] == trips
    for zone, (other_learned, other_scored) in zip(ZONES[1:], results[1:], strict=True):
        assert other_learned.equals(learned), zone
        assert other_scored.equals(scored), zone
