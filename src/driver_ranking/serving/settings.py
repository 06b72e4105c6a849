"""The settings of the online service: files first, the environment over them."""

import re
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from driver_ranking.errors import ModelError
from driver_ranking.model import RegistryLocation

_MODEL_URI = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>[0-9]+))")


class _EnvironmentFirst(BaseSettings):
    """Settings of which the environment's are the last word, as with Kedro's and MLflow's."""

    model_config = SettingsConfigDict(
        env_prefix="DRIVER_RANKING_",
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,  # a secret may be in it
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic's interface
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the environment first."""
        return env_settings, init_settings


class PredictionLogSettings(_EnvironmentFirst):
    """What ``prediction_log`` of these may say; ``DRIVER_RANKING_PREDICTION_LOG_<NAME>`` overrides each.

    Attributes:
        enabled: Whether answers are logged.
        path: The folder. Relative paths count from the folder of model-settings.json.
        sample_rate: Which share of the answers is logged, chosen by a hash of the request's id.
        flush_seconds: How long an answer may be in memory alone.
        file_seconds: How long rows are gathered before they become a Parquet file; at the end of their hour they do.
        file_rows: How many rows they are at most.
        queue_rows: How many rows may wait to be written; what comes on top is dropped, and counted.
        retention_days: How many days are kept; 0 for all.
        omitted: Columns that are left empty: of keys, request features, features, or ``__request_id`` and
            ``__trace_id``.
        hashed: Columns, of integers of 64 bits, texts or bytes, of which a keyed hash is logged instead.
        hash_key: The key; without one that others don't have, who has the log finds the values by trying.
    """

    model_config = SettingsConfigDict(env_prefix="DRIVER_RANKING_PREDICTION_LOG_")

    enabled: bool = False
    path: Path = Path("data/09_prediction_log")
    sample_rate: float = Field(default=1.0, gt=0, le=1)
    flush_seconds: float = Field(default=1.0, gt=0)
    file_seconds: float = Field(default=600.0, gt=0)
    file_rows: int = Field(default=4_000_000, ge=1)
    queue_rows: int = Field(default=250_000, ge=1)
    retention_days: int = Field(default=30, ge=0)
    omitted: tuple[str, ...] = ()
    hashed: tuple[str, ...] = ()
    hash_key: SecretStr = SecretStr("")

    @model_validator(mode="after")
    def _has_a_key(self) -> "PredictionLogSettings":
        if self.hashed and not self.hash_key.get_secret_value():
            message = "prediction_log.hashed needs a key: set DRIVER_RANKING_PREDICTION_LOG_HASH_KEY to a secret text."
            raise ValueError(message)
        return self


class RuntimeSettings(_EnvironmentFirst):
    """What ``parameters.extra`` of model-settings.json may say; ``DRIVER_RANKING_<NAME>`` overrides each.

    Attributes:
        feature_repo: Folder of the Feast feature repo. Relative paths count from the folder of model-settings.json.
        registry_path: Folder of the local MLflow registry, used where MLFLOW_TRACKING_URI names none.
        max_driver_ids: How many candidates a request may have.
        max_text_bytes: How long each text of a request may be, keys and features, in bytes of UTF-8.
        online_read_timeout: How long the read of the online store may take, in seconds.
        predict_timeout: How long a prediction may take, in seconds.
        load_timeout: How long loading a model may take, in seconds, with all that it imports and fetches.
        max_waiting_requests: How many requests may wait for a read; what comes on top is refused at once.
        readiness_interval: How often the online store is tried, in seconds.
        load_retry_interval: How often a model is looked for while there is none, in seconds.
        watch_alias_interval: How often the alias is looked at, to serve a version that it has moved to, in seconds;
            0 for never.
        log_requests: Whether there is a line in the log for each request.
        prediction_log: Whether and where answers are kept, row by row.
    """

    feature_repo: Path = Path("feature_repo")
    registry_path: Path = Path("data/06_models/mlflow")
    max_driver_ids: int = Field(default=10_000, ge=1)
    max_text_bytes: int = Field(default=1024, ge=1)
    online_read_timeout: float = Field(default=1.0, gt=0)
    predict_timeout: float = Field(default=2.0, gt=0)
    load_timeout: float = Field(default=60.0, gt=0)
    max_waiting_requests: int = Field(default=1_000, ge=1)
    readiness_interval: float = Field(default=0.5, gt=0)
    load_retry_interval: float = Field(default=2.0, gt=0)
    watch_alias_interval: float = Field(default=0.0, ge=0)
    log_requests: bool = True
    prediction_log: PredictionLogSettings = Field(default_factory=PredictionLogSettings)


class ServerSettings(_EnvironmentFirst):
    """What ``model_repository_implementation_args`` of settings.json may say; ``DRIVER_RANKING_<NAME>`` overrides.

    Attributes:
        max_body_bytes: How large a REST body may be, after decompression. gRPC's is ``grpc_max_message_length``.
        max_unread_bytes: How many bytes of bodies that are not whole yet may be held in all.
        max_header_bytes: How many bytes the headers of a REST request may have.
        max_headers: How many headers it may have.
        max_url_bytes: How long its URL may be.
        max_connections: How many REST connections may be open; 0 for what the system's limit on files leaves room for.
        request_timeout: How long a client may take to send a REST request, or to read the answer, in seconds.
        reuse_port: Whether other processes may serve REST on the same port, where the system shares out connections;
            gRPC's port can be shared in any case.
    """

    max_body_bytes: int = Field(default=4 * 1024 * 1024, ge=1)
    max_unread_bytes: int = Field(default=64 * 1024 * 1024, ge=1)
    max_header_bytes: int = Field(default=64 * 1024, ge=1024)
    max_headers: int = Field(default=128, ge=16)
    max_url_bytes: int = Field(default=8 * 1024, ge=256)
    max_connections: int = Field(default=0, ge=0)
    request_timeout: float = Field(default=30.0, gt=0)
    reuse_port: bool = False


def registry_location(uri: str, registry_path: Path, tracking_uri: str | None) -> tuple[RegistryLocation, str | None]:
    """Return where the model of a URI such as ``models:/driver_ranking@champion`` is, and its version if it names one.

    Raises:
        ModelError: The URI is of another kind.
    """
    match = _MODEL_URI.fullmatch(uri)
    if match is None:
        message = f"The model's URI {uri!r} is not of the form models:/NAME@ALIAS or models:/NAME/VERSION."
        raise ModelError(message)
    alias = match["alias"] or "champion"
    return RegistryLocation(match["name"], alias, registry_path.absolute(), tracking_uri or None), match["version"]


def runtime_settings(extra: dict[str, Any] | None, folder: Path) -> RuntimeSettings:
    """Return the settings with their paths made absolute, counted from a folder."""
    settings = RuntimeSettings(**(extra or {}))
    absolute = {name: folder / getattr(settings, name) for name in ("feature_repo", "registry_path")}
    log = settings.prediction_log.model_copy(update={"path": folder / settings.prediction_log.path})
    return settings.model_copy(update={**absolute, "prediction_log": log})
