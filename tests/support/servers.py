"""Servers of other people, and ours, each a process of its own on ports of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from columnar_support.servers import free_port, until_listening

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BIN = Path(sys.executable).parent


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment with the project's commands on the PATH, and more variables."""
    return {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", **more}


@contextlib.contextmanager
def running_mlflow(folder: Path) -> Iterator[str]:
    """Run an MLflow server that keeps everything in a folder and hands out the artifacts itself; give its URL."""
    port = free_port()
    command = [str(BIN / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    stores = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", f"{folder}/artifacts"]
    variables = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "DO_NOT_TRACK": "true"}
    with (folder / "mlflow.log").open("wb") as log:
        server = subprocess.Popen([*command, *stores], env=environment(**variables), stdout=log, stderr=log)
    try:
        until_listening(server, port, seconds=60)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=20)


@dataclass(frozen=True)
class Serving:
    """A running `mlserver start`.

    Attributes:
        process: The process.
        http_port: Port of REST.
        grpc_port: Port of gRPC.
        metrics_port: Port of the metrics.
        log: File with what it prints.
    """

    process: subprocess.Popen[bytes]
    http_port: int
    grpc_port: int
    metrics_port: int
    log: Path

    @property
    def url(self) -> str:
        """Return the address of REST."""
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def grpc_address(self) -> str:
        """Return the address of gRPC, without a scheme."""
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def infer_url(self) -> str:
        """Return where requests are posted to."""
        return f"{self.url}/v2/models/driver_ranking/infer"

    def is_ready(self) -> bool:
        """Return what the server says of itself."""
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/v2/health/ready", timeout=5).status_code == httpx.codes.OK
        return False

    def wait(self, *, ready: bool = True, seconds: float = 60) -> None:
        """Wait until the server says that it is ready, or not."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            if self.is_ready() == ready:
                return
            time.sleep(0.05)
        state = "exited" if self.process.poll() is not None else "runs"
        message = f"not ready={ready} within {seconds} s; the server {state}\n{self.log.read_text(encoding='utf-8')}"
        raise AssertionError(message)

    def metrics(self) -> str:
        """Return what Prometheus would be told."""
        return httpx.get(f"http://127.0.0.1:{self.metrics_port}/metrics").text


@contextlib.contextmanager
def serving(
    project: Path, variables: Mapping[str, str] | None = None, *, wait: bool = True, folder: Path | None = None
) -> Iterator[Serving]:
    """Serve a project with the stock command, from a working directory that is not the project's.

    Args:
        project: The project's folder.
        variables: More environment variables.
        wait: Whether to wait until it is ready.
        folder: The working directory; by default the one that the project is in.
    """
    folder = folder or project.parent
    ports = [free_port() for _ in range(3)]
    named = dict(
        zip(("MLSERVER_HTTP_PORT", "MLSERVER_GRPC_PORT", "MLSERVER_METRICS_PORT"), map(str, ports), strict=True)
    )
    log = folder / f"serving-{ports[0]}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(BIN / "mlserver"), "start", str(project)],
            cwd=folder,
            env=environment(**{**named, **(variables or {})}),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    server = Serving(process, ports[0], ports[1], ports[2], log)
    try:
        if wait:
            server.wait()
        yield server
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
