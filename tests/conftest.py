"""What several test suites need: projects that have been run, and one that is served; see also columnar_support."""

from __future__ import annotations

import functools
import os
import shutil
from typing import TYPE_CHECKING

import pytest
from support.servers import Serving, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.foreign_repos.project import ForeignRun, MakeForeign


# Before anything else: no test may reach a registry or a store that the environment names.
for _variable in (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_REGISTRY_URI",
    "FEAST_FS_YAML_FILE_PATH",
    "KEDRO_ENV",
    "REDIS_ADDRESS",
    "REDIS_PASSWORD",
):
    os.environ.pop(_variable, None)
for _variable in [name for name in os.environ if name.startswith(("MLSERVER_", "DRIVER_RANKING_"))]:
    os.environ.pop(_variable)


@pytest.fixture(scope="session")
def _trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from support.projects import copy_project, run_pipeline
    from support.registries import registry_forgotten

    project = copy_project(tmp_path_factory.mktemp("trained") / "a project")
    with registry_forgotten():
        run_pipeline(project, "training")
        run_pipeline(project, "batch")
    return project


@pytest.fixture
def project(_trained_once: Path, tmp_path: Path) -> Path:
    """A project with a champion and a batch output, copied whole from where it was run."""
    return shutil.copytree(_trained_once, tmp_path / "a project")


@pytest.fixture(scope="session")
def served_project(_trained_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a champion and a filled online store, one for the session: not to be changed."""
    from support.projects import run_pipeline
    from support.registries import registry_forgotten

    project = shutil.copytree(_trained_once, tmp_path_factory.mktemp("served") / "a project")
    with registry_forgotten():
        run_pipeline(project, "materialize")
    return project


@pytest.fixture(scope="session")
def server(served_project: Path) -> Iterator[Serving]:
    """The served project, one server for the session: tests leave it as it is."""
    with serving(served_project) as running:
        yield running


@pytest.fixture(scope="session")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> MakeForeign:
    """Projects with a foreign feature repo, by its name: each made once, scored by batch, and not to be changed."""
    from support.foreign_repos import made_foreign
    from support.registries import registry_forgotten

    @functools.cache
    def make(name: str) -> ForeignRun:
        with registry_forgotten():
            return made_foreign(name, tmp_path_factory.mktemp(name) / "a project")

    return make
