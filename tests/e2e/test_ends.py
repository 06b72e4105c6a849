"""What a user sees at the end of `kedro run`: a message for what was refused, a traceback for what nobody foresaw."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.projects import kedro_command
from support.servers import environment


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["batch", "--params", "batch_request=nowhere.csv"],
            "nowhere.csv: there is no such file. Nothing was written.",
        ),
        (["batch", "--params", "run_date=tomorrow"], "Error: run_date=tomorrow is not a date such as 2026-06-15."),
        (
            ["materialize", "--params", "start=Monday"],
            "Error: start=Monday is not a time such as 2026-06-15T08:00:00+00:00.",
        ),
        (["batch", "--params", "bacth_request=x.csv"], "Did you mean 'batch_request'?"),
    ],
    ids=["before the run", "in the configuration", "in a node", "a name"],
)
def test_a_refused_run_ends_with_its_message_and_no_traceback(
    project: Path, arguments: list[str], message: str
) -> None:
    run = kedro_command(project, "run", "--pipelines", *arguments)
    assert run.returncode == 1, run.stderr
    assert message in run.stderr.splitlines()[-1]
    assert "Traceback" not in run.stderr
    assert "--verbose" in run.stderr.splitlines()[-2]


@pytest.mark.parametrize(
    ("option", "variable"), [(["--verbose"], {}), ([], {"DRIVER_RANKING_VERBOSE": "1"})], ids=["option", "variable"]
)
def test_the_traceback_is_there_for_who_asks_and_the_message_still_last(
    project: Path, option: list[str], variable: dict[str, str]
) -> None:
    command = [
        sys.executable,
        "-m",
        "driver_ranking",
        "--pipelines",
        "materialize",
        "--params",
        "start=Monday",
        *option,
    ]
    run = subprocess.run(
        command, cwd=project, env=environment() | variable, capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 1, run.stderr
    assert "Traceback (most recent call last)" in run.stderr
    assert run.stderr.splitlines()[-1] == "Error: start=Monday is not a time such as 2026-06-15T08:00:00+00:00."


def test_an_error_that_nobody_foresaw_keeps_its_traceback(project: Path) -> None:
    nodes = project / "src/driver_ranking/pipeline_registry.py"
    nodes.write_text("def register_pipelines():\n    raise ZeroDivisionError('surprise')\n", encoding="utf-8")
    command = [sys.executable, "-m", "driver_ranking", "--pipelines", "reporting"]
    paths = environment() | {"PYTHONPATH": str(project / "src")}
    run = subprocess.run(command, cwd=project, env=paths, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 1, run.stderr
    assert "Traceback (most recent call last)" in run.stderr
    assert run.stderr.splitlines()[-1] == "ZeroDivisionError: surprise"


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
        run = kedro_command(fresh_project, "run", "--pipelines", "training")
    assert run.returncode == 1, run.stderr
    last = run.stderr.splitlines()[-1]
    assert last.startswith("Error: The disk is full")
    assert "Free some space" in last
    assert "Traceback" not in run.stderr
    assert "SQL:" not in run.stderr.splitlines()[-2]
