"""Model versions whose answers tell them apart, and some that can't be served."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import mlflow
import numpy as np
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from sklearn.linear_model import LinearRegression

from driver_ranking.model import FEATURE_SERVICE_TAG, ModelRegistry, RegistryLocation, TrainedModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from support.servers import Serving

NAME = "driver_ranking"
ALIAS = "champion"
FEATURES = ("conv_rate", "acc_rate", "avg_daily_trips")
SERVICE = "driver_ranking_v1"


def _conv_rate_plus(offset: float) -> tuple[LinearRegression, NDArray[np.float64]]:
    """Return a model that scores a driver with the conversion rate, which is from 0 to 1, and an offset; and rows."""
    rows = np.random.default_rng(17).random((50, len(FEATURES)))
    return LinearRegression().fit(rows, rows[:, 0] + offset), rows


@dataclass(frozen=True)
class Versions:
    """The registered model of a project."""

    project: Path

    @property
    def _location(self) -> RegistryLocation:
        return RegistryLocation(NAME, ALIAS, self.project / "data/06_models/mlflow")

    def log(self, offset: float, features: tuple[str, ...] = FEATURES) -> str:
        """Log a model whose scores are the offset and something from 0 to 1, and return its URI."""
        estimator, rows = _conv_rate_plus(offset)
        trained = TrainedModel(estimator, features, SERVICE, rows, {}, {}, {}, ())
        return ModelRegistry(self._location).log(trained)

    def log_without_signature(self) -> str:
        """Log a model that does not say what it takes, and return its URI."""
        self._connect()
        mlflow.set_experiment(NAME)
        with mlflow.start_run():
            info = mlflow.sklearn.log_model(_conv_rate_plus(0)[0], name="model", pip_requirements=["scikit-learn"])
        return str(info.model_uri)

    def log_nasty(self, habit: str, *, at_load: str = "well", switch: Path | None = None) -> str:
        """Log a model of a user's own code that has a habit of ``support.nasty_model``, and return its URI.

        Args:
            habit: What it does when it predicts.
            at_load: What it does when it is loaded.
            switch: A file: once it is there, it names the habit.
        """
        self._connect()
        mlflow.set_experiment(NAME)
        columns = Schema([ColSpec(DataType.double, name) for name in FEATURES])
        with mlflow.start_run():
            info = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(Path(__file__).with_name("nasty_model.py")),
                model_config={"habit": habit, "at_load": at_load, "switch": str(switch or self.project / "no-switch")},
                signature=ModelSignature(inputs=columns),
                pip_requirements=["mlflow"],
            )
        return str(info.model_uri)

    def register(self, uri: str, service: str = SERVICE) -> str:
        """Register a logged model and return its version; no alias names it yet."""
        self._connect()
        return str(mlflow.register_model(uri, NAME, tags={FEATURE_SERVICE_TAG: service}).version)

    def name_champion(self, version: str) -> None:
        """Move the alias."""
        self._connect().set_registered_model_alias(NAME, ALIAS, version)

    def _connect(self) -> mlflow.MlflowClient:
        mlflow.set_tracking_uri(self._location.uri)
        return mlflow.MlflowClient()


def load_champion(server: Serving) -> httpx.Response:
    """Tell a server to serve what the alias names now."""
    return httpx.post(f"{server.url}/v2/repository/models/{NAME}/load", timeout=30)
