"""A Kedro dataset of the prediction log that the online service writes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Never
from urllib.parse import unquote

import pyarrow as pa
from kedro.io import AbstractDataset, DatasetError

from driver_ranking.datasets.local_path import local_path
from driver_ranking.prediction_log.places import SPOOL
from driver_ranking.prediction_log.reader import batches


@dataclass(frozen=True)
class PredictionLogRows:
    """The rows of a log, read when they are asked for.

    Attributes:
        root: Its folder.
    """

    root: Path

    @property
    def services(self) -> tuple[str, ...]:
        """Return the feature services that it has rows of."""
        folders = {
            one.name for top in (self.root, self.root / SPOOL) if top.is_dir() for one in top.iterdir() if one.is_dir()
        }
        return tuple(sorted(unquote(name) for name in folders if name != SPOOL))

    def batches(self, begin: datetime | None = None, end: datetime | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a span of time, those of a feature service after those of another."""
        for service in self.services:
            yield from batches(self.root, service, begin, end)


class PredictionLogDataset(AbstractDataset[Never, PredictionLogRows]):
    """The folder that ``prediction_log.path`` of model-settings.json names."""

    def __init__(self, *, filepath: str, metadata: Mapping[str, Any] | None = None) -> None:
        """Name the folder.

        Args:
            filepath: Its path, relative to the project.
            metadata: What Kedro's plugins are told of this dataset.
        """
        self._filepath = local_path(filepath, "A prediction log")
        self.metadata = metadata

    def load(self) -> PredictionLogRows:
        """Return what reads it; one that is not there yet has no rows."""
        return PredictionLogRows(Path(self._filepath))

    def save(self, data: Never) -> Never:  # noqa: ARG002 - Kedro's interface
        """Refuse.

        Raises:
            DatasetError: Always: the online service writes it.
        """
        message = "The prediction log is written by the online service alone."
        raise DatasetError(message)

    def _exists(self) -> bool:
        return Path(self._filepath).is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
