"""Two runs of one output: who comes second is told so and changes nothing; rows of another request are not scored."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from filelock import FileLock
from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline
from support.disks import mounted
from support.projects import digests, run_pipeline

from driver_ranking.errors import OutputInUseError, OutputPlaceError, RequestError
from driver_ranking.output_locks import OutputLocks, lock_path

OUTPUT = "data/07_model_output/batch_output.parquet"
TIMES = 20
RUNS = """
import logging, sys, time
from pathlib import Path
from support.projects import run_pipeline
from driver_ranking.errors import OutputInUseError
project, request = Path(sys.argv[1]), sys.argv[2]
for number in range(int(sys.argv[3])):
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        run_pipeline(project, "batch", {"batch_request": request})
        print("done", flush=True)
    except OutputInUseError as error:
        print(str(error).replace("\\n", " "), flush=True)
"""


def write_requests(project: Path) -> dict[str, int]:
    """Write two requests, each of one driver; return their drivers."""
    requests = {"data/01_raw/first.csv": 1001, "data/01_raw/second.csv": 1002}
    for name, driver in requests.items():
        rows = "".join(f"2026-06-15T00:00:00Z,{driver}\n" for _ in range(50))
        (project / name).write_text(f"event_timestamp,driver_id\n{rows}", encoding="utf-8")
    return requests


def scored(project: Path) -> set[int]:
    return set(pq.read_table(project / OUTPUT)["driver_id"].to_pylist())


@pytest.mark.slow
def test_two_batch_runs_at_the_same_moment_never_mix(project: Path) -> None:
    requests = write_requests(project)
    with ExitStack() as stack:
        runs = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", RUNS, str(project), name, str(TIMES)],
                    cwd=project,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                    env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
                )
            )
            for name in requests
        ]
        ends = [said for _ in range(TIMES) for said in [together(runs)]]
        for said in ends:
            assert said.count("done") >= 1, said
            others = [line for line in said if line != "done"]
            assert all("is being written by another run: process" in line for line in others), said
    assert [run.returncode for run in runs] == [0, 0]
    assert any("done" not in {first, second} or first != second for first, second in ends)  # they did meet
    assert scored(project) in ({1001}, {1002})


def together(runs: list[subprocess.Popen[str]]) -> list[str]:
    """Let all begin one run at once; return how each ended."""

    def line(run: subprocess.Popen[str]) -> str:
        assert run.stdout is not None
        while (text := run.stdout.readline().strip()) and not text.startswith(("ready", "done", "/")):
            pass
        return text

    with ThreadPoolExecutor(len(runs)) as pool:
        assert list(pool.map(line, runs)) == ["ready"] * len(runs)
        for run in runs:
            assert run.stdin is not None
            run.stdin.write("\n")
            run.stdin.flush()
        return list(pool.map(line, runs))


def test_who_comes_second_is_told_who_was_first_and_changes_nothing(project: Path) -> None:
    requests = write_requests(project)
    before = digests(project / "data")
    lock = lock_path(project / OUTPUT)
    with FileLock(lock):
        told = {"pid": 123, "host": "elsewhere", "since": "2026-06-15T00:00:00+00:00"}
        lock.write_text(json.dumps(told), encoding="utf-8")
        said = r"batch_output\.parquet is being written by another run: process 123 on elsewhere, since 2026-06-15T00"
        with pytest.raises(OutputInUseError, match=said):
            run_pipeline(project, "batch", {"batch_request": next(iter(requests))})
    assert digests(project / "data") == before
    run_pipeline(project, "batch", {"batch_request": next(iter(requests))})  # what the first has left behind
    assert json.loads(lock.read_text(encoding="utf-8"))["host"] == socket.gethostname()
    assert scored(project) == {1001}


def test_a_lock_that_a_kill_left_does_not_bind(project: Path) -> None:
    holding = (
        "import sys, time; from filelock import FileLock; lock = FileLock(sys.argv[1]); lock.acquire(); "
        "print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", holding, str(lock_path(project / OUTPUT))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "held\n"
        with pytest.raises(OutputInUseError):
            run_pipeline(project, "batch")
        killed.send_signal(signal.SIGKILL)
    run_pipeline(project, "batch")


def test_rows_of_another_request_are_not_scored(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    first, second = write_requests(project)
    run_pipeline(project, "batch", {"batch_request": first})
    run_pipeline(project, "batch", {"batch_request": second}, nodes=["extract_features"])
    with pytest.raises(
        RequestError, match=r"are those of the request .*second\.csv.*, and this run is for .*first\.csv"
    ):
        run_pipeline(project, "batch", {"batch_request": first}, nodes=["predict"])
    assert scored(project) == {1001}
    run_pipeline(project, "batch", {"batch_request": str(project / second)}, nodes=["predict"])
    assert scored(project) == {1002}


def test_a_request_that_has_changed_since_is_scored_as_it_was_extracted(project: Path) -> None:
    first, second = write_requests(project)
    run_pipeline(project, "batch", {"batch_request": first}, nodes=["extract_features"])
    (project / second).replace(project / first)
    run_pipeline(project, "batch", {"batch_request": first}, nodes=["predict"])
    assert scored(project) == {1001}
    run_pipeline(project, "batch", {"batch_request": first})
    assert scored(project) == {1002}


def test_a_place_that_takes_no_lock_is_named_and_nothing_is_changed(project: Path) -> None:
    shutil.rmtree(project / "data/07_model_output")
    (project / "data/07_model_output").write_text("no folder", encoding="utf-8")
    before = digests(project / "data")
    with pytest.raises(OutputPlaceError, match=r"batch_output\.parquet can't be written: .*Let the user of this run"):
        run_pipeline(project, "batch")
    assert digests(project / "data") == before


def test_a_folder_that_is_only_read_is_said_so(project: Path) -> None:
    folder = project / "data/07_model_output"
    with mounted(folder, "ro"), pytest.raises(OutputPlaceError, match="can't be written: Read-only file system"):
        run_pipeline(project, "batch")


def test_what_is_not_a_local_file_has_no_lock(tmp_path: Path) -> None:
    kind = "driver_ranking.datasets.parquet_stream.ParquetStreamDataset"
    entries = {"remote": {"type": kind, "filepath": "memory://x/rows.parquet"}, "plain": {"type": "MemoryDataset"}}
    local = tmp_path / "new folder/rows.parquet"
    catalog = DataCatalog.from_config({**entries, "local": {"type": kind, "filepath": str(local)}})
    made = Pipeline([Node(print, inputs="local", outputs=["remote", "plain", "unknown"], name="made")])
    locks, others = OutputLocks(), OutputLocks()

    def begin(held: OutputLocks) -> None:
        hook = held.before_pipeline_run(made, catalog)
        next(hook)
        with pytest.raises(StopIteration):
            hook.send(None)

    begin(locks)
    assert [path.name for path in local.parent.iterdir()] == [".rows.parquet.lock"]
    lock_path(local).write_text("", encoding="utf-8")
    with pytest.raises(OutputInUseError, match="process unknown on unknown, since unknown"):
        begin(others)
    assert lock_path(local).exists()
    locks.on_pipeline_error()
    begin(others)
    others.after_pipeline_run()
    with FileLock(lock_path(local), blocking=False):
        pass
