"""The MLflow side, on a real registry in a SQLite database."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import mlflow.pyfunc
import mlflow.sklearn
import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMRegressor
from mlflow.models import infer_signature
from mlflow.pyfunc.model import PythonModel
from mlflow.types import ColSpec, Schema
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import ElasticNet, LinearRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from driver_ranking.errors import ModelError, ModelNotFoundError, ModelSignatureError, ModelTagError
from driver_ranking.features import FeatureRows
from driver_ranking.model import (
    FEATURE_SERVICE_TAG,
    VALIDATION_TAG,
    ModelRegistry,
    RegisteredModel,
    RegistryLocation,
    TrainedModel,
    write_record,
)
from driver_ranking.model_logging import estimator_scores
from driver_ranking.model_trial import example_rows

NAMES = ("conv_rate", "acc_rate")
CITIES = ("Hanoi", "Århus")
FEATURES = np.random.default_rng(17).random((50, 2))
LABEL = FEATURES @ np.array([0.8, 0.2])
FRAME = pd.DataFrame(FEATURES, columns=list(NAMES))


@pytest.fixture(scope="module")
def location(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryLocation]:
    before = mlflow.get_tracking_uri()
    yield RegistryLocation("drivers", "champion", tmp_path_factory.mktemp("mlflow"))
    mlflow.set_tracking_uri(before)


@pytest.fixture(scope="module")
def registry(location: RegistryLocation) -> ModelRegistry:
    return ModelRegistry(location)


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    estimator = Pipeline([("scaler", StandardScaler()), ("estimator", ElasticNet(alpha=0.001))]).fit(FEATURES, LABEL)
    return TrainedModel(
        estimator=estimator,
        feature_names=NAMES,
        feature_service="drivers_v1",
        example=FEATURES[:5],
        params={"alpha": 0.001},
        metrics={"rmse": 0.01},
        artifacts={"evaluation.html": "<html></html>"},
        problems=(),
    )


@pytest.fixture(scope="module")
def champion(registry: ModelRegistry, trained: TrainedModel) -> RegisteredModel:
    return registry.promote(registry.log(trained), trained.feature_service)


@pytest.fixture
def register(registry: ModelRegistry, champion: RegisteredModel) -> Callable[..., str]:
    """Register what a user may have logged in their own way, as the next version."""

    def register_model(model: Any = None, tags: dict[str, str] | None = None, **arguments: Any) -> str:
        mlflow.set_tracking_uri(registry.location.uri)
        requirements = {"pip_requirements": ["scikit-learn"]}
        if isinstance(model, PythonModel):
            arguments["input_example"] = FRAME[:2]
            info = mlflow.pyfunc.log_model(name="model", python_model=model, **requirements, **arguments)
        else:
            info = mlflow.sklearn.log_model(
                model or LinearRegression().fit(FEATURES, LABEL), name="model", **requirements, **arguments
            )
        tags = {FEATURE_SERVICE_TAG: "drivers_v1"} if tags is None else tags
        return str(mlflow.register_model(info.model_uri, champion.name, tags=tags).version)

    return register_model


def test_without_a_registry_the_error_says_how_to_train(tmp_path: Path) -> None:
    registry = ModelRegistry(RegistryLocation("drivers", "champion", tmp_path / "none"))
    with pytest.raises(ModelNotFoundError, match=r"no model 'drivers' with the alias 'champion'\..*pipelines training"):
        registry.resolve()
    assert not (tmp_path / "none").exists(), "looking for a model must not make an empty registry"


def test_the_alias_names_the_version_in_use(registry: ModelRegistry, champion: RegisteredModel) -> None:
    found = registry.resolve()
    assert found == champion
    assert found.feature_names == NAMES
    assert found.feature_service == "drivers_v1"
    assert found.label == f"model 'drivers' version {champion.version}"


def test_a_version_can_be_asked_for_or_pinned(registry: ModelRegistry, champion: RegisteredModel) -> None:
    pinned = ModelRegistry(registry.location, int(champion.version))
    assert pinned.resolve() == registry.resolve(champion.version) == champion


def test_the_named_version_is_that_of_the_moment(
    registry: ModelRegistry, champion: RegisteredModel, register: Callable[..., str]
) -> None:
    resolved = registry.resolve()
    version = register()
    client = mlflow.MlflowClient(registry.location.uri)
    client.set_registered_model_alias("drivers", "champion", version)
    try:
        assert registry.named_version() == version
        assert registry.resolve() == resolved  # what was resolved stays
        assert ModelRegistry(registry.location, champion.version).named_version() == champion.version
    finally:
        client.set_registered_model_alias("drivers", "champion", champion.version)


@pytest.mark.parametrize("version", ["999", "newest"])
def test_an_unknown_version_is_refused(registry: ModelRegistry, champion: RegisteredModel, version: str) -> None:
    with pytest.raises(ModelNotFoundError, match=f"no version '{version}' of model '{champion.name}'"):
        registry.resolve(version)


def test_an_unknown_alias_is_refused(registry: ModelRegistry, champion: RegisteredModel) -> None:
    other = ModelRegistry(replace(registry.location, alias="challenger"))
    with pytest.raises(ModelNotFoundError, match=f"no model '{champion.name}' with the alias 'challenger'"):
        other.resolve()


def test_a_registry_that_fails_is_an_error(tmp_path: Path) -> None:
    uri = f"file://{tmp_path}/mlruns"
    with pytest.raises(ModelError, match="The model registry can't be used"):
        ModelRegistry(RegistryLocation("drivers", "champion", tmp_path, tracking_uri=uri)).resolve()


def test_the_scores_are_those_of_the_estimator(
    registry: ModelRegistry, champion: RegisteredModel, trained: TrainedModel
) -> None:
    score = registry.load(champion).predict(FEATURES)
    assert score.dtype == np.float64
    assert score.tolist() == trained.estimator.predict(FEATURES).tolist()


def test_the_run_shows_what_was_trained(registry: ModelRegistry, champion: RegisteredModel) -> None:
    run = mlflow.MlflowClient(registry.location.uri).get_run(str(champion.run_id))
    assert run.data.params == {"alpha": "0.001"}
    assert run.data.metrics == {"rmse": 0.01}
    assert run.data.tags[VALIDATION_TAG] == "passed"
    artifacts = mlflow.MlflowClient(registry.location.uri).list_artifacts(str(champion.run_id))
    assert [artifact.path for artifact in artifacts] == ["evaluation.html"]
    assert run.info.artifact_uri.startswith(registry.location.local_path.as_uri())


def test_the_model_has_a_signature_of_doubles_and_an_example(champion: RegisteredModel) -> None:
    model = mlflow.models.Model.load(champion.local_path)
    assert [column.type.name for column in model.signature.inputs] == ["double", "double"]
    example: Any = model.load_input_example(champion.local_path)
    assert example.columns.tolist() == list(NAMES)


def test_a_model_with_problems_is_logged_but_keeps_the_champion(
    registry: ModelRegistry, champion: RegisteredModel, trained: TrainedModel
) -> None:
    uri = registry.log(replace(trained, problems=("RMSE 0.5 is not at most the threshold 0.4.",)))
    run_id = mlflow.models.get_model_info(uri).run_id
    assert mlflow.MlflowClient().get_run(str(run_id)).data.tags[VALIDATION_TAG] == "failed"
    assert registry.resolve() == champion


def test_a_model_with_types_that_nobody_trusts_can_not_be_logged(
    registry: ModelRegistry, trained: TrainedModel
) -> None:
    estimator = LGBMRegressor(n_estimators=2, verbose=-1).fit(FEATURES, LABEL)
    with pytest.raises(ModelError, match=r"can't be logged: .*untrusted types.*`training\.trusted_types`"):
        registry.log(replace(trained, estimator=estimator))


def test_a_model_is_loaded_once(registry: ModelRegistry, champion: RegisteredModel) -> None:
    assert registry.load(champion) is registry.load(champion)


def test_the_record_names_the_version(champion: RegisteredModel, tmp_path: Path) -> None:
    path = tmp_path / "models" / "registered_model_version.json"
    write_record(champion, path)
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "name": "drivers",
        "version": champion.version,
        "run_id": champion.run_id,
        "source_uri": champion.source_uri,
        "feature_service": "drivers_v1",
        "feature_names": list(NAMES),
    }
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_model_without_signature_is_refused(registry: ModelRegistry, register: Callable[..., str]) -> None:
    version = register()
    with pytest.raises(ModelSignatureError, match=f"Version {version} of model 'drivers' has no signature"):
        registry.resolve(version)


def test_a_signature_without_names_is_refused(registry: ModelRegistry, register: Callable[..., str]) -> None:
    version = register(signature=infer_signature(FEATURES))
    with pytest.raises(ModelSignatureError, match="has no signature that names its columns"):
        registry.resolve(version)


def test_a_signature_of_nameless_columns_is_refused(registry: ModelRegistry, register: Callable[..., str]) -> None:
    signature = mlflow.models.ModelSignature(inputs=Schema([ColSpec("double"), ColSpec("double")]))
    version = register(signature=signature)
    with pytest.raises(ModelSignatureError, match="has no signature that names its columns"):
        registry.resolve(version)


def test_a_signature_may_have_texts_and_bytes(registry: ModelRegistry, register: Callable[..., str]) -> None:
    frame = pd.DataFrame({"conv_rate": [0.5], "city": ["Hanoi"], "mark": [b"\xff"]})
    model = registry.resolve(register(signature=infer_signature(frame)))
    assert model.types == {"conv_rate": "double", "city": "string", "mark": "binary"}
    assert (model.number_columns, model.text_columns) == (("conv_rate",), ("city", "mark"))


def test_a_signature_with_times_is_refused(registry: ModelRegistry, register: Callable[..., str]) -> None:
    version = register(signature=infer_signature(pd.DataFrame({"conv_rate": [0.5], "at": [pd.Timestamp(0)]})))
    with pytest.raises(ModelSignatureError, match=r"neither numbers nor texts: at \(datetime\)"):
        registry.resolve(version)


def test_tags_say_what_the_signature_does_not(
    registry: ModelRegistry, register: Callable[..., str], tmp_path: Path
) -> None:
    tags = {
        FEATURE_SERVICE_TAG: "drivers_v1",
        "candidate_key": "driver_id",
        "request_features": "acc_rate",
        "defaults": '{"conv_rate": 0.5}',
    }
    model = registry.resolve(register(tags=tags, signature=infer_signature(FRAME)))
    assert (model.candidate_key, model.request_features) == ("driver_id", ("acc_rate",))
    assert model.defaults == (("conv_rate", 0.5),)
    write_record(model, tmp_path / "record.json")
    record = json.loads((tmp_path / "record.json").read_text(encoding="utf-8"))
    assert {name: record[name] for name in ("candidate_key", "request_features", "defaults")} == {
        "candidate_key": "driver_id",
        "request_features": ["acc_rate"],
        "defaults": {"conv_rate": 0.5},
    }


def test_tags_that_can_not_be_read_are_refused(registry: ModelRegistry, register: Callable[..., str]) -> None:
    tags = {FEATURE_SERVICE_TAG: "drivers_v1", "defaults": "conv_rate=0.5"}
    version = register(tags=tags, signature=infer_signature(FRAME))
    with pytest.raises(
        ModelTagError, match=f"The tag 'defaults' of version {version} of model 'drivers' can't be read"
    ):
        registry.resolve(version)


@pytest.mark.parametrize("by", ["promote", "keep_back"])
def test_the_tags_of_a_trained_model_are_those_of_its_version(
    registry: ModelRegistry, champion: RegisteredModel, trained: TrainedModel, by: str
) -> None:
    client = mlflow.MlflowClient(registry.location.uri)
    try:
        tags = {"candidate_key": "driver_id", "team": "rides", FEATURE_SERVICE_TAG: "not this one"}
        model = getattr(registry, by)(registry.log(trained), "drivers_v1", tags)
        assert (model.candidate_key, model.feature_service) == ("driver_id", "drivers_v1")
        assert client.get_model_version("drivers", model.version).tags["team"] == "rides"
    finally:
        client.set_registered_model_alias("drivers", "champion", champion.version)


def test_a_trained_model_with_texts_is_logged_with_their_types(registry: ModelRegistry, trained: TrainedModel) -> None:
    frame = pd.DataFrame(
        {
            "city": [CITIES[place % 2] for place in range(50)],
            "unused": 0,
            "conv_rate": FEATURES[:, 0],
            "trips": np.arange(50, dtype=np.int32),
            "mark": [b"\xff", b""] * 25,
        }
    )
    names = ("conv_rate", "city", "trips", "mark")
    encoder = ColumnTransformer(
        [("texts", OneHotEncoder(handle_unknown="ignore"), ["city", "mark"])], remainder="passthrough"
    )
    estimator = Pipeline([("encoder", encoder), ("estimator", LinearRegression())]).fit(frame[list(names)], LABEL)
    uri = registry.log(replace(trained, estimator=estimator, feature_names=names, example=frame[:5]))
    version = mlflow.register_model(uri, "drivers", tags={FEATURE_SERVICE_TAG: "drivers_v1"}).version
    model = registry.resolve(version)
    assert model.types == {"conv_rate": "double", "city": "string", "trips": "integer", "mark": "binary"}
    example = example_rows(model)
    assert isinstance(example, FeatureRows)
    assert example.numbers.tolist() == frame[["conv_rate", "trips"]][:5].to_numpy().tolist()
    assert {name: values.tolist() for name, values in example.texts.items()} == {
        "city": frame["city"][:5].tolist(),
        "mark": frame["mark"][:5].tolist(),
    }
    assert registry.load(model).predict(example).tolist() == estimator.predict(frame[:5]).tolist()
    assert estimator_scores(estimator, frame).tolist() == estimator.predict(frame).tolist()


def test_a_version_without_the_tag_is_refused(registry: ModelRegistry, register: Callable[..., str]) -> None:
    version = register(tags={}, signature=infer_signature(FRAME))
    with pytest.raises(ModelError, match=f"Version {version} of model 'drivers' has no tag 'feature_service'"):
        registry.resolve(version)


def test_a_model_whose_files_are_gone_is_an_error(registry: ModelRegistry, register: Callable[..., str]) -> None:
    version = register(signature=infer_signature(FRAME))
    shutil.rmtree(registry.resolve(version).local_path)
    with pytest.raises(ModelError, match=f"The files of version {version} of model 'drivers' can't be fetched"):
        ModelRegistry(registry.location).resolve(version)


def test_a_model_that_can_not_be_loaded_is_an_error(registry: ModelRegistry, register: Callable[..., str]) -> None:
    model = registry.resolve(register(signature=infer_signature(FRAME)))
    for file in Path(model.local_path).glob("model.*"):
        file.write_bytes(b"")
    with pytest.raises(ModelError, match=f"The model 'drivers' version {model.version} can't be loaded"):
        registry.load(model)


def test_a_model_fitted_on_a_frame_gets_a_frame(registry: ModelRegistry, register: Callable[..., str]) -> None:
    fitted = LinearRegression().fit(FRAME, LABEL)
    model = registry.resolve(register(fitted, signature=infer_signature(FRAME)))
    assert registry.load(model).predict(FEATURES).tolist() == fitted.predict(FRAME).tolist()


class SumOfRates(PythonModel):
    """A model of no flavor but pyfunc."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> NDArray[np.float64]:  # noqa: ARG002
        return (model_input["conv_rate"] + model_input["acc_rate"]).to_numpy()[:, np.newaxis]


def test_a_model_of_another_flavor_predicts_on_frames(registry: ModelRegistry, register: Callable[..., str]) -> None:
    model = registry.resolve(register(SumOfRates(), signature=infer_signature(FRAME)))
    assert registry.load(model).predict(FEATURES).tolist() == FEATURES.sum(axis=1).tolist()


def test_a_model_that_answers_with_another_shape_is_an_error(
    registry: ModelRegistry, register: Callable[..., str]
) -> None:
    two_outputs = DummyRegressor().fit(FEATURES, np.column_stack([LABEL, LABEL]))
    model = registry.resolve(register(two_outputs, signature=infer_signature(FRAME)))
    with pytest.raises(ModelError, match=r"answered 50 rows with the shape \(50, 2\), not one each"):
        registry.load(model).predict(FEATURES)


def test_a_model_that_fails_is_an_error(registry: ModelRegistry, champion: RegisteredModel) -> None:
    with pytest.raises(ModelError, match=rf"version {champion.version} failed on 1 rows: .*infinity"):
        registry.load(champion).predict(np.array([[np.inf, 0.5]]))


def test_a_remote_registry_decides_where_artifacts_are(tmp_path: Path, trained: TrainedModel) -> None:
    location = RegistryLocation(
        "drivers", "champion", tmp_path / "unused", tracking_uri=f"sqlite:///{tmp_path}/remote.db"
    )
    before = mlflow.get_tracking_uri()
    registry = ModelRegistry(location)
    mlflow.set_tracking_uri(location.uri)
    mlflow.create_experiment("drivers", artifact_location=(tmp_path / "chosen").as_uri())
    registry.promote(registry.log(trained), trained.feature_service)
    mlflow.set_tracking_uri(before)
    assert (tmp_path / "chosen").is_dir()
    assert not (tmp_path / "unused").exists()


@pytest.mark.parametrize("named", [None, "sqlite:///the-users.db"])
def test_the_environment_stays_the_users(
    registry: ModelRegistry, champion: RegisteredModel, monkeypatch: pytest.MonkeyPatch, named: str | None
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if named:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", named)
    assert ModelRegistry(registry.location).resolve() == champion
    assert os.environ.get("MLFLOW_TRACKING_URI") == named
