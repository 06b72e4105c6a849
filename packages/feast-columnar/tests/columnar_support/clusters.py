"""A standalone Spark cluster on loopback: one master, workers, each a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyspark

from columnar_support.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

SPARK_CLASS = Path(pyspark.__file__).parent / "bin/spark-class"


@dataclass(frozen=True)
class Cluster:
    """A running cluster: where its master is, and its processes."""

    master: str
    workers: list[subprocess.Popen[bytes]]
    folder: Path

    def environment(self) -> dict[str, str]:
        """What a run needs to use it."""
        return {**os.environ, "SPARK_MASTER": self.master, "PYSPARK_PYTHON": sys.executable}


def started(folder: Path, name: str, *arguments: str) -> subprocess.Popen[bytes]:
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},  # Kedro puts its project there
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_WORKER_DIR": str(folder / name),
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_DAEMON_MEMORY": "256m",
    }
    log = (folder / f"{name}.log").open("wb")
    with log:
        return subprocess.Popen([str(SPARK_CLASS), *arguments], env=environment, stdout=log, stderr=log)


@contextmanager
def cluster(folder: Path, workers: int = 2) -> Iterator[Cluster]:
    """Start a master and workers; end them by their process ids."""
    port, processes = free_port(), []
    at = ["--host", "127.0.0.1"]
    try:
        master = ["org.apache.spark.deploy.master.Master", *at, "--port", str(port), "--webui-port", "0"]
        processes.append(started(folder, "master", *master))
        wait_for(port)
        for number in range(workers):
            worker = ["org.apache.spark.deploy.worker.Worker", *at, "--port", "0", "--webui-port", "0"]
            size = ["--cores", "1", "--memory", "1200m", f"spark://127.0.0.1:{port}"]
            processes.append(started(folder, f"worker{number}", *worker, *size))
        yield Cluster(f"spark://127.0.0.1:{port}", processes[1:], folder)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(timeout=30)


def wait_for(port: int, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    message = f"nothing listens on {port}"
    raise AssertionError(message)


def children(pid: int) -> list[int]:
    """Return the processes that a process has started, and theirs."""
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    found = [int(child) for child in listed.read_text(encoding="ascii").split()] if listed.exists() else []
    return [*found, *(deeper for child in found for deeper in children(child))]
