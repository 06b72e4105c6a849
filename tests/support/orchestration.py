"""Airflow in its own environment: its commands, and one that runs."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import psutil  # type: ignore[import-untyped]
from processes import free_port

from support.projects import ROOT
from support.servers import BIN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

AIRFLOW = ROOT / ".venv-airflow" / "bin"
MAKE = shutil.which("make") or "make"
DAGS = ROOT / "deploy" / "airflow" / "dags"

Describe = Callable[..., dict[str, Any]]
"""Asks Airflow what it makes of a folder of DAGs."""


def airflow_environment(home: Path, project: Path, dags: Path = DAGS, **more: str) -> dict[str, str]:
    """Return the environment of Airflow's processes; its tasks run a project with the kedro of this environment."""
    assert AIRFLOW.exists(), "Airflow is not installed: run `make airflow-env`"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON"))}
    return {
        **{name: value for name, value in inherited.items() if not name.lower().endswith("_proxy")},
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "DRIVER_RANKING_PROJECT": str(project),
        "DRIVER_RANKING_KEDRO": str(BIN / "kedro"),
        **more,
    }


def airflow(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of Airflow, in the folder of its home."""
    command = [str(AIRFLOW / "airflow"), *arguments]
    home = environment["AIRFLOW_HOME"]
    return subprocess.run(
        command, cwd=home, env=dict(environment), capture_output=True, text=True, timeout=300, check=False
    )


@dataclass(frozen=True)
class RunningAirflow:
    """What `make airflow` has started.

    Attributes:
        process: The program `make`, the leader of a session.
        url: Where Airflow is.
        said: File with what it printed.
    """

    process: subprocess.Popen[bytes]
    url: str
    said: Path

    @contextlib.contextmanager
    def client(self) -> Iterator[httpx.Client]:
        """Log in to the REST API as the user, with the password, that `make airflow` points at."""
        (password_file,) = (
            line.rsplit(" ", 1)[-1] for line in self.said.read_text().splitlines() if "password" in line
        )
        with open(password_file, encoding="utf-8") as passwords:  # noqa: PTH123 - the path as it was printed
            login = {"username": "admin", "password": json.load(passwords)["admin"]}
        token = httpx.post(f"{self.url}/auth/token", json=login, timeout=30).raise_for_status().json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=f"{self.url}/api/v2", headers=headers, timeout=30) as client:
            yield client

    def processes(self) -> list[psutil.Process]:
        """Return all that it has started, and what those have started."""
        return list(psutil.Process(self.process.pid).children(recursive=True))

    def interrupt(self) -> int:
        """Do what Ctrl-C in a terminal does; return the exit code."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(timeout=60)


@contextlib.contextmanager
def running_airflow(folder: Path, project: Path, dags: Path = DAGS) -> Iterator[RunningAirflow]:
    """Start Airflow as users do, in a folder and on a port of its own."""
    port, home, said = free_port(), folder / "home", folder / "said.log"
    environment = airflow_environment(home, project, dags, AIRFLOW__API__PORT=str(port))
    with said.open("wb") as output:
        process = subprocess.Popen(
            [MAKE, "airflow"],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    running = RunningAirflow(process, f"http://127.0.0.1:{port}", said)
    try:
        until(lambda: "Ctrl-C" in said.read_text() or process.poll() is not None, seconds=120)
        assert process.poll() is None, said.read_text()
        yield running
    finally:
        if process.poll() is None:
            running.interrupt()


def until(condition: Callable[[], bool], *, seconds: float) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.5)


def task_instances(client: httpx.Client, dag_id: str, run_id: str) -> dict[str, dict[str, Any]]:
    """Return the tasks of a run by name, as the API tells them."""
    found = client.get(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances").raise_for_status().json()
    return {task["task_id"]: task for task in found["task_instances"]}
