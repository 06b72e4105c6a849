"""A server in another time zone than what has filled its store answers as one in the same zone."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.servers import BIN, environment, serving

from driver_ranking.sample_data import DRIVER_STATS_SCHEMA

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.slow


def write_fresh_and_old(project: Path) -> None:
    """Let driver 1001 have a row of ten minutes ago, and 1002 one of two hours ago, with a ttl of an hour."""
    views = project / "feature_repo/feature_views.py"
    text = views.read_text(encoding="utf-8")
    views.write_text(text.replace("timedelta(days=36500)", "timedelta(hours=1)"), encoding="utf-8")
    now = datetime.now(tz=UTC)
    moments = [now - timedelta(minutes=10), now - timedelta(hours=2)]
    rows = pa.table([moments, [1001, 1002], [0.5, 0.5], [0.5, 0.5], [7, 7], moments], schema=DRIVER_STATS_SCHEMA)
    pq.write_table(rows, project / "data/01_raw/driver_stats.parquet")


@pytest.mark.parametrize(
    ("writer", "reader"),
    [
        ("UTC", "Asia/Tokyo"),
        ("Asia/Tokyo", "America/New_York"),
        ("America/New_York", "Europe/Berlin"),
        ("Europe/Berlin", "UTC"),
    ],
)
def test_a_fresh_driver_is_ranked_and_an_old_one_excluded(sqlite_project: Path, writer: str, reader: str) -> None:
    write_fresh_and_old(sqlite_project)
    start = (datetime.now(tz=UTC) - timedelta(days=1)).isoformat()
    command = [str(BIN / "kedro"), "run", "--pipeline", "materialize", "--params", f"start={start}"]
    subprocess.run(command, cwd=sqlite_project, env=environment(TZ=writer), check=True, capture_output=True)
    driver_id = {"name": "driver_id", "shape": [2], "datatype": "INT64", "data": [1001, 1002]}
    outputs = [{"name": "driver_id"}, {"name": "excluded_driver_id"}]
    with serving(sqlite_project, {"TZ": reader}) as server:
        answer = httpx.post(server.infer_url, json={"inputs": [driver_id], "outputs": outputs}).json()
    assert {one["name"]: one["data"] for one in answer["outputs"]} == {
        "driver_id": [1001],
        "excluded_driver_id": [1002],
    }
