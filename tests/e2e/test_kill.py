"""A run that is killed leaves the last good output as it was."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
from support.projects import digests

from driver_ranking.sample_data import ENTITY_ROWS_SCHEMA, SampleSize, entity_row_batches, write_parquet

ROWS = 3_000_000


def start_batch(project: Path, request: Path) -> subprocess.Popen[bytes]:
    kedro = Path(sys.executable).with_name("kedro")
    command = [str(kedro), "run", "--pipelines", "batch", "--params", f"batch_request={request}"]
    return subprocess.Popen(command, cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for_partial_output(run: subprocess.Popen[bytes], folder: Path, seconds: float = 120) -> Path:
    """Return the file that the run writes under a temporary name, once rows are in it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and run.poll() is None:
        for path in folder.glob(".batch_output.parquet.*.tmp"):
            if path.stat().st_size > 100_000:
                return path
        time.sleep(0.005)
    message = f"no partial output was seen; the run's exit code is {run.poll()}"
    raise AssertionError(message)


def test_a_kill_in_the_middle_of_predict_leaves_the_last_output_whole(project: Path, tmp_path: Path) -> None:
    request = tmp_path / "request.parquet"
    size = SampleSize()
    write_parquet(request, ENTITY_ROWS_SCHEMA, entity_row_batches(size, ROWS))
    folder = project / "data/07_model_output"
    before = digests(folder)

    run = start_batch(project, request)
    partial = wait_for_partial_output(run, folder)
    run.send_signal(signal.SIGKILL)
    run.wait(timeout=30)
    assert run.returncode == -signal.SIGKILL
    assert partial.exists(), "the run was killed too late to show anything"
    assert digests(folder) == {**before, partial.name: digests(folder)[partial.name]}
    assert pq.read_table(folder / "batch_output.parquet").num_rows == 14

    again = start_batch(project, request)
    assert again.wait(timeout=120) == 0
    assert pq.read_metadata(folder / "batch_output.parquet").num_rows == ROWS
    shutil.rmtree(folder)
