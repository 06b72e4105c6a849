"""What a user sees at the end of `kedro run`: a message for what was refused, a traceback for what nobody foresaw."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from kedro.framework.startup import bootstrap_project
from kedro.io import DatasetError
from support.projects import kedro_command
from support.servers import environment

from driver_ranking.cli import run

MONDAY = "Error: start=Monday is not a time such as 2026-06-15T08:00:00+00:00."


def run_here(project: Path, monkeypatch: pytest.MonkeyPatch, pipeline: str, *arguments: str) -> Result:
    """Run the command in this process."""
    bootstrap_project(project)
    monkeypatch.chdir(project)
    return CliRunner().invoke(run, ["--pipelines", pipeline, *arguments])


@pytest.mark.parametrize(
    ("pipeline", "params", "message"),
    [
        ("batch", "batch_request=nowhere.csv", "nowhere.csv: there is no such file. Nothing was written."),
        ("batch", "run_date=tomorrow", "Error: run_date=tomorrow is not a date such as 2026-06-15."),
        ("materialize", "start=Monday", MONDAY),
        ("batch", "bacth_request=x.csv", "Did you mean 'batch_request'?"),
    ],
    ids=["before the run", "in the configuration", "in a node", "a name"],
)
def test_a_refused_run_ends_with_its_message_and_no_traceback(
    project: Path, monkeypatch: pytest.MonkeyPatch, pipeline: str, params: str, message: str
) -> None:
    ended = run_here(project, monkeypatch, pipeline, "--params", params)
    assert ended.exit_code == 1
    hint, last = ended.stderr.splitlines()[-2:]
    assert message in last
    assert "--verbose" in hint
    assert "Traceback" not in ended.stderr


def test_the_traceback_is_there_for_who_asks_and_the_message_still_last(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = run_here(project, monkeypatch, "materialize", "--params", "start=Monday", "--verbose")
    assert ended.exit_code == 1
    assert "Traceback (most recent call last)" in ended.stderr
    assert ended.stderr.splitlines()[-1] == MONDAY
    monkeypatch.setenv("DRIVER_RANKING_VERBOSE", "1")
    assert "Traceback" in run_here(project, monkeypatch, "materialize", "--params", "start=Monday").stderr


def test_an_error_that_nobody_foresaw_stays_what_it_is(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "data/07_model_output/batch_output.parquet").write_bytes(b"not Parquet")
    ended = run_here(project, monkeypatch, "reporting")
    assert isinstance(ended.exception, DatasetError)
    assert "DRIVER_RANKING_VERBOSE" not in ended.output
    assert isinstance(run_here(project, monkeypatch, "nowhere").exception, ValueError)


def test_kedro_ends_its_own_errors(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = run_here(project, monkeypatch, "batch", "--pipeline", "batch")
    assert ended.exit_code == 1
    assert "DRIVER_RANKING_VERBOSE" not in ended.output


@pytest.mark.parametrize("program", [["kedro", "run"], ["python", "-m", "driver_ranking"]], ids=["kedro", "python"])
def test_both_programs_end_so(project: Path, program: list[str]) -> None:
    command = [str(Path(sys.executable).with_name(program[0])), *program[1:]]
    command += ["--pipelines", "materialize", "--params", "start=Monday"]
    ended = subprocess.run(
        command, cwd=project, env=environment(), capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == MONDAY
    assert "Traceback" not in ended.stderr


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[None]:
    """Mount a disk of some size on a folder, which takes root."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this user can't mount a disk")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)  # noqa: S607 - as root, who has it on the PATH


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "kilobytes"), [("data/06_models/mlflow", 700), ("data/05_model_input", 40)], ids=["registry", "rows"]
)
def test_a_full_disk_is_said_in_a_sentence(fresh_project: Path, folder: str, kilobytes: int) -> None:
    (fresh_project / folder).mkdir(parents=True)
    with small_disk(fresh_project / folder, kilobytes):
        ended = kedro_command(fresh_project, "run", "--pipelines", "training")
    assert ended.returncode == 1, ended.stderr
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("Error: The disk is full")
    assert "Free some space" in last
    assert "Traceback" not in ended.stderr
    assert "SQL:" not in ended.stderr.splitlines()[-2]
