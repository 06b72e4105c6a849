"""A registry for the session, and a way to register what users may have logged in their own way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mlflow
import pytest

from driver_ranking.model import FEATURE_SERVICE_TAG, ModelRegistry, RegistryLocation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from driver_ranking.model import RegisteredModel

    Register = Callable[[Callable[[], mlflow.models.model.ModelInfo]], RegisteredModel]


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelRegistry]:
    before = mlflow.get_tracking_uri()
    registry = ModelRegistry(RegistryLocation("drivers", "champion", tmp_path_factory.mktemp("mlflow")))
    registry._connect()  # noqa: SLF001 - as what trains does before it logs
    registry._ensure_experiment()  # noqa: SLF001 - likewise
    yield registry
    mlflow.set_tracking_uri(before)


@pytest.fixture
def register(registry: ModelRegistry) -> Register:
    """Log a model by a call of MLflow, and register it."""

    def registered(log: Callable[[], mlflow.models.model.ModelInfo]) -> RegisteredModel:
        mlflow.set_tracking_uri(registry.location.uri)
        mlflow.set_experiment("drivers")
        uri = log().model_uri
        version = mlflow.register_model(uri, "drivers", tags={FEATURE_SERVICE_TAG: "drivers_v1"}).version
        return registry.resolve(version)

    return registered
