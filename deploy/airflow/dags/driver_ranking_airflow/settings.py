"""What a DAG is told: airflow.yml when it is generated, the environment when it is parsed. Standard library alone."""

import os
import types
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args, get_origin

PREFIX = "DRIVER_RANKING_"
RUNNERS = ("venv", "docker", "kubernetes")
PASSED_ON = "MLFLOW_TRACKING_URI,REDIS_ADDRESS,REDIS_PASSWORD,FEAST_FS_YAML_FILE_PATH,KEDRO_ENV"


class SettingsError(Exception):
    """A setting is missing or wrong; Airflow shows it as the import error of the DAG."""


@dataclass(frozen=True)
class DagSettings:
    """The settings of one DAG, from airflow.yml; that file says what each means."""

    owner: str
    description: str | None
    schedule: str | None
    start_date: list[int]
    pool: str
    tags: list[str]
    retries: int
    retry_delay_seconds: int
    max_retry_delay_seconds: int
    task_timeout_minutes: int
    run_timeout_minutes: int
    parameters: list[str]
    path_parameters: list[str]
    allowed_places: list[str]
    output: str | None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "DagSettings":
        """Check what airflow.yml says.

        Raises:
            SettingsError: A value is missing or of the wrong type.
        """
        for field in fields(cls):
            value = given.get(field.name)
            if not _fits(value, field.type) or (isinstance(value, int) and value < 0):
                wanted = getattr(field.type, "__name__", None) if get_origin(field.type) is None else str(field.type)
                message = f"airflow.yml: {field.name} is {value!r}; it must be {wanted}, not negative."
                raise SettingsError(message)
        return cls(**given)

    @property
    def start(self) -> datetime:
        """Return the start date as midnight, UTC.

        Raises:
            SettingsError: It is not a date.
        """
        try:
            year, month, day = self.start_date
            return datetime(year, month, day, tzinfo=UTC)
        except ValueError as error:
            message = f"airflow.yml: start_date is {self.start_date!r}; it must be a date such as [2026, 6, 1]."
            raise SettingsError(message) from error


def _fits(value: object, kind: Any) -> bool:  # noqa: ANN401 - what an annotation may be
    if isinstance(kind, types.UnionType):
        return any(_fits(value, one) for one in get_args(kind))
    if get_origin(kind) is list:
        return isinstance(value, list) and all(_fits(item, get_args(kind)[0]) for item in value)
    return isinstance(value, kind) and not isinstance(value, bool)


@dataclass(frozen=True)
class VirtualEnvironment:
    """Tasks run in the project's folder, with its own environment.

    Attributes:
        project: The project's folder.
        kedro: The command ``kedro`` of its environment.
    """

    project: Path
    kedro: Path


@dataclass(frozen=True)
class Image:
    """Tasks run in the project's image, each in a container.

    Attributes:
        image: Name and tag.
        data: Folder or volume of the machine that is mounted as the image's data folder; all tasks need the same.
        mounted_at: Absolute path of the data folder in the image.
        network: The network of the containers; None for the engine's default.
        variables: Environment variables that are passed on.
    """

    image: str
    data: str
    mounted_at: str
    network: str | None
    variables: Mapping[str, str]


@dataclass(frozen=True)
class Pod:
    """Tasks run in the project's image, each as a pod.

    Attributes:
        image: Name and tag.
        namespace: Kubernetes namespace.
        template: File with the rest of the pod: volumes, variables, secrets, limits.
    """

    image: str
    namespace: str
    template: Path


Runner = VirtualEnvironment | Image | Pod


def runner(environment: Mapping[str, str] = os.environ) -> Runner:
    """Return where tasks run, as variables of the environment with the prefix ``DRIVER_RANKING_`` say.

    Raises:
        SettingsError: One is missing, or names what is not there.
    """
    match environment.get(f"{PREFIX}RUNNER") or "venv":
        case "venv":
            return _virtual_environment(environment)
        case "docker":
            return _image(environment)
        case "kubernetes":
            return _pod(environment)
        case other:
            message = f"{PREFIX}RUNNER={other} is not one of {', '.join(RUNNERS)}."
            raise SettingsError(message)


def _virtual_environment(environment: Mapping[str, str]) -> VirtualEnvironment:
    project = Path(_required(environment, "PROJECT", "the project's folder, an absolute path"))
    if not project.is_absolute() or not (project / "pyproject.toml").is_file():
        message = f"{PREFIX}PROJECT={project}: there is no project. Give the absolute path of its folder."
        raise SettingsError(message)
    kedro = Path(environment.get(f"{PREFIX}KEDRO") or project / ".venv" / "bin" / "kedro")
    if not os.access(kedro, os.X_OK):
        message = (
            f"{kedro}: there is no such program. Run `make setup` in {project}, or name the kedro of its environment "
            f"with {PREFIX}KEDRO."
        )
        raise SettingsError(message)
    return VirtualEnvironment(project, kedro)


def _image(environment: Mapping[str, str]) -> Image:
    names = (environment.get(f"{PREFIX}PASS_ON") or PASSED_ON).split(",")
    return Image(
        image=_required(environment, "IMAGE", "the project's image, such as driver-ranking:0.1.0"),
        data=_required(environment, "DATA", "the folder or volume that tasks keep their data in"),
        mounted_at=environment.get(f"{PREFIX}IMAGE_DATA") or "/app/data",
        network=environment.get(f"{PREFIX}NETWORK") or None,
        variables={name.strip(): environment[name.strip()] for name in names if name.strip() in environment},
    )


def _pod(environment: Mapping[str, str]) -> Pod:
    image = _required(environment, "IMAGE", "the project's image, such as driver-ranking:0.1.0")
    template = Path(_required(environment, "POD_TEMPLATE", "a pod template that mounts the data folder"))
    if not template.is_file():
        message = f"{PREFIX}POD_TEMPLATE={template}: there is no such file."
        raise SettingsError(message)
    return Pod(image, environment.get(f"{PREFIX}NAMESPACE") or "default", template)


def _required(environment: Mapping[str, str], name: str, meaning: str) -> str:
    value = environment.get(f"{PREFIX}{name}")
    if not value:
        message = f"{PREFIX}{name} is not set. It names {meaning}; Airflow's processes need it in their environment."
        raise SettingsError(message)
    return value
