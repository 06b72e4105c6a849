"""A registry behind HTTP, a real MLflow server that hands out the artifacts itself, is used as a local one is."""

from __future__ import annotations

import gc
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import numpy as np
import pytest
from processes import free_port
from sklearn.linear_model import LinearRegression
from support.servers import running_mlflow

from driver_ranking.errors import ModelError, ModelNotFoundError, ModelSignatureError
from driver_ranking.model import FEATURE_SERVICE_TAG, ModelRegistry, RegistryLocation, TrainedModel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from driver_ranking.model import RegisteredModel

NAMES = ("conv_rate", "acc_rate")
FEATURES = np.random.default_rng(17).random((50, 2))
TRAINED = TrainedModel(
    LinearRegression().fit(FEATURES, FEATURES.sum(axis=1)), NAMES, "drivers_v1", FEATURES[:5], {}, {}, {}, ()
)


@pytest.fixture(autouse=True)
def _mlflow_left_as_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = mlflow.get_tracking_uri()
    yield
    mlflow.set_tracking_uri(before)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_mlflow(tmp_path_factory.mktemp("mlflow")) as url:
        yield url


def registry_at(url: str, folder: Path, name: str = "drivers") -> ModelRegistry:
    return ModelRegistry(RegistryLocation(name, "champion", folder / "unused", url))


@pytest.fixture
def registry(server: str, tmp_path: Path) -> ModelRegistry:
    return registry_at(server, tmp_path)


@pytest.fixture
def champion(registry: ModelRegistry) -> RegisteredModel:
    return registry.promote(registry.log(TRAINED), TRAINED.feature_service)


def fetched_folders() -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob("driver_ranking_model_*"))


def test_a_model_is_registered_resolved_and_loaded(
    registry: ModelRegistry, champion: RegisteredModel, tmp_path: Path
) -> None:
    assert champion.feature_names == NAMES
    assert registry.named_version() == champion.version
    scores = registry.load(champion).predict(FEATURES)
    np.testing.assert_allclose(scores, FEATURES.sum(axis=1), atol=1e-12)
    assert not (tmp_path / "unused").exists()


def test_what_was_fetched_goes_with_the_model(server: str, champion: RegisteredModel, tmp_path: Path) -> None:
    fetched = Path(champion.local_path)
    other = registry_at(server, tmp_path).resolve()
    assert fetched in fetched_folders()
    assert len(fetched_folders()) == 2
    del other
    gc.collect()
    assert fetched_folders() == [fetched]


def test_what_was_fetched_of_a_refused_version_goes_at_once(registry: ModelRegistry, champion: RegisteredModel) -> None:
    mlflow.set_experiment("drivers")
    with mlflow.start_run():
        logged = mlflow.sklearn.log_model(LinearRegression().fit(FEATURES, FEATURES[:, 0]), name="model")
    version = mlflow.register_model(logged.model_uri, "drivers", tags={FEATURE_SERVICE_TAG: "drivers_v1"}).version
    with pytest.raises(ModelSignatureError, match="has no signature that names its columns"):
        registry.resolve(version)
    assert fetched_folders() == [Path(champion.local_path)]


def test_files_that_can_not_be_fetched_are_an_error_and_leave_nothing(
    registry: ModelRegistry, champion: RegisteredModel
) -> None:
    source, tags = (
        "nowhere://host/files",
        {FEATURE_SERVICE_TAG: "drivers_v1"},
    )  # a kind of store that is not installed here
    version = mlflow.MlflowClient().create_model_version("drivers", source, tags=tags).version
    with pytest.raises(ModelError, match=f"The files of version {version} of model 'drivers' can't be fetched"):
        registry.resolve(version)
    assert fetched_folders() == [Path(champion.local_path)]


@pytest.mark.parametrize("version", [99, "abc"])
def test_an_unknown_version_is_told_from_a_failure(
    registry: ModelRegistry, champion: RegisteredModel, version: int | str
) -> None:
    with pytest.raises(ModelNotFoundError, match=rf"The registry has no version {version!r} of model 'drivers'"):
        ModelRegistry(registry.location, version).resolve()
    assert champion.name == "drivers"


def test_an_unknown_model_or_alias_is_told_from_a_failure(server: str, tmp_path: Path) -> None:
    unknown = registry_at(server, tmp_path, "riders")
    with pytest.raises(ModelNotFoundError, match="no model 'riders' with the alias 'champion'"):
        unknown.resolve()
    mlflow.set_tracking_uri(server)
    mlflow.MlflowClient().create_registered_model("riders")
    with pytest.raises(ModelNotFoundError, match="no model 'riders' with the alias 'champion'"):
        unknown.resolve()


def test_a_server_that_does_not_answer_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"The model registry can't be used: .*127\.0\.0\.1"):
        registry_at(f"http://127.0.0.1:{free_port()}", tmp_path).resolve()
