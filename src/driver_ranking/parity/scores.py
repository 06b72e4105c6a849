"""Scores the rows of a chunk again, with the version of the model that it was answered with."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driver_ranking.features import Defaults
from driver_ranking.model import ModelRegistry, Predictor
from driver_ranking.parity.answers import Chunk, Layout
from driver_ranking.parity.rows import without
from driver_ranking.prediction_log.columns import SCORE, STATUS
from driver_ranking.ranking import STATUSES, ScoredRows, predicted_rows
from driver_ranking.scoring import feature_matrix

TOLERANCE: Final = 1e-9
NARROW_TOLERANCE: Final = 1e-6
"""Relative, of models whose scores are float32: how many rows there are at once changes their last bits."""


@dataclass(frozen=True)
class Scorer:
    """A version of the model, as the log says that it was used.

    Attributes:
        predictor: The loaded model.
        layout: What the log says.
    """

    predictor: Predictor
    layout: Layout

    @cached_property
    def defaults(self) -> Defaults | None:
        """Return what stood for missing features."""
        return recorded_defaults(self.layout, self.predictor)

    def requested(self, chunk: Chunk) -> dict[str, pa.Array]:
        """Return the columns of the signature that came with the requests."""
        columns = {one["name"]: one["column"] for one in self.layout.said["model"]["columns"] if one["requested"]}
        return {name: without(whole(chunk.rows[column]), chunk.is_defaulted(name)) for name, column in columns.items()}

    def score(self, columns: Mapping[str, pa.Array]) -> ScoredRows:
        """Return the scores of rows.

        Args:
            columns: The columns of the signature, null where a value is missing.

        Raises:
            ModelError: The model fails, or a value can't be given to it exactly.
        """
        model = self.predictor.model
        batch = pa.record_batch([columns[name] for name in model.feature_names], names=list(model.feature_names))
        features = feature_matrix(batch, model, lambda row: f"row {row + 1} of the log")
        return predicted_rows(features, self.predictor.predict, self.defaults)

    def are_same(self, ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which scores are the same but for rounding; NaN for none."""
        narrow = bool(np.all((ours.astype(np.float32) == ours) | np.isnan(ours)))
        tolerance = NARROW_TOLERANCE if narrow else TOLERANCE
        return np.isclose(ours, theirs, rtol=tolerance, atol=1e-12, equal_nan=True)


class Scorers:
    """The versions of the model, each loaded once."""

    def __init__(self, registry: ModelRegistry) -> None:
        """Take the registry."""
        self.registry = registry
        self._made: dict[str, Scorer] = {}

    def of(self, layout: Layout) -> Scorer:
        """Return the version that a file of the log is of.

        Raises:
            ModelError: The registry does not have it, or it can't be loaded.
        """
        if layout.text not in self._made:
            model = self.registry.resolve(layout.version)
            self._made[layout.text] = Scorer(self.registry.load(model), layout)
        return self._made[layout.text]


def recorded_defaults(layout: Layout, predictor: Predictor) -> Defaults | None:
    """Return what stood for missing features, as the log's metadata says."""
    said, model = layout.said.get("defaults") or {}, predictor.model
    if not said:
        return None
    numbers = np.array([said.get(name, np.nan) for name in model.number_columns], dtype=np.float64)
    texts = {name: _text(said[name], model.types[name]) for name in model.text_columns if name in said}
    return Defaults(numbers, texts)


def _text(said: str, kind: str) -> str | bytes:
    return bytes.fromhex(said) if kind == "binary" else said


def whole(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array, without a dictionary."""
    found = column.combine_chunks()
    found = found if isinstance(found, pa.Array) else pa.concat_arrays(found.chunks)
    return found.dictionary_decode() if pa.types.is_dictionary(found.type) else found


def logged_scores(chunk: Chunk) -> ScoredRows:
    """Return the scores as they were logged."""
    score = np.asarray(pc.fill_null(chunk.rows[SCORE], np.nan).to_numpy())
    place = np.asarray(pc.fill_null(pc.index_in(whole(chunk.rows[STATUS]), pa.array(STATUSES)), -1).to_numpy())
    return ScoredRows(score, np.asarray((place == 0) | (place == 1)), np.asarray(place == 1))


def known_status(chunk: Chunk) -> NDArray[np.bool_]:
    """Return which rows have a status that there is."""
    return np.asarray(pc.is_in(whole(chunk.rows[STATUS]), pa.array(STATUSES)).to_numpy(zero_copy_only=False))


def of_rows(columns: Mapping[str, pa.Array], rows: NDArray[Any]) -> dict[str, pa.Array]:
    """Return some of the rows."""
    taken = pa.array(rows)
    return {name: values.take(taken) for name, values in columns.items()}
