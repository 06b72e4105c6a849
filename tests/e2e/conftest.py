"""Projects to run: a fresh one, and one that has a champion."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from support.projects import copy_project, run_pipeline


@pytest.fixture(autouse=True)
def _restore_tracking_uri() -> Iterator[None]:
    before = mlflow.get_tracking_uri()
    yield
    mlflow.set_tracking_uri(before)


@pytest.fixture(autouse=True)
def _default_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what the machine's environment says of MLflow and Feast out of the tests."""
    for variable in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "FEAST_FS_YAML_FILE_PATH"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def fresh_project(tmp_path: Path) -> Path:
    """A project in which nothing has been run."""
    return copy_project(tmp_path / "project")


@pytest.fixture(scope="session")
def _trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = copy_project(tmp_path_factory.mktemp("trained") / "project")
    run_pipeline(project, "training")
    run_pipeline(project, "batch")
    return project


@pytest.fixture
def project(_trained_once: Path, tmp_path: Path) -> Path:
    """A project with a champion and a batch output; the artifacts of its registry are shared, and only read."""
    return shutil.copytree(_trained_once, tmp_path / "project")
