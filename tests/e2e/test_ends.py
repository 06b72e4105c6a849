"""What a user sees at the end of `kedro run`: a message for what was refused, a traceback for what nobody foresaw."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from kedro.framework.startup import bootstrap_project
from kedro.io import DatasetError
from support.disks import mounted
from support.projects import digests, kedro_command
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "kilobytes"),
    [("data/06_models/mlflow", 700), ("data/05_model_input", 40), ("data/06_models/mlflow/artifacts", 64)],
    ids=["registry", "rows", "artifacts"],
)
def test_a_full_disk_is_said_in_a_sentence(fresh_project: Path, folder: str, kilobytes: int) -> None:
    (fresh_project / folder).mkdir(parents=True)
    with mounted(fresh_project / folder, f"size={kilobytes}k"):
        ended = kedro_command(fresh_project, "run", "--pipelines", "training")
    assert_full(ended)


def assert_full(ended: subprocess.CompletedProcess[str]) -> None:
    assert ended.returncode == 1, ended.stderr
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("Error: The disk is full")
    assert "Free some space" in last
    assert "Traceback" not in ended.stderr
    assert "SQL:" not in ended.stderr.splitlines()[-2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pipeline", "folder", "kilobytes"),
    [
        ("materialize", "data/04_feature", 32),
        ("materialize", "data/04_feature", 120),
        ("batch", "data/05_model_input", 4),
        ("batch", "data/07_model_output", 4),
        ("reporting", "data/08_reporting", 8),
    ],
    ids=["opening the online store", "its rows", "extracted rows", "scored rows", "plots"],
)
def test_so_it_is_after_training(project: Path, pipeline: str, folder: str, kilobytes: int) -> None:
    with mounted(project / folder, f"size={kilobytes}k"):
        ended = kedro_command(project, "run", "--pipelines", pipeline)
    assert_full(ended)


@pytest.mark.slow
def test_a_full_disk_is_said_before_a_run_if_not_even_a_lock_has_room(project: Path) -> None:
    folder = project / "data/07_model_output"
    with mounted(folder, "size=4k"):
        (folder / "other").write_bytes(b"x" * 4096)
        ended = kedro_command(project, "run", "--pipelines", "batch")
    assert_full(ended)
    assert ended.stderr.count("Running node") == 0


BAD_REQUESTS = {
    "CR alone": (b"event_timestamp,driver_id\r2026-06-15,1\r", "its lines end in CR alone, or some do; end all in LF"),
    "mixed ends": (b"event_timestamp,driver_id\n2026-06-15,1\r\n", "line 1 ends in LF, but line 2 in CRLF; end all"),
    "a header with a line break": (b'event_timestamp,"driver\nid"\n2026-06-15,1\n', "a name in its header has a line"),
    "many columns": (",".join(map(str, range(10**5))).encode(), "there are 100000 columns; 10000 are the most"),
    "a header without an end": (b"event_timestamp,driver_id," + b"x" * 2**24, "has more than 1048576 bytes"),
    "a short line": (b"event_timestamp,driver_id\n2026-06-15\n", "line 2: Expected Number of Columns: 2 Found: 1"),
}


@pytest.mark.parametrize("case", BAD_REQUESTS)
def test_what_is_wrong_with_a_request_is_said_before_anything_is_done(
    project: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    content, message = BAD_REQUESTS[case]
    (project / "bad.csv").write_bytes(content)
    before = digests(project / "data")
    ended = run_here(project, monkeypatch, "batch", "--params", "batch_request=bad.csv")
    assert ended.exit_code == 1
    assert "/bad.csv: " in ended.stderr
    assert message in ended.stderr
    assert digests(project / "data") == before
