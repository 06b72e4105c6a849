"""The batch pipeline on a real standalone cluster, with a worker killed and with the driver killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
from columnar_support.clusters import Cluster, children, cluster
from spark.test_spark_batch import OUTPUT, assert_equal_rows
from support.projects import digests, kedro_command

from driver_ranking.sample_data import ENTITY_ROWS_SCHEMA, SampleSize, entity_row_batches, write_parquet

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow
ROWS = 1_500_000


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


def started_batch(project: Path, running: Cluster, request: Path) -> subprocess.Popen[bytes]:
    settings = (project / "conf/spark/spark.yml").read_text(encoding="utf-8")
    settings = settings.replace("python: null", f"python: {sys.executable}")
    (project / "conf/spark/spark.yml").write_text(settings, encoding="utf-8")
    command = [str(Path(sys.executable).with_name("kedro")), "run", "--pipelines", "batch", "--env", "spark"]
    command += ["--params", f"batch_request={request}"]
    log = (project / "run.log").open("wb")
    with log:
        return subprocess.Popen(command, cwd=project, env=running.environment(), stdout=log, stderr=log)


def await_partial(run: subprocess.Popen[bytes], folder: Path, seconds: float = 200) -> Path:
    """Return the hidden folder that Spark writes to, once rows are in it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and run.poll() is None:
        for path in folder.glob(".batch_*.tmp"):
            if any(path.rglob("*.parquet")):
                return path
        time.sleep(0.02)
    message = (
        f"no partial output was seen; exit code {run.poll()}: {(folder.parents[1] / 'run.log').read_text()[-3000:]}"
    )
    raise AssertionError(message)


def requests(folder: Path) -> Path:
    path = folder / "request.parquet"
    write_parquet(path, ENTITY_ROWS_SCHEMA, entity_row_batches(SampleSize(), ROWS))
    return path


def test_a_killed_driver_leaves_the_last_output_whole(project: Path, tmp_path: Path, two_workers: Cluster) -> None:
    small = project / "data/01_raw/batch_request.csv"
    first = started_batch(project, two_workers, small)
    assert first.wait(timeout=200) == 0, (project / "run.log").read_text(encoding="utf-8")
    assert_equal_rows(project)
    before = digests(project / OUTPUT)

    run = started_batch(project, two_workers, requests(tmp_path))
    await_partial(run, project / "data/07_model_output")
    for pid in [run.pid, *children(run.pid)]:
        os.kill(pid, signal.SIGKILL)
    assert run.wait(timeout=30) == -signal.SIGKILL
    assert digests(project / OUTPUT) == before
    assert pq.read_table(project / OUTPUT).num_rows == 14


def test_a_killed_worker_costs_time_and_no_row(project: Path, tmp_path: Path) -> None:
    request = requests(tmp_path)
    local = kedro_command(project, "run", "--pipelines", "batch", "--params", f"batch_request={request}")
    assert local.returncode == 0, local.stderr
    with cluster(tmp_path) as running:
        run = started_batch(project, running, request)
        await_partial(run, project / "data/05_model_input")
        victim = running.workers[0].pid
        for pid in [victim, *children(victim)]:
            os.kill(pid, signal.SIGKILL)
        assert run.wait(timeout=400) == 0, (project / "run.log").read_text(encoding="utf-8")
    rows = assert_equal_rows(project)
    assert rows.num_rows == ROWS


def test_a_cluster_that_is_lost_ends_the_run(project: Path, tmp_path: Path) -> None:
    settings = project / "conf/spark/spark.yml"
    text = settings.read_text(encoding="utf-8")
    settings.write_text(text.replace("wait_for_workers: 60", "wait_for_workers: 15"), encoding="utf-8")
    with cluster(tmp_path) as running:
        run = started_batch(project, running, requests(tmp_path))
        await_partial(run, project / "data/05_model_input")
        for worker in running.workers:
            for pid in [worker.pid, *children(worker.pid)]:
                os.kill(pid, signal.SIGKILL)
        assert run.wait(timeout=100) == 1
    said = (project / "run.log").read_text(encoding="utf-8").rstrip().splitlines()[-1]
    assert "The cluster has had no executor for 15 s. Check its workers and run again." in said
    assert list((project / "data/05_model_input").glob(".*.tmp")) == []
