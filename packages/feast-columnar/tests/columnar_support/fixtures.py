"""Fixtures of the library's tests and of those of who uses it: a plugin, so that a test session has each once.

What is imported here is not measured by the coverage: the library is imported where it is needed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pyspark.sql import SparkSession

    from columnar_support.asof_repos import AsofRepo
    from columnar_support.online_repos import OnlineRepo

# Before anything else: no test may reach a store that the environment names.
for _variable in ("FEAST_FS_YAML_FILE_PATH", "REDIS_ADDRESS", "REDIS_PASSWORD"):
    os.environ.pop(_variable, None)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`host:port` of an empty Redis in memory, one for the session; tests keep apart by `db=` or by project."""
    from processes import free_port, running_redis

    port = free_port()
    with running_redis(tmp_path_factory.mktemp("redis"), port):
        yield f"127.0.0.1:{port}"


@pytest.fixture(scope="session")
def session() -> Iterator[SparkSession]:
    """One Spark on this machine, for the whole test session."""
    from columnar_support.spark_repos import started

    running = started()
    yield running
    running.stop()


@pytest.fixture
def asof_repo(tmp_path: Path) -> AsofRepo:
    """An empty feature repo in a folder of the test's own."""
    from columnar_support.asof_repos import AsofRepo

    return AsofRepo(tmp_path)


@pytest.fixture(scope="module")
def shared_asof_repo(tmp_path_factory: pytest.TempPathFactory) -> AsofRepo:
    """A feature repo for the tests of a module that write their rows anew each time."""
    from columnar_support.asof_repos import AsofRepo

    return AsofRepo(tmp_path_factory.mktemp("asof"))


@pytest.fixture(params=["ours", "sqlite", "redis", "other"])
def repo(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OnlineRepo]:
    """An empty repo; of the Redis that all share it has its own keys."""
    from columnar_support.online_repos import OTHER, OURS, PROJECTS, OnlineRepo

    kind = {"ours": OURS, "other": OTHER}.get(request.param, request.param)
    if kind != "redis":
        online_store = {"type": kind, "path": str(tmp_path / "online.db")}
    else:
        online_store = {"type": "redis", "connection_string": request.getfixturevalue("redis_server")}
    made = OnlineRepo(tmp_path, f"online_{next(PROJECTS)}", online_store)
    yield made
    for reader in made.readers:
        reader.close()
