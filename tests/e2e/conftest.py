"""A fresh project, and MLflow left as it was."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.projects import copy_project
from support.registries import registry_forgotten


@pytest.fixture(autouse=True)
def _own_registry() -> Iterator[None]:
    with registry_forgotten():
        yield


@pytest.fixture
def fresh_project(tmp_path: Path) -> Path:
    """A project in which nothing has been run."""
    return copy_project(tmp_path / "a project")


@pytest.fixture(scope="session")
def _trips_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from support.trips import write_trips

    project = copy_project(tmp_path_factory.mktemp("trips") / "a project")
    with registry_forgotten():
        write_trips(project)
    return project


@pytest.fixture
def trips(_trips_once: Path, tmp_path: Path) -> Path:
    """A project of ``support.trips`` with a champion, in which nothing has been run."""
    return shutil.copytree(_trips_once, tmp_path / "a project")
