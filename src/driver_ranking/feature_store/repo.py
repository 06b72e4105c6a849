"""A Feast feature repo: read its definitions, apply them, open its store, and look up a model's features."""

import contextlib
import fcntl
import importlib
import io
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from driver_ranking.errors import FeatureServiceNotFoundError, FeatureStoreError, MissingFeatureError
from driver_ranking.feature_store import reapplying
from driver_ranking.feature_store.places import keep_to_configuration
from driver_ranking.feature_store.repo_values import require_plain_values
from feast_columnar import redaction
from feast_columnar.feature_service import service_columns

if TYPE_CHECKING:
    from collections.abc import Iterable

    from feast import Entity, FeatureService, FeatureStore
    from feast.repo_contents import RepoContents

logger = logging.getLogger(__name__)

CONFIG_FILE = "feature_store.yaml"
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))|_variable:\s*(\w+)")  # put into the text, or named by a setting of ours


@dataclass(frozen=True)
class FeatureRepo:
    """A folder with ``feature_store.yaml`` and the Python files that define features.

    Attributes:
        path: The folder. Relative paths in its files count from here.
        config: Another configuration than its ``feature_store.yaml``, in an environment of the project's for example.
    """

    path: Path
    config: Path | None = None

    def __post_init__(self) -> None:
        """Make the path absolute: reading a repo changes into its folder for a while."""
        object.__setattr__(self, "path", self.path.absolute())
        object.__setattr__(self, "config", self.config and self.config.absolute())

    @property
    def config_file(self) -> Path:
        """Return the configuration in use: as for Feast's own CLI, FEAST_FS_YAML_FILE_PATH names another file."""
        return Path(os.environ.get("FEAST_FS_YAML_FILE_PATH", self.config or self.path / CONFIG_FILE))

    def open(self) -> "FeatureStore":
        """Open the feature store.

        Raises:
            FeatureStoreError: The configuration is not there or not valid, or names an environment variable that is not
                set.
        """
        _import_feast()
        if not self.config_file.is_file():
            message = f"There is no feature repo at {self.path}: {self.config_file.name} is missing."
            raise FeatureStoreError(message)
        _require_variables(self.config_file)
        require_plain_values(self.config_file)
        from feast import FeatureStore

        reapplying.order_projections()
        with explained(f"The configuration {self.config_file} can't be used"):
            return FeatureStore(repo_path=str(self.path), fs_yaml_file=self.config_file)

    def definitions(self) -> "RepoContents":
        """Read what the Python files of the repo define.

        Raises:
            FeatureStoreError: A file can't be imported, or two things that differ have one name.
        """
        config = self.open().config
        from feast.repo_operations import _get_repo_contents

        with explained(f"The definitions in {self.path} can't be read"), _importable(self.path), _quiet():
            contents: RepoContents = _get_repo_contents(self.path, config.project, config)
        for what, defined in (("entities", contents.entities), ("feature services", contents.feature_services)):
            _require_one_meaning(self.path, what, defined)
        return contents

    def variables(self) -> dict[str, tuple[str, str]]:
        """Return, by the name of each feature view, the module and the variable in it that define it.

        Raises:
            FeatureStoreError: A file can't be imported.
        """
        _import_feast()
        from feast.base_feature_view import BaseFeatureView
        from feast.repo_operations import get_repo_files, py_path_to_module

        found: dict[str, tuple[str, str]] = {}
        with explained(f"The definitions in {self.path} can't be read"), _importable(self.path), _quiet():
            for module in map(py_path_to_module, get_repo_files(self.path.resolve())):
                for variable, value in vars(importlib.import_module(module)).items():
                    if isinstance(value, BaseFeatureView):
                        found.setdefault(value.name, (module, variable))
        return found

    def apply(self, definitions: "RepoContents") -> "FeatureStore":
        """Bring the registry and the online store to the definitions; what is no longer defined is removed.

        The effect is that of ``feast apply``, whose messages go to the log.

        Raises:
            FeatureStoreError: Feast refuses a definition, or a store can't be reached.
        """
        store = self.open()
        from feast.repo_operations import apply_total_with_repo_instance

        with explained(f"The feature repo {self.path} can't be applied"), _importable(self.path), _quiet() as said:
            _create_folders(store)
            with _registry_lock(store, fcntl.LOCK_EX):
                registry = store.registry
                keep_to_configuration(store)
                reapplying.settle_transformations(registry, store.project, definitions.feature_views)
                apply_total_with_repo_instance(
                    store, store.project, registry, definitions, skip_source_validation=False
                )
        for line in filter(str.strip, said.getvalue().splitlines()):
            logger.debug("feast: %s", line.strip())  # "deploying", whether anything has to be deployed or not
        return store


@dataclass(frozen=True)
class ServiceFeatures:
    """The features that a model takes, as its feature service offers them.

    Attributes:
        service: The Feast feature service.
        full_names: Whether columns are named ``view__feature``.
        columns: All feature columns that the service yields, in its order.
    """

    service: "FeatureService"
    full_names: bool
    columns: tuple[str, ...]


def _require_one_meaning(path: Path, what: str, defined: "Iterable[Entity | FeatureService]") -> None:
    """Refuse a name that stands for two things: Feast refuses that of views and sources, and else takes any of them."""
    named: dict[str, Entity | FeatureService] = {}
    for one in defined:
        if named.setdefault(one.name, one) != one:
            message = (
                f"The definitions in {path} have two {what} named {one.name!r} that differ: rename one of them. Views "
                f"and models that refer to this name could mean either."
            )
            raise FeatureStoreError(message)


def find_service(store: "FeatureStore", name: str) -> "FeatureService":
    """Return a feature service of the applied repo.

    Raises:
        FeatureServiceNotFoundError: The repo has no service of that name, or has not been applied.
    """
    file = _registry_file(store)
    if file is not None and not file.exists():  # Feast would make an empty one
        message = (
            f"The feature registry is not there, so nothing is known of the feature service {name!r}: apply "
            f"the feature repo, with `kedro run --pipelines materialize` for example."
        )
        raise FeatureServiceNotFoundError(message)
    with reading_registry(store):
        services = {service.name: service for service in store.list_feature_services()}
    return _service_named(name, services)


def _service_named(name: str, services: "dict[str, FeatureService]") -> "FeatureService":
    if name not in services:
        known = ", ".join(sorted(services)) or "none"
        message = f"The feature repo has no feature service {name!r}; it has: {known}. Define it and apply the repo."
        raise FeatureServiceNotFoundError(message)
    return services[name]


def find_defined_service(definitions: "RepoContents", name: str) -> "FeatureService":
    """Return a feature service that a repo defines, whether it has been applied or not.

    Raises:
        FeatureServiceNotFoundError: The repo defines no service of that name.
    """
    return _service_named(name, {service.name: service for service in definitions.feature_services})


def features_for(service: "FeatureService", wanted: tuple[str, ...] = ()) -> ServiceFeatures:
    """Match the columns that a model wants with what a feature service offers.

    Columns have the features' own names, or ``view__feature`` if that is how the model names them, or, as long as there
    is no model, if two features have one name.

    Raises:
        MissingFeatureError: The service lacks a feature that is wanted.
        FeatureStoreError: Two features of the service have one name and the model does not name their views.
    """
    short = service_columns(service, full_feature_names=False)
    full = service_columns(service, full_feature_names=True)
    full_names = set(wanted) <= set(full) if wanted else len(set(short)) < len(short)
    columns = full if full_names else short
    missing = [name for name in wanted if name not in columns]
    if missing:
        message = (
            f"The model wants {', '.join(map(repr, missing))}, but the feature service {service.name!r} offers "
            f"{', '.join(map(repr, columns))}. Add the feature to the service, or tag the model with another one; what "
            f"comes with the request has to be named in the tag 'request_features' of the model's version."
        )
        raise MissingFeatureError(message)
    if len(set(columns)) < len(columns):
        message = f"The feature service {service.name!r} has features of one name: train on `view__feature` columns."
        raise FeatureStoreError(message)
    return ServiceFeatures(service, full_names, columns)


def _import_feast() -> None:
    """Import Feast without the run-time type checks of its definitions' arguments.

    Feast decorates its classes with ``typeguard.typechecked``, which parses and compiles each class again: a third of
    the time that the import takes. ``python -O`` leaves that out as well; here only Feast is meant. What a definition
    gets wrong is refused when it is applied, and Feast's own command checks as ever.
    """
    if "feast" in sys.modules:
        return
    import typeguard

    checked = typeguard.typechecked
    typeguard.typechecked = lambda target: target  # type: ignore[assignment]
    try:
        importlib.import_module("feast")
    finally:
        typeguard.typechecked = checked


def _require_variables(config_file: Path) -> None:
    """Refuse a configuration with an environment variable that is not set: Feast would take its name for its value."""
    lines = config_file.read_text(encoding="utf-8").splitlines()
    named = [a or b or c for line in lines for a, b, c in _VARIABLE.findall(line) if not line.lstrip().startswith("#")]
    missing = sorted({name for name in named if name not in os.environ})
    if missing:
        message = f"{config_file} needs the environment variables {', '.join(missing)}: set them, if only to nothing."
        raise FeatureStoreError(message)


def _registry_file(store: "FeatureStore") -> Path | None:
    """Return the file of a registry that is one on this machine."""
    registry = store.config.registry
    if registry.registry_type != "file" or "://" in str(registry.path):
        return None
    return Path(store.repo_path / registry.path)


def reading_registry(store: "FeatureStore") -> AbstractContextManager[None]:
    """Keep another run of this machine from writing the registry while it is read."""
    return _registry_lock(store, fcntl.LOCK_SH)


@contextlib.contextmanager
def _registry_lock(store: "FeatureStore", kind: int) -> Iterator[None]:
    """Keep runs of one machine from reading a registry file while another one writes it: Feast does so in place."""
    file = _registry_file(store)
    with contextlib.ExitStack() as held:
        if file is not None and file.parent.is_dir():
            try:
                lock = held.enter_context(file.with_name(f".{file.name}.lock").open("a"))
            except OSError:  # a folder that is only read, mounted so for example: nobody writes the registry there
                if kind == fcntl.LOCK_EX:
                    raise
            else:
                fcntl.flock(lock, kind)
        yield


def _create_folders(store: "FeatureStore") -> None:
    """Create the folders of local store files, which Feast expects to be there."""
    for path in (store.config.registry.path, getattr(store.config.online_store, "path", None)):
        if path and "://" not in str(path):
            (store.repo_path / path).parent.mkdir(parents=True, exist_ok=True)


def explained(what: str) -> AbstractContextManager[None]:
    """Turn whatever Feast, a store or the repo's own files raise, or a quiet exit, into an error that says where."""
    return redaction.explained(what, FeatureStoreError)


@contextlib.contextmanager
def _quiet() -> Iterator[io.StringIO]:
    """Collect what Feast prints, and leave out what it says of any on-demand feature view."""
    with contextlib.redirect_stdout(io.StringIO()) as said, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "On demand feature view is an experimental", RuntimeWarning)
        yield said


@contextlib.contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Make the modules in a folder importable by their own names, as Feast expects, for a while.

    They are forgotten afterwards, so that another repo, or the same one changed, is read anew.
    """
    writes_bytecode, known = sys.dont_write_bytecode, set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        with contextlib.chdir(folder):
            yield
    finally:
        sys.path.remove(str(folder))
        sys.dont_write_bytecode = writes_bytecode
        for name in set(sys.modules) - known:
            file = getattr(sys.modules[name], "__file__", None)
            if file and Path(file).is_relative_to(folder):
                del sys.modules[name]
