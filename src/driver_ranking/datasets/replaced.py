"""Kedro's stock datasets of small files, which here are written under a temporary name and renamed into place."""

# ruff: noqa: SLF001 - the place of a stock dataset is an attribute of its own

from pathlib import Path
from typing import Any

from kedro_datasets.json import JSONDataset
from kedro_datasets.pickle import PickleDataset
from kedro_datasets.plotly import JSONDataset as PlotlyDataset

from driver_ranking.atomic_file import replacing


class _Replaced:
    """Makes a stock dataset of one local file replace it as a whole; at other places Kedro's own way stays."""

    def save(self, data: Any) -> None:  # noqa: ANN401 - whatever the stock dataset takes
        """Write the data beside the file and put it in the file's place."""
        stock: Any = self
        if stock._protocol != "file" or stock._version:
            super().save(data)  # type: ignore[misc]
            return
        place = stock._filepath
        with replacing(Path(place)) as temporary:
            stock._filepath = type(place)(temporary.as_posix())
            try:
                super().save(data)  # type: ignore[misc]
            finally:
                stock._filepath = place


class ReplacedJSONDataset(_Replaced, JSONDataset):  # type: ignore[misc]  # kedro-datasets has no types
    """A JSON file."""


class ReplacedPickleDataset(_Replaced, PickleDataset):  # type: ignore[misc]  # kedro-datasets has no types
    """A pickled object."""


class ReplacedPlotlyDataset(_Replaced, PlotlyDataset):  # type: ignore[misc]  # kedro-datasets has no types
    """A Plotly figure as JSON."""
