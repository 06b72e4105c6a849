"""A fresh project, and MLflow left as it was."""

from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from support.projects import copy_project


@pytest.fixture(autouse=True)
def _restore_tracking_uri() -> Iterator[None]:
    before = mlflow.get_tracking_uri()
    yield
    mlflow.set_tracking_uri(before)


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what MLflow has put into the environment of this process: each test has a registry of its own."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def fresh_project(tmp_path: Path) -> Path:
    """A project in which nothing has been run."""
    return copy_project(tmp_path / "a project")
