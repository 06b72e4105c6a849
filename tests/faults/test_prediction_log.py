"""The prediction log of a server that is killed under load: no file is torn, and at most a second of rows is lost."""

from __future__ import annotations

import shutil
import time
from datetime import UTC, datetime
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
KILLS = 20
MAY_BE_LOST = 1.0  # seconds, `flush_seconds`


def test_kill_9_tears_no_file_and_loses_a_second_of_rows_at_most(served_project: Path, tmp_path: Path) -> None:
    project = shutil.copytree(served_project, tmp_path / "a project")
    shutil.rmtree(project / LOG, ignore_errors=True)
    variables = {"DRIVER_RANKING_PREDICTION_LOG_FILE_SECONDS": "1.2"}  # some are killed while files are made
    known: set[str] = set()
    for kill in range(KILLS):
        with serving(project, variables, folder=tmp_path) as server, loading(server, ends_with_server=True) as load:
            time.sleep(1.5 + 0.07 * kill)
            server.process.kill()
            killed = time.monotonic()
            server.process.wait(timeout=20)
            answers = load.end().answers
        rows = frame_of(read_log(project / LOG, SERVICE))
        runs = set(rows["__run_id"]) - known
        known |= runs
        assert len(runs) == 1
        logged = rows[rows["__run_id"].isin(runs)]
        safe = {one.request_id for one in answers.between(0, killed - MAY_BE_LOST).all if one.status == 200}
        assert safe
        assert safe <= set(logged["__request_id"]), f"kill {kill}"
        assert (logged.groupby("__answer").size() == 5).all()
    before = read_log(project / LOG, SERVICE).num_rows
    assert file_spooled(project / LOG, 0, datetime.now(tz=UTC)) == []
    assert read_log(project / LOG, SERVICE).num_rows == before
    assert sum(pq.read_table(file).num_rows for file in files(project / LOG, SERVICE)) == before
    assert not frame_of(read_log(project / LOG, SERVICE)).duplicated(["__run_id", "__answer", "__position"]).any()
