"""A standalone Spark cluster on loopback: one master, workers, each a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyspark
from processes import free_port, stop, wait_until_listening

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
    port, at = free_port(), ["--host", "127.0.0.1"]
    with ExitStack() as stack:

        def running(name: str, *arguments: str) -> subprocess.Popen[bytes]:
            process = started(folder, name, *arguments)
            stack.callback(stop, process, patience=30)
            return process

        master = ["org.apache.spark.deploy.master.Master", *at, "--port", str(port), "--webui-port", "0"]
        wait_until_listening(running("master", *master), port, seconds=60)
        worker = ["org.apache.spark.deploy.worker.Worker", *at, "--port", "0", "--webui-port", "0"]
        size = ["--cores", "1", "--memory", "1200m", f"spark://127.0.0.1:{port}"]
        ours = [running(f"worker{number}", *worker, *size) for number in range(workers)]
        yield Cluster(f"spark://127.0.0.1:{port}", ours, folder)


def children(pid: int) -> list[int]:
    """Return the processes that a process has started, and theirs."""
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    found = [int(child) for child in listed.read_text(encoding="ascii").split()] if listed.exists() else []
    return [*found, *(deeper for child in found for deeper in children(child))]
