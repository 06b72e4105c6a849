"""Scoring of record batches: what a batch run does with them, here or on the workers of a cluster."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driver_ranking.errors import ModelInputError
from driver_ranking.model import RegisteredModel, load_predictor
from driver_ranking.model_columns import require_exact
from driver_ranking.ranking import ScoredRows, Status, predicted_rows, require_finite
from feast_columnar.exactness import EXACT_INTEGERS

SCORE_FIELDS = (
    pa.field("score", pa.float64()),
    pa.field("status", pa.string(), nullable=False),
    pa.field("model_version", pa.string(), nullable=False),
)


@dataclass(frozen=True)
class BatchScorer:
    """Scores record batches with a model whose files it brings along.

    Attributes:
        model: The model.
    """

    model: RegisteredModel

    @property
    def folder(self) -> str:
        """The folder that has to be there where ``open`` is called."""
        return self.model.local_path

    @property
    def key(self) -> str:
        """What tells one opened scorer from another."""
        return f"{self.model.name}/{self.model.version}/{self.model.source_uri}"

    def open(self, folder: str) -> Callable[[pa.RecordBatch], pa.RecordBatch]:
        """Load the model from a copy of its folder, and return what scores a batch.

        Raises:
            ModelError: The model can't be loaded.
        """
        predictor = load_predictor(self.model, folder)

        def score(batch: pa.RecordBatch) -> pa.RecordBatch:
            def name_of(row: int) -> str:
                return _named(batch, row)

            rows = predicted_rows(feature_matrix(batch, self.model, name_of), predictor.predict)
            require_finite(rows, name_of)
            return with_scores(batch, rows, self.model.version)

        return score


def _named(batch: pa.RecordBatch, row: int) -> str:
    """Name a row by its values: rows on a cluster have no numbers."""
    values = batch.slice(row, 1).to_pylist()[0]
    return "the row " + " ".join(f"{name}={value}" for name, value in values.items())


@runtime_checkable
class MapsBatches(Protocol):
    """Rows that are elsewhere, and take a function to where they are."""

    @property
    def schema(self) -> pa.Schema:
        """Return the columns, with what was recorded of the rows."""
        ...

    def map_batches(
        self, mapping: BatchScorer, added: tuple[pa.Field, ...], report: "Callable[[WrittenRows], None]"
    ) -> object:
        """Return the rows with columns added to each record batch; once they are written, they are reported."""
        ...


class WrittenRows(Protocol):
    """Rows that have been written."""

    def counts(self, column: str) -> Mapping[str, int]:
        """Return how many rows have which value."""
        ...

    def best(self, column: str, count: int) -> list[dict[str, Any]]:
        """Return the rows with the highest values."""
        ...


def feature_matrix(batch: pa.RecordBatch, model: RegisteredModel, name_of: Callable[[int], str]) -> NDArray[np.float64]:
    """Return the columns that a model takes as float64 ``[n, k]``, NaN for null.

    Args:
        batch: The rows.
        model: The model.
        name_of: How a message names the row of an index.

    Raises:
        ModelInputError: A value can't be given exactly, as a float64 or as the type that the model's signature names.
    """
    matrix = np.empty((batch.num_rows, len(model.feature_names)), dtype=np.float64)
    for index, name in enumerate(model.feature_names):
        column = batch.column(name)
        _require_exact_integers(column, name, name_of)
        matrix[:, index] = pc.fill_null(column.cast(pa.float64()), np.nan).to_numpy(zero_copy_only=False)
    require_exact(matrix, model, name_of)
    return matrix


def _require_exact_integers(column: pa.Array, name: str, name_of: Callable[[int], str]) -> None:
    if not (pa.types.is_int64(column.type) or pa.types.is_uint64(column.type)):
        return
    large = pc.or_(pc.greater(column, EXACT_INTEGERS), pc.less(column, -EXACT_INTEGERS))
    rows = np.flatnonzero(pc.fill_null(large, False).to_numpy(zero_copy_only=False))  # noqa: FBT003 - the value for null
    if rows.size:
        row = int(rows[0])
        message = (
            f"The feature {name!r} of {name_of(row)} is {column[row].as_py()}: features reach models as doubles, which "
            f"hold integers up to 2^53 exactly. Scale the feature, or leave it out of the model."
        )
        raise ModelInputError(message)


def with_scores(batch: pa.RecordBatch, rows: ScoredRows, model_version: str) -> pa.RecordBatch:
    """Return a batch with the columns of ``SCORE_FIELDS`` added."""
    scored = pa.array(rows.scored)
    columns = [
        pa.array(rows.score, mask=~rows.scored),
        pc.if_else(scored, Status.OK.value, Status.MISSING_FEATURES.value),
        pa.repeat(model_version, batch.num_rows),
    ]
    return pa.record_batch([*batch.columns, *columns], schema=pa.schema([*batch.schema, *SCORE_FIELDS]))
