"""Projects to run: a fresh one, and one that has a champion."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from support.projects import copy_project, run_pipeline

from driver_ranking.feature_store.repo import FeatureRepo


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


@pytest.fixture(scope="session")
def _trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = copy_project(tmp_path_factory.mktemp("trained") / "a project")
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("MLFLOW_TRACKING_URI", raising=False)
        run_pipeline(project, "training")
        run_pipeline(project, "batch")
    return project


@pytest.fixture
def project(_trained_once: Path, tmp_path: Path) -> Path:
    """A project with a champion and a batch output, a copy; its registry's artifacts are in a folder that all share."""
    project = shutil.copytree(_trained_once, tmp_path / "a project")
    # Feast's registry names the online store by its absolute path, and a copy of it would change the original's
    shutil.rmtree(project / "data/04_feature")
    repo = FeatureRepo(project / "feature_repo")
    repo.apply(repo.definitions())
    return project
