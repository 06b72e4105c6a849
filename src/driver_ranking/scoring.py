"""Scoring of record batches: what a batch run does with them, here or on the workers of a cluster."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driver_ranking.errors import ModelInputError
from driver_ranking.features import Defaults, FeatureRows, Features
from driver_ranking.model import RegisteredModel, load_predictor
from driver_ranking.model_columns import require_exact
from driver_ranking.ranking import STATUSES, ScoredRows, predicted_rows, require_finite
from feast_columnar.exactness import EXACT_INTEGERS

SCORE_FIELDS = (
    pa.field("score", pa.float64()),
    pa.field("status", pa.string(), nullable=False),
    pa.field("model_version", pa.string(), nullable=False),
)

_NUMBERS = (
    pa.types.is_floating,
    pa.types.is_integer,
    pa.types.is_boolean,
    pa.types.is_decimal,
)
_TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_BYTES = (
    *_TEXTS,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_binary_view,
    pa.types.is_fixed_size_binary,
)


@dataclass(frozen=True)
class BatchScorer:
    """Scores record batches with a model whose files it brings along.

    Attributes:
        model: The model.
        defaults: What stands for features that are missing.
    """

    model: RegisteredModel
    defaults: Defaults | None = None

    @property
    def folder(self) -> str:
        """The folder that has to be there where ``open`` is called."""
        return self.model.local_path

    @property
    def key(self) -> str:
        """What tells one opened scorer from another."""
        filled = self.defaults and (self.defaults.numbers.tolist(), sorted(self.defaults.texts.items()))
        return f"{self.model.name}/{self.model.version}/{self.model.source_uri}/{filled}"

    def open(self, folder: str) -> Callable[[pa.RecordBatch], pa.RecordBatch]:
        """Load the model from a copy of its folder, and return what scores a batch.

        Raises:
            ModelError: The model can't be loaded.
        """
        predictor = load_predictor(self.model, folder)

        def score(batch: pa.RecordBatch) -> pa.RecordBatch:
            def name_of(row: int) -> str:
                return _named(batch, row)

            features = feature_matrix(batch, self.model, name_of)
            rows = predicted_rows(features, predictor.predict, self.defaults)
            require_finite(rows, name_of)
            return with_scores(batch, rows, self.model.version)

        return score


def _named(batch: pa.RecordBatch, row: int) -> str:
    """Name a row by its values: rows on a cluster have no numbers."""
    values = {name: batch[name][row] for name in batch.schema.names}
    shown = {name: value.as_py() if _is_utf8(value) else "?" for name, value in values.items()}
    return "the row " + " ".join(f"{name}={value}" for name, value in shown.items())


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


def feature_matrix(batch: pa.RecordBatch, model: RegisteredModel, name_of: Callable[[int], str]) -> Features:
    """Return the columns that a model takes: the numbers as float64 ``[n, k]``, NaN for null, and texts beside them.

    Args:
        batch: The rows.
        model: The model.
        name_of: How a message names the row of an index.

    Raises:
        ModelInputError: A value can't be given exactly, as a float64 or as the type that the model's signature names,
            or it is a text where the model takes a number, or the reverse.
    """
    numbers = np.empty((batch.num_rows, len(model.number_columns)), dtype=np.float64)
    for index, name in enumerate(model.number_columns):
        numbers[:, index] = _numbers(_column(batch, name, model), name, name_of)
    kinds = {name: model.types[name] for name in model.text_columns}
    texts = {name: _texts(_column(batch, name, model), name, kind, name_of) for name, kind in kinds.items()}
    features = FeatureRows(numbers, texts) if texts else numbers
    require_exact(features, model, name_of)
    return features


def _column(batch: pa.RecordBatch, name: str, model: RegisteredModel) -> pa.Array:
    """Return a column; nulls for one of the request that is nowhere."""
    if name in model.request_features and name not in batch.schema.names:
        return pa.nulls(batch.num_rows)
    return _plain(batch.column(name))


def _plain(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _numbers(column: pa.Array, name: str, name_of: Callable[[int], str]) -> NDArray[np.float64]:
    if not any(is_kind(column.type) for is_kind in _NUMBERS):
        _refuse_values(column, name, "a number", name_of)
        return np.full(len(column), np.nan)
    _require_exact_integers(column, name, name_of)
    numbers = pc.fill_null(column.cast(pa.float64()), np.nan)
    return np.asarray(numbers.to_numpy(zero_copy_only=False))


def _texts(column: pa.Array, name: str, kind: str, name_of: Callable[[int], str]) -> NDArray[np.object_]:
    """Return texts or bytes as objects; of a text, bytes are those of its UTF-8."""
    if not any(is_kind(column.type) for is_kind in (_TEXTS if kind == "string" else _BYTES)):
        _refuse_values(column, name, "a text" if kind == "string" else "bytes", name_of)
        return np.full(len(column), None)
    try:
        taken = column.cast(pa.large_string() if kind == "string" else pa.large_binary())
        return np.asarray(taken.to_numpy(zero_copy_only=False))
    except pa.ArrowException as error:
        row = next(row for row in range(len(column)) if not _is_utf8(column[row]))
        message = f"The feature {name!r} of {name_of(row)} is no text in UTF-8. Correct it where it comes from."
        raise ModelInputError(message) from error


def _is_utf8(value: pa.Scalar) -> bool:
    try:
        value.as_py()
    except UnicodeDecodeError:
        return False
    return True


def _refuse_values(column: pa.Array, name: str, wanted: str, name_of: Callable[[int], str]) -> None:
    """Refuse a column of another kind that has a value at all."""
    rows = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
    if rows.size:
        message = (
            f"The feature {name!r} of {name_of(int(rows[0]))} is of the type {column.type}, and the model takes "
            f"{wanted}. Give the column that type, or log the model with a signature of what it is."
        )
        raise ModelInputError(message)


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
    columns = [
        pa.array(rows.score, mask=~rows.scored),
        pa.DictionaryArray.from_arrays(pa.array(rows.status_place), list(STATUSES)).dictionary_decode(),
        pa.repeat(model_version, batch.num_rows),
    ]
    return pa.record_batch([*batch.columns, *columns], schema=pa.schema([*batch.schema, *SCORE_FIELDS]))
