"""A Kedro dataset of the registered model: saving a trained one registers it, loading names the one in use."""

import logging
from collections.abc import Mapping
from typing import Any

from kedro.io import AbstractDataset

from driver_ranking.datasets.local_path import local_path
from driver_ranking.datasets.preview import JSONPreview
from driver_ranking.model import ModelRegistry, RegisteredModel, RegistryLocation, TrainedModel, write_record

logger = logging.getLogger(__name__)


class RegisteredModelDataset(AbstractDataset[TrainedModel, ModelRegistry]):
    """A registered MLflow model and its alias.

    Saving logs the trained model as a run. One that passed its validation becomes a new version, gets the alias, and
    is written to the record file; one that is kept back becomes a new version, and alias and record stay as they are;
    one that failed leaves the registry as it is too.
    """

    def __init__(  # noqa: PLR0913 - the keys of a catalog entry
        self,
        *,
        name: str,
        alias: str,
        registry: Mapping[str, Any],
        record: Mapping[str, Any],
        model_version: int | str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Name the model and its registry.

        Args:
            name: The registered model's name.
            alias: The alias of the version in use.
            registry: ``tracking_uri``, or null for a SQLite registry in the folder ``path``.
            record: ``filepath`` of the JSON file that says which version was registered last.
            model_version: A version to use instead of the alias.
            metadata: What Kedro's plugins are told of this dataset.

        Raises:
            DatasetError: A path is a URL; a registry elsewhere has a ``tracking_uri``.
        """
        folder = local_path(registry["path"], "The folder of a registry without a tracking_uri").absolute()
        self._location = RegistryLocation(name, alias, folder, registry.get("tracking_uri") or None)
        self._record = local_path(record["filepath"], "The record of the last version")
        self._version = model_version
        self._registry: ModelRegistry | None = None
        self.metadata = metadata

    def check(self) -> None:
        """Check now that there is a usable model.

        Raises:
            ModelError: There is none; the message says what to do.
        """
        self.load().resolve()

    def load(self) -> ModelRegistry:
        """Return the registry, pinned to the chosen version if there is one; what it resolves stays for the run."""
        self._registry = self._registry or ModelRegistry(self._location, self._version)
        return self._registry

    def save(self, data: TrainedModel) -> None:
        """Log a trained model, register it if it passed validation, and promote it if nothing keeps it back."""
        self._release()
        registry = ModelRegistry(self._location)
        model_uri = registry.log(data)
        if data.problems:
            logger.warning(
                "The model failed its validation and is not registered; the alias %r stays where it is. %s",
                self._location.alias,
                " ".join(data.problems),
            )
            return
        if data.kept_back:
            kept_back = registry.keep_back(model_uri, data.feature_service, data.tags)
            logger.warning(_kept_back(kept_back, data.kept_back, self._location))
            return
        registered = registry.promote(model_uri, data.feature_service, data.tags)
        write_record(registered, self._record)
        logger.info("Registered the %s as %r.", registered.label, self._location.alias)

    def _release(self) -> None:
        self._registry = None

    def preview(self) -> JSONPreview:
        """Return the record of the version registered last, for kedro viz."""
        return JSONPreview(self._record.read_text(encoding="utf-8"))

    def _exists(self) -> bool:
        return self._location.tracking_uri is not None or self._location.database.exists()

    def _describe(self) -> dict[str, Any]:
        return {"name": self._location.name, "alias": self._location.alias, "model_version": self._version}


def _kept_back(model: RegisteredModel, reason: str, location: RegistryLocation) -> str:
    """Return what is said of a version that does not get the alias; no URI that may have a password in it."""
    client = f"MlflowClient({location.uri!r})" if location.tracking_uri is None else "MlflowClient()"
    given = ", ".join(map(repr, (location.name, location.alias, model.version)))
    return (
        f"Registered the {model.label} without promoting it: the alias {location.alias!r} stays where it is. {reason} "
        f"To promote it by hand, give it the alias in MLflow's UI or by {client}.set_registered_model_alias({given})."
    )
