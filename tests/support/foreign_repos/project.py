"""A project with a feature repo that was not written for it, as its user makes one: nothing in `src` is changed."""

from __future__ import annotations

import contextlib
import json
import shutil
import warnings
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import mlflow

from driver_ranking.local_artifacts import ARTIFACTS
from support.queries import AskedProject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

_DEFINITIONS = Path(__file__).parent / "definitions"
_NAME, _ALIAS = "driver_ranking", "champion"


@dataclass(frozen=True)
class ForeignProject(AskedProject):
    """A project with what its model takes; its requests have what is unknown, null, too old or missing among the rest.

    Attributes:
        training: What is trained, by the parameters of a training.
        example: Rows of features as the model was fitted on them: its columns, in order, with their types.
        scores: The model's own scores of such rows.
    """

    training: Mapping[str, Any]
    example: pd.DataFrame
    scores: Callable[[pd.DataFrame], NDArray[np.float64]]

    @property
    def interval(self) -> dict[str, str]:
        """Return the parameters of a materialization of all its data."""
        return {"start": (self.now - timedelta(days=60)).isoformat(), "end": self.now.isoformat()}


@dataclass(frozen=True)
class ForeignRun:
    """A project, and the rows of its batch output by request."""

    project: ForeignProject
    batch: list[pd.DataFrame]


class MakeForeign(Protocol):
    """Makes a foreign project, once."""

    def __call__(self, name: str) -> ForeignRun:
        """Return it by the name of its repo."""
        ...


def install_definitions(project: Path, name: str) -> None:
    """Put another feature repo in the place of a project's."""
    for file in (project / "feature_repo").glob("*.py"):
        file.unlink()
    shutil.copyfile(_DEFINITIONS / f"{name}.py", project / "feature_repo/definitions.py")
    leave_keys_to_the_repo(project)


def leave_keys_to_the_repo(project: Path) -> None:
    """Name no keys of requests and orders in a project's catalogs: those of its feature repo count."""
    for catalog in (project / "conf").glob("*/catalog.yml"):
        text = catalog.read_text(encoding="utf-8")
        catalog.write_text(text.replace("  key_columns: [driver_id]\n", ""), encoding="utf-8")


def say_what_orders_have(project: Path, types: Mapping[str, str]) -> None:
    """Say in a project's catalog which columns of its orders a model takes, and as what: CSV has no types."""
    catalog = project / "conf/base/catalog.yml"
    label = "  number_columns: [trip_completed]\n"
    text = catalog.read_text(encoding="utf-8")
    catalog.write_text(text.replace(label, f"{label}  feature_columns: {json.dumps(types)}\n"), encoding="utf-8")


def register(project: Path, log: Callable[[], Any], tags: Mapping[str, str]) -> None:
    """Log a model by a call of MLflow, register it with tags, and make it the champion."""
    folder = project / "data/06_models/mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    mlflow.create_experiment(_NAME, artifact_location=(folder / ARTIFACTS).as_uri())
    mlflow.set_experiment(_NAME)
    with integers_have_no_gaps():
        uri = log().model_uri
    version = mlflow.register_model(uri, _NAME, tags=dict(tags)).version
    mlflow.MlflowClient().set_registered_model_alias(_NAME, _ALIAS, version)


@contextlib.contextmanager
def integers_have_no_gaps() -> Iterator[None]:
    """Let MLflow not warn of integers that may be missing: no such row reaches a model."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*contains integer column", category=UserWarning)
        yield
