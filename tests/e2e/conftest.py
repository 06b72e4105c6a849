"""A fresh project, and MLflow left as it was."""

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
