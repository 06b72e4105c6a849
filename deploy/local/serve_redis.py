"""Serve the project with a Redis as its online store: the one at REDIS_ADDRESS, or one that is started for it.

A Redis that is started here listens on loopback, wants a password made for it, keeps its data in memory, and ends with
the server. What the offline store has is materialized into it first.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from processes import StartError, free_port, running_redis

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
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        try:
            stack.enter_context(running_redis(folder, port, requirepass=password))
        except StartError as error:
            sys.exit(f"{error} One that runs is named by REDIS_ADDRESS=host:port.")
        yield {"REDIS_ADDRESS": f"127.0.0.1:{port}", "REDIS_PASSWORD": password}


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


if __name__ == "__main__":
    sys.exit(main())
