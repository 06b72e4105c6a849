"""The MLflow side: an alias or a version becomes a model with its signature, once.

A registered version says itself what it needs: its signature names the features and their order, its tag
``feature_service`` the Feast feature service that offers them, and further tags what else there is to know.
"""

import json
import os
import re
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NoReturn

from driver_ranking.atomic_file import replacing
from driver_ranking.errors import ModelError, ModelNotFoundError
from driver_ranking.local_artifacts import ARTIFACTS, LocalArtifacts, database_of, local_path
from driver_ranking.model_logging import TrainedModel, log_estimator
from driver_ranking.model_prediction import Predictor, load_predictor
from driver_ranking.model_tags import version_tags
from driver_ranking.model_version import RegisteredModel, signature_columns

__all__ = [
    "FEATURE_SERVICE_TAG",
    "GATE_TAG",
    "VALIDATION_TAG",
    "ModelRegistry",
    "Predictor",
    "RegisteredModel",
    "RegistryLocation",
    "TrainedModel",
    "load_predictor",
    "write_record",
]

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as MlflowModelVersion
    from mlflow.exceptions import MlflowException
    from plotly.graph_objects import Figure

FEATURE_SERVICE_TAG = "feature_service"
VALIDATION_TAG = "validation"
GATE_TAG = "gate"

_OPTIONAL = ("candidate_key", "request_features", "defaults")  # the tags that few versions have
_UNKNOWN = re.compile(r"alias .* not found|must be an integer", re.IGNORECASE)


@dataclass(frozen=True)
class RegistryLocation:
    """Which registered model is meant, and where its registry is.

    Attributes:
        name: Name of the registered model; also of the experiment that training logs to.
        alias: The alias that names the version in use.
        tracking_uri: MLflow tracking URI; None for a SQLite database in ``local_path``.
        local_path: Absolute folder of the local registry and its artifacts.
    """

    name: str
    alias: str
    local_path: Path
    tracking_uri: str | None = None

    @property
    def database(self) -> Path:
        """Return the file of the local registry."""
        return self.local_path / "mlflow.db"

    @property
    def uri(self) -> str:
        """Return the tracking URI in use."""
        return self.tracking_uri or f"sqlite:///{self.database}"


class ModelRegistry:
    """The MLflow registry behind one registered model."""

    def __init__(self, location: RegistryLocation, version: int | str | None = None) -> None:
        """Name the registry, and the version to use where it is not the alias; nothing is opened yet."""
        self.location = location
        self.version = version
        self._resolved: dict[str, RegisteredModel] = {}
        self._loaded: dict[str, Predictor] = {}

    def resolve(self, version: int | str | None = None) -> RegisteredModel:
        """Return a given version, else the one that this registry is pinned to, else the one that the alias names.

        What was resolved once stays: the alias is not asked again.

        Args:
            version: A version's number.

        Raises:
            ModelNotFoundError: There is no such model, alias or version.
            ModelSignatureError: The model has no signature with named columns of numbers and texts.
            ModelTagError: A tag can't be read.
            ModelError: The registry fails, or the version has no tag ``feature_service``.
        """
        wanted = self.version if version is None else version
        asked = f"@{self.location.alias}" if wanted is None else str(wanted)
        if asked not in self._resolved:
            model = self._resolve(wanted)
            self._resolved |= {asked: model, model.version: model}
        return self._resolved[asked]

    def _resolve(self, version: int | str | None) -> RegisteredModel:
        found = self._find(version)
        service = found.tags.get(FEATURE_SERVICE_TAG)
        if not service:
            message = (
                f"Version {found.version} of model {found.name!r} has no tag {FEATURE_SERVICE_TAG!r}. Set it to the "
                f"name of the Feast feature service that offers its features."
            )
            raise ModelError(message)
        tags = version_tags(found.tags, f"version {found.version} of model {found.name!r}")
        with self._fetched(found) as (local_path, fetched):
            columns = signature_columns(local_path, f"Version {found.version} of model {found.name!r}")
            model = RegisteredModel(
                name=found.name,
                version=str(found.version),
                run_id=found.run_id or None,
                source_uri=str(found.source),
                feature_service=service,
                feature_names=tuple(columns),
                local_path=local_path,
                feature_types=tuple(columns.values()),
                candidate_key=tags.candidate_key,
                request_features=tags.request_features,
                defaults=tags.defaults,
            )
            if fetched:
                weakref.finalize(model, _remove, fetched)
            return model

    def named_version(self) -> str:
        """Return the version that this registry is pinned to, else the one that the alias names at this moment.

        Raises:
            ModelNotFoundError: There is no such model, alias or version.
            ModelError: The registry fails.
        """
        return str(self._find(self.version).version)

    def load(self, model: RegisteredModel) -> Predictor:
        """Load a resolved model, once.

        Raises:
            ModelError: Its files can't be loaded, or it is known to give labels.
        """
        if model.version not in self._loaded:
            self._loaded[model.version] = load_predictor(model, model.local_path)
        return self._loaded[model.version]

    def log(self, trained: TrainedModel) -> str:
        """Log a trained model as a run of the experiment and return the URI of the logged model.

        The run's tag ``validation`` says ``passed`` or ``failed``; nothing is registered.

        Raises:
            ModelError: MLflow refuses it, because of a type that is not trusted for example.
        """
        import mlflow
        from mlflow.exceptions import MlflowException

        self._connect()
        self._ensure_experiment()
        with mlflow.start_run():
            mlflow.log_params(dict(trained.params))
            mlflow.log_metrics(dict(trained.metrics))
            mlflow.set_tag(FEATURE_SERVICE_TAG, trained.feature_service)
            mlflow.set_tag(VALIDATION_TAG, "failed" if trained.problems else "passed")
            for name, text in trained.artifacts.items():
                mlflow.log_text(text, name)
            try:
                return log_estimator(trained)
            except MlflowException as error:
                trust = " A type that you trust can be named in the parameter `training.trusted_types`."
                hint = trust if "untrusted types" in str(error) else ""
                message = f"The model can't be logged: {str(error).splitlines()[0]}{hint}"
                raise ModelError(message) from error

    def promote(
        self, model_uri: str, feature_service: str, tags: Mapping[str, str] = MappingProxyType({})
    ) -> RegisteredModel:
        """Register a logged model as a new version, give it the alias, and return it.

        Args:
            model_uri: The logged model.
            feature_service: The Feast feature service that its features come from.
            tags: What else the version's tags say.

        Raises:
            ModelError: The model or a tag can't be used; the alias stays where it is.
        """
        model, client = self._register(model_uri, feature_service, tags), self._connect()
        client.set_registered_model_alias(model.name, self.location.alias, model.version)
        client.set_model_version_tag(model.name, model.version, GATE_TAG, "promoted")
        return model

    def keep_back(
        self, model_uri: str, feature_service: str, tags: Mapping[str, str] = MappingProxyType({})
    ) -> RegisteredModel:
        """Register a logged model as ``promote`` does, but leave the alias where it is, and return the version."""
        model = self._register(model_uri, feature_service, tags)
        self._connect().set_model_version_tag(model.name, model.version, GATE_TAG, "kept_back")
        return model

    def track(
        self, name: str, metrics: Mapping[str, float], texts: Mapping[str, str], figures: Mapping[str, "Figure"]
    ) -> None:
        """Log figures of what was served as a run of the experiment.

        Args:
            name: What the run is called.
            metrics: Numbers.
            texts: The content of files, by name.
            figures: Plots, likewise; their names end in ``.html``.

        Raises:
            ModelError: The registry fails.
        """
        import mlflow

        try:
            self._connect()
            self._ensure_experiment()
            with mlflow.start_run(run_name=name):
                mlflow.log_metrics(dict(metrics))
                for file, text in texts.items():
                    mlflow.log_text(text, file)
                for file, figure in figures.items():
                    mlflow.log_figure(figure, file)
        except Exception as error:
            message = f"The model registry can't be used: {error}"
            raise ModelError(message) from error

    def _register(self, model_uri: str, feature_service: str, tags: Mapping[str, str]) -> RegisteredModel:
        import mlflow

        self._connect()
        all_tags = {**tags, FEATURE_SERVICE_TAG: feature_service}
        return self.resolve(mlflow.register_model(model_uri, self.location.name, tags=all_tags).version)

    def _connect(self) -> "MlflowClient":
        import mlflow

        if self.location.tracking_uri is None:
            self.location.local_path.mkdir(parents=True, exist_ok=True)
        with _environment_kept("MLFLOW_TRACKING_URI"):
            mlflow.set_tracking_uri(self.location.uri)
        return mlflow.MlflowClient()

    def _ensure_experiment(self) -> None:
        """Create the experiment if need be; artifacts of the local registry stay beside it, wherever that is now."""
        import mlflow

        if mlflow.get_experiment_by_name(self.location.name) is None:
            local = self.location.tracking_uri is None
            artifacts = (self.location.local_path / ARTIFACTS).as_uri() if local else None
            mlflow.create_experiment(self.location.name, artifact_location=artifacts)
        database = database_of(self.location.uri)
        if database is not None:
            LocalArtifacts.of(database, self.location.name).bring_home()
        mlflow.set_experiment(self.location.name)

    def _find(self, version: int | str | None) -> "MlflowModelVersion":
        if self.location.tracking_uri is None and not self.location.database.exists():
            self._refuse_unknown(version)
        from mlflow.exceptions import MlflowException

        try:
            client = self._connect()
            client.get_registered_model(self.location.name)
            if version is None:
                return client.get_model_version_by_alias(self.location.name, self.location.alias)
            return client.get_model_version(self.location.name, str(version))
        except Exception as error:
            if isinstance(error, MlflowException) and _means_unknown(error):
                self._refuse_unknown(version, error)
            message = f"The model registry can't be used: {error}"
            raise ModelError(message) from error

    def _refuse_unknown(self, version: int | str | None, cause: Exception | None = None) -> NoReturn:
        name, alias = self.location.name, self.location.alias
        if version is None:
            message = (
                f"The registry has no model {name!r} with the alias {alias!r}. Train and register one with "
                f"`kedro run --pipelines training`, or point MLFLOW_TRACKING_URI at the registry that has it."
            )
        else:
            message = f"The registry has no version {version!r} of model {name!r}. Name one that it has."
        raise ModelNotFoundError(message) from cause

    @contextmanager
    def _fetched(self, found: "MlflowModelVersion") -> "Iterator[tuple[str, str | None]]":
        """Give the folder of a version's files, and the temporary one that they were fetched into, if they were.

        What was fetched is removed if the block fails. MLflow itself would leave it behind, at each load of a server.
        """
        place = self._place(found)
        if place is not None:
            yield str(place), None
            return
        fetched = tempfile.mkdtemp(prefix="driver_ranking_model_")
        try:
            yield self._fetch(found, fetched), fetched
        except BaseException:
            _remove(fetched)
            raise

    def _place(self, found: "MlflowModelVersion") -> Path | None:
        """Return the folder of a version's files; None where they have to be fetched. Nothing is written into it."""
        uri = self._connect().get_model_version_download_uri(found.name, found.version)
        database = database_of(self.location.uri)
        place = local_path(uri if database is None else LocalArtifacts.of(database, self.location.name).now(uri))
        if place is not None and not place.is_dir():
            message = (
                f"The files of version {found.version} of model {found.name!r} can't be fetched: {place} is missing."
            )
            raise ModelError(message)
        return place

    def _fetch(self, found: "MlflowModelVersion", target: str) -> str:
        from mlflow.artifacts import download_artifacts

        try:
            return str(download_artifacts(artifact_uri=f"models:/{found.name}/{found.version}", dst_path=target))
        except Exception as error:
            message = f"The files of version {found.version} of model {found.name!r} can't be fetched: {error}"
            raise ModelError(message) from error


def _remove(folder: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _environment_kept(variable: str) -> "Iterator[None]":
    """Keep a variable as it was: MLflow exports what it is told, and another project would take it for the user's."""
    before = os.environ.get(variable)
    yield
    if before is None:
        os.environ.pop(variable, None)
    else:
        os.environ[variable] = before


def write_record(model: RegisteredModel, path: Path) -> None:
    """Write which version is registered as JSON, for people and other tasks; the file is replaced at once."""
    kept = asdict(model) | {"defaults": dict(model.defaults)}
    unsaid = {"local_path", "feature_types"} | {name for name in _OPTIONAL if not kept[name]}
    record = {name: value for name, value in kept.items() if name not in unsaid}
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(record, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _means_unknown(error: "MlflowException") -> bool:
    """Tell whether there is no such model, version or alias; a store that can't be opened has the latter's code."""
    if error.error_code == "RESOURCE_DOES_NOT_EXIST":
        return True
    return error.error_code == "INVALID_PARAMETER_VALUE" and bool(_UNKNOWN.search(error.message))
