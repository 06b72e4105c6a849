"""A copied feature repo, applied into a registry and an online store that are thrown away."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from driver_ranking.errors import DriverRankingError, ProjectInitError
from driver_ranking.feature_store.joinable import DefinedViews
from driver_ranking.feature_store.repo import FeatureRepo
from driver_ranking.project_init.store_config import StoreConfig

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore
    from feast.repo_contents import RepoContents

_OTHER_CONFIG: Final = "FEAST_FS_YAML_FILE_PATH"


@dataclass(frozen=True)
class Applied:
    """What a repo defines, after Feast has read the sources.

    Attributes:
        repo: The repo.
        definitions: What its files define.
        store: The feature store.
        defined: What feature services refer to.
        scratch: A folder for files that are needed no longer than the store.
    """

    repo: FeatureRepo
    definitions: "RepoContents"
    store: "FeatureStore"
    defined: DefinedViews
    scratch: Path

    @property
    def services(self) -> "dict[str, FeatureService]":
        """Return the feature services by name, sorted."""
        found = {service.name: service for service in self.store.list_feature_services()}
        return dict(sorted(found.items()))


@contextlib.contextmanager
def scratch_repo(copy: Path, config: StoreConfig) -> Iterator[tuple[FeatureRepo, Path]]:
    """Give a repo whose registry and online store are in a folder that is thrown away, and that folder.

    Another configuration that the environment names is not looked at meanwhile: it is that of the user's own repo.
    """
    named = os.environ.pop(_OTHER_CONFIG, None)
    try:
        with tempfile.TemporaryDirectory(prefix="driver-ranking-init-") as folder:
            scratch = Path(folder)
            online_store = {**config.values["online_store"], "path": str(scratch / "online_store.db")}
            file = config.write(scratch, registry=str(scratch / "registry.db"), online_store=online_store)
            try:
                yield FeatureRepo(copy, file), scratch
            except DriverRankingError as error:  # of a file that the user has not got
                raise ProjectInitError(str(error).replace(folder, str(copy))) from error
    finally:
        if named is not None:
            os.environ[_OTHER_CONFIG] = named


def applied(repo: FeatureRepo, definitions: "RepoContents", scratch: Path) -> Applied:
    """Apply what a repo defines.

    Raises:
        FeatureStoreError: Feast refuses a definition.
    """
    store = repo.apply(definitions)
    return Applied(repo, definitions, store, DefinedViews.of_store(store), scratch)
