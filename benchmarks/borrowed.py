"""What the benchmarks share with the tests and with the programs of `deploy/local`, which are no packages either."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from measure import ROOT

sys.path += [str(ROOT / "tests"), str(ROOT / "deploy/local")]

from processes import free_port, free_ports, running_redis, stop
from support.projects import copy_project

__all__ = ["copy_project", "free_ports", "redis_server", "stop"]


@contextlib.contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Run a Redis in memory until the block ends; give its ``host:port``."""
    port = free_port()
    with running_redis(folder, port):
        yield f"127.0.0.1:{port}"
