"""The prediction log of servers that are killed under load: no file is torn, and at most a second of rows is lost."""

from __future__ import annotations

import contextlib
import shutil
import time
from datetime import UTC, datetime
from itertools import permutations
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
from support.load import loading
from support.prediction_logs import frame_of, read_log
from support.servers import serving

from driver_ranking.prediction_log.filing import file_spooled
from driver_ranking.prediction_log.reader import files

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

SERVICE, LOG = "driver_ranking_v1", "data/09_prediction_log"
TIMES, AT_ONCE = 10, 2  # twenty kills
MAY_BE_LOST = 1.0  # seconds, `flush_seconds`
VARIABLES = {"DRIVER_RANKING_PREDICTION_LOG_FILE_SECONDS": "1.2"}  # some are killed while files are made


def killed_under_load(project: Path, folder: Path, seconds: float) -> list[set[str]]:
    """Serve by processes that log into one folder, kill them, and return what each had answered a second before.

    Args:
        project: The project.
        folder: A working directory.
        seconds: For how long they are asked.
    """
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(serving(project, VARIABLES, wait=False, folder=folder)) for _ in range(AT_ONCE)]
        for server in servers:
            server.wait()
        loads = [stack.enter_context(loading(server, ends_with_server=True)) for server in servers]
        time.sleep(seconds)
        killed = []
        for server in servers:
            server.process.kill()
            killed.append(time.monotonic())
        answers = [load.end().answers for load in loads]
    return [
        {one.request_id for one in some.between(0, moment - MAY_BE_LOST).all if one.status == 200}
        for some, moment in zip(answers, killed, strict=True)
    ]


def file_all(log: Path, seconds: float = 30) -> None:
    """Make files of what was left behind; what a killed server has started may be at some of it still."""
    end = time.monotonic() + seconds
    while list((log / ".spool").rglob("*.frames")):
        assert time.monotonic() < end, "something is left in the spool"
        assert file_spooled(log, 0, datetime.now(tz=UTC)) == []


def test_kill_9_tears_no_file_and_loses_a_second_of_rows_at_most(served_project: Path, tmp_path: Path) -> None:
    project = shutil.copytree(served_project, tmp_path / "a project")
    shutil.rmtree(project / LOG, ignore_errors=True)
    known: set[str] = set()
    for kill in range(TIMES):
        safe = killed_under_load(project, tmp_path, 1.5 + 0.13 * kill)
        assert all(safe)
        rows = frame_of(read_log(project / LOG, SERVICE))
        rows = rows[~rows["__run_id"].isin(known)]
        logged = [set(some["__request_id"]) for _, some in rows.groupby("__run_id")]
        assert len(logged) == AT_ONCE
        known |= set(rows["__run_id"])
        assert any(all(map(set.issubset, safe, some)) for some in permutations(logged)), f"kill {kill}"
        assert (rows.groupby(["__run_id", "__answer"]).size() == 5).all()
    before = read_log(project / LOG, SERVICE).num_rows
    file_all(project / LOG)
    assert sum(pq.read_table(file).num_rows for file in files(project / LOG, SERVICE)) == before
    assert not frame_of(read_log(project / LOG, SERVICE)).duplicated(["__run_id", "__answer", "__position"]).any()
