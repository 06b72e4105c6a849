"""Kedro datasets of a Feast feature repo: what its files define, and the store that serves it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Never

from kedro.io import AbstractDataset, DatasetError

from driver_ranking.datasets.local_path import local_path
from driver_ranking.feature_store.repo import FeatureRepo

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.repo_contents import RepoContents


# Not a dataset itself: of one that inherits its constructor from another, Kedro records `args` and `kwargs`.
class _OfFeatureRepo:
    """What datasets of a feature repo have in common: it is a folder here, and has a configuration."""

    def __init__(
        self, *, filepath: str, config_file: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Name the repo's folder, and its configuration if that is not the ``feature_store.yaml`` in it."""
        self._repo = FeatureRepo(local_path(filepath, "A feature repo"), Path(config_file) if config_file else None)
        self.metadata = metadata

    def _exists(self) -> bool:
        return self._repo.config_file.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._repo.path)}


class FeatureDefinitionsDataset(_OfFeatureRepo, AbstractDataset[Never, "RepoContents"]):
    """What the Python files of a feature repo define. Read only."""

    def load(self) -> "RepoContents":
        """Import the repo's files and return the Feast objects they define."""
        return self._repo.definitions()

    def save(self, data: Never) -> None:  # noqa: ARG002 - Kedro's interface
        """Refuse: definitions are an input."""
        message = f"{self._repo.path}: definitions are only read."
        raise DatasetError(message)


class FeatureStoreDataset(_OfFeatureRepo, AbstractDataset["RepoContents", "FeatureStore"]):
    """A Feast feature store: saving definitions applies them, as ``feast apply`` does; loading opens the store."""

    _store: "FeatureStore | None" = None

    def load(self) -> "FeatureStore":
        """Open the store; its registry is the one last applied."""
        return self._store or self._repo.open()

    def save(self, data: "RepoContents") -> None:
        """Apply definitions; what is no longer defined is removed."""
        self._store = self._repo.apply(data)

    def _release(self) -> None:
        self._store = None
