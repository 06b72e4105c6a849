"""Projects that are served while something around them fails."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import mlflow
import pytest
from processes import free_port
from support.projects import copy_project, run_pipeline
from support.redis_projects import RedisProject

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _quiet_clients() -> None:
    """Leave the log of a test to what it has measured: its helpers ask for the server's health without an end."""
    logging.getLogger("httpx").setLevel(logging.WARNING)


@pytest.fixture(autouse=True)
def _mlflow_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget what MLflow is told in this process: each project has a registry of its own."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    before = mlflow.get_tracking_uri()
    yield
    mlflow.set_tracking_uri(before)


@pytest.fixture
def fresh_project(tmp_path: Path) -> Path:
    """A project in which nothing has been run."""
    return copy_project(tmp_path / "a project")


@pytest.fixture
def redis_project(project: Path, tmp_path: Path) -> RedisProject:
    """A project with a champion, and a place for a Redis, which does not run and has no data."""
    return RedisProject(project, free_port(), tmp_path / "redis")


@pytest.fixture
def filled_redis_project(redis_project: RedisProject) -> RedisProject:
    """A project with a champion whose Redis has its data, and does not run."""
    with redis_project.redis():
        redis_project.materialize()
    return redis_project


@pytest.fixture
def sqlite_project(project: Path) -> Path:
    """A project with a champion and a filled SQLite online store."""
    run_pipeline(project, "materialize")
    return project
