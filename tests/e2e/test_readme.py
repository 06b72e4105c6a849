"""The README's commands work as they are written."""

import contextlib
import json
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pyarrow.parquet as pq
import pytest
from processes import free_port, stop
from support.projects import ROOT, copy_project
from support.servers import Serving, environment

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.split("#")[0].strip()
    for block in re.findall(r"```bash\n(.*?)```", README, flags=re.DOTALL)
    for line in block.splitlines()
]


def block(language: str) -> str:
    """Return the first block of a language."""
    found = re.search(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)
    assert found is not None
    return found[1]


def test_the_readme_has_commands_of_each_kind() -> None:
    kinds = {command.split()[0] for command in COMMANDS}
    assert kinds == {"make", "curl", "kedro", "feast"}


def test_its_make_targets_are_listed_by_make() -> None:
    listed = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    named = {command.split()[1] for command in COMMANDS if command.startswith("make")}
    assert {"run", "test"} <= named <= set(listed)


def test_its_requests_are_answered_as_it_says(server: Serving) -> None:
    requests = [command for command in COMMANDS if command.startswith("curl")]
    shown = block("json").splitlines()
    for request, answer in zip(requests, shown, strict=True):
        command = shlex.split(request.replace("localhost:8172", f"127.0.0.1:{server.http_port}"))
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert without_id(said, float) == without_id(answer, nearly)


def without_id(answer: str, number: Callable[[str], object]) -> object:
    content = json.loads(answer, parse_float=number)
    content.pop("id", None)
    return content


def nearly(digits: str) -> object:
    """Leave open the last bits of a score, which BLAS rounds otherwise on another processor."""
    return pytest.approx(float(digits), rel=1e-12)


def test_its_call_is_answered_as_it_says(server: Serving, tmp_path: Path) -> None:
    program = block("python")
    (expected,) = re.findall(r"# (.*)$", program, flags=re.MULTILINE)
    script = tmp_path / "call.py"
    script.write_text(program.replace("localhost:8173", server.grpc_address), encoding="utf-8")
    said = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == expected


@pytest.mark.slow
def test_its_other_commands_run(project: Path) -> None:
    for command in COMMANDS:
        if not command.startswith(("make", "curl")):
            done = subprocess.run(
                shlex.split(command), cwd=project, env=environment(), capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert (project / "data/07_model_output/2026-06-15/batch_output.parquet").is_file()


@pytest.mark.slow
def test_make_run_says_what_happened_and_nothing_else(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "a project")
    shutil.copy2(ROOT / "Makefile", project)
    (project / ".venv").symlink_to(sys.prefix)
    command = ["make", "run", "--assume-old=.venv/.installed", "--no-print-directory"]
    done = subprocess.run(
        command,
        cwd=project,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert len(lines) < 100, done.stdout
    assert not [line for line in lines if re.search(r"feast|protobuf|WARN|spec \{|Loading data|cache expired", line)]
    for said in (
        "Running node: fit_model",
        "Validation passed",
        "as 'champion'",
        "as 'challenger'",
        "Materialized 50 rows",
        "Scored 14 rows",
    ):
        assert [line for line in lines if said in line], said
    assert lines[-2].startswith("13 ")
    assert re.fullmatch(
        r"The trained model and version 1 .* RMSE .*; NDCG@10 .*; MRR .*; hit rate@1 .* trips\.", lines[-1]
    )


def test_the_answer_it_shows_is_the_one_that_is_given(project: Path) -> None:
    shown = pq.read_table(project / "data/07_model_output/batch_output.parquet").to_pandas().to_string()
    for line in block("text").splitlines():
        assert line == "..." or line in shown.splitlines()


@contextlib.contextmanager
def started(command: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=log, stderr=log)
    try:
        yield process
    except AssertionError as error:
        error.add_note((folder / "server.log").read_text(encoding="utf-8"))
        raise
    finally:
        family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        stop(process, patience=30)
        for child in family:  # kedro viz leaves its server behind
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        psutil.wait_procs(family, timeout=10)


def fetch(process: subprocess.Popen[bytes], url: str, seconds: float = 90) -> str:
    """Return what a server that has just been started answers, once it does."""
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - the server that was just started
            return str(answer.read().decode())
        time.sleep(0.2)
    message = f"nothing answers at {url}; the server's exit code is {process.poll()}"
    raise AssertionError(message)


@pytest.mark.slow
def test_kedro_viz_serves_the_project(project: Path) -> None:
    port = free_port()
    command = ["kedro", "viz", "run", "--host", "127.0.0.1", "--port", str(port), "--no-browser"]
    with started(command, project) as process:
        assert "batch_output" in fetch(process, f"http://127.0.0.1:{port}/api/main")


@pytest.mark.slow
def test_feast_serves_its_ui(project: Path) -> None:
    port = free_port()
    command = ["feast", "-c", "feature_repo", "ui", "--host", "127.0.0.1", "--port", str(port)]
    with started(command, project) as process:
        assert "driver_ranking" in fetch(process, f"http://127.0.0.1:{port}/projects-list.json")
