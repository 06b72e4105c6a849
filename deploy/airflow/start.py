"""Start Airflow on loopback with the project's DAGs, until it is interrupted: ``.venv-airflow/bin/python start.py``.

SQLite and the LocalExecutor, in the folder ``.airflow`` of the project; it runs in the environment that Airflow is in.
What the process's environment already says, of Airflow or of where tasks run, is kept.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

AIRFLOW = Path(sys.executable).with_name("airflow")
HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
# without a log server: it would listen on all addresses, and the files of the logs are on this machine
COMPONENTS = (("api-server", "--host", "127.0.0.1"), ("scheduler", "--skip-serve-logs"), ("dag-processor",))
PASSWORDS = "simple_auth_manager_passwords.json.generated"
_PATIENCE = 15  # seconds


def main() -> int:
    """Run until a signal comes, or a part of Airflow ends; return the exit code."""
    environment = with_defaults(os.environ)
    port = environment["AIRFLOW__API__PORT"]
    refuse_taken(int(port))
    adopt_orphans()
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stopped.set())
    run_checked(environment, "db", "migrate")
    with running(environment) as components:
        announced = False
        while not stopped.wait(0.5):
            ended = [name for name, process in components.items() if process.poll() is not None]
            if ended:
                sys.stderr.write(f"Airflow's {ended[0]} has ended; its log is in {log_folder(environment)}.\n")
                return 1
            if not announced and listens(int(port)):
                announce(environment)
                announced = True
    return 0


def with_defaults(given: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of Airflow's processes: what is given, and defaults for the rest."""
    port = given.get("AIRFLOW__API__PORT", "8080")
    return {
        "AIRFLOW_HOME": str(PROJECT / ".airflow"),
        "AIRFLOW__API__PORT": port,
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__CORE__DAGS_FOLDER": str(HERE / "dags"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "30",
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        "DO_NOT_TRACK": "true",
        "DRIVER_RANKING_PROJECT": str(PROJECT),
        **given,
    }


def refuse_taken(port: int) -> None:
    """End the program if somebody listens on the port already."""
    if listens(port):
        sys.exit(f"Port {port} is taken. Name another one: AIRFLOW__API__PORT=8081 make airflow")


def run_checked(environment: dict[str, str], *arguments: str) -> None:
    """Run a command of Airflow; end the program with what it says if it fails."""
    done = subprocess.run([str(AIRFLOW), *arguments], env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - beside this Python
    if done.returncode != 0:
        sys.exit(done.stdout + done.stderr)


@contextlib.contextmanager
def running(environment: dict[str, str]) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Run Airflow's parts; whatever they have started ends with them."""
    log_folder(environment).mkdir(parents=True, exist_ok=True)
    components: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, *options in COMPONENTS:
            with (log_folder(environment) / f"{name}.log").open("ab") as log:
                components[name] = subprocess.Popen(  # noqa: S603 - beside this Python
                    [str(AIRFLOW), name, *options],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        yield components
    finally:
        end(components.values())


def adopt_orphans() -> None:
    """Make this program the parent of processes whose own parent ends, so that none gets out of sight (Linux)."""
    set_child_subreaper = 36  # <sys/prctl.h>
    ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0)


def end(components: Iterable[subprocess.Popen[bytes]]) -> None:
    """End Airflow's parts, gently at first, and then whatever they have left behind, running tasks among it."""
    for component in components:
        component.terminate()
    psutil.wait_procs(
        [psutil.Process(component.pid) for component in components if component.poll() is None], _PATIENCE
    )
    while left := psutil.Process().children(recursive=True):
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, 1)


def log_folder(environment: Mapping[str, str]) -> Path:
    """Return where the output of Airflow's parts is."""
    return Path(environment["AIRFLOW_HOME"]) / "processes"


def listens(port: int) -> bool:
    """Return whether somebody listens on a port of loopback."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def announce(environment: Mapping[str, str]) -> None:
    """Say where to log in."""
    home = environment["AIRFLOW_HOME"]
    sys.stdout.write(
        f"Airflow: {environment['AIRFLOW__API__BASE_URL']}, user admin, password in {Path(home) / PASSWORDS}\n"
        f"DAGs: {environment['AIRFLOW__CORE__DAGS_FOLDER']}, paused until they are switched on or triggered\n"
        f"Logs: {log_folder(environment)}; Ctrl-C ends it\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
