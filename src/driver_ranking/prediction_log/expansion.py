"""Rows of the log, made of frames."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driver_ranking.features import Defaults, FeatureRows, Features, numbers_of
from driver_ranking.model_version import TEXT_TYPES
from driver_ranking.prediction_log import columns as names
from driver_ranking.prediction_log import compact
from driver_ranking.prediction_log.places import HOUR
from driver_ranking.prediction_log.schema import described
from driver_ranking.ranking import STATUSES, ScoredRows
from feast_columnar.online.features import UNREAD

_INVALID, _PRESENT, _NULL, _NOT_FOUND, _OUTSIDE_MAX_AGE = range(5)  # Feast's FieldStatus
_SECOND: Final = 1_000_000
_DAY: Final = 24 * HOUR


def expanded(frames: Sequence[pa.RecordBatch]) -> pa.Table:
    """Return the rows of frames of one file; what is the same for many rows is in dictionaries.

    Args:
        frames: The frames, at least one.
    """
    schema = compact.schema_of(frames[0])
    found = compact.merged(frames)
    description = described(schema)
    columns = _BatchRows(found, schema, description).taken(_where(found))
    answer = np.repeat(np.arange(len(found[compact.ANSWER_NUMBER]), dtype=np.int32), _ints(found, compact.ANSWER_ROWS))
    columns |= dict(_of_batches(found, answer)) | dict(_of_answers(found, answer))
    columns |= dict(_constants(description, len(answer)))
    arrays = [columns[one.name] if one.name in columns else pa.nulls(len(answer), one.type) for one in schema]
    fields = [pa.field(one.name, array.type) for one, array in zip(schema, arrays, strict=True)]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields, schema.metadata))


def _ints(found: compact.Compact, name: str) -> NDArray[Any]:
    return np.asarray(found[name].to_numpy())


def _where(found: compact.Compact) -> NDArray[np.int64]:
    """Return where the candidates of answers are among the rows of batches."""
    begins = np.cumsum(_ints(found, compact.BATCH_ROWS), dtype=np.int64) - _ints(found, compact.BATCH_ROWS)
    begin = np.repeat(begins[_ints(found, compact.ANSWER_BATCH)], _ints(found, compact.ANSWER_ROWS))
    return np.asarray(begin + _ints(found, compact.PLACE))


def _of_batches(found: compact.Compact, answer: NDArray[np.int32]) -> Iterator[tuple[str, pa.Array]]:
    """Yield what is said of the batch of each answer."""
    batch = _ints(found, compact.ANSWER_BATCH)[answer]
    now = _ints(found, compact.BATCH_NOW)
    yield names.LOG_TIMESTAMP, pa.array(now[batch], names.MICROSECONDS)
    yield names.LOG_DATE, pa.array((now // _DAY).astype(np.int32)[batch], pa.date32())
    yield names.BATCH, pa.array(_ints(found, compact.BATCH_NUMBER)[batch])
    yield names.READ_MICROSECONDS, pa.array(_ints(found, compact.BATCH_READ)[batch])


def _of_answers(found: compact.Compact, answer: NDArray[np.int32]) -> Iterator[tuple[str, pa.Array]]:
    """Yield where candidates stand in the request and in the ranking, and whose they are."""
    counts, ranked = _ints(found, compact.ANSWER_ROWS), _ints(found, compact.ANSWER_RANKED)
    begins = np.cumsum(counts, dtype=np.int64) - counts
    rank = np.zeros(len(answer), dtype=np.int32)
    order = _ints(found, compact.ORDER)
    before = np.cumsum(ranked, dtype=np.int64) - ranked
    rank[order + np.repeat(begins, ranked)] = 1 + np.arange(len(order)) - np.repeat(before, ranked)
    yield names.POSITION, pa.array((np.arange(len(answer)) - np.repeat(begins, counts)).astype(np.int32))
    yield names.RANK, pa.array(rank, mask=rank == 0)
    yield names.GIVEN, pa.array((rank > 0) & (rank <= _ints(found, compact.ANSWER_GIVEN)[answer]))
    number = _ints(found, compact.ANSWER_NUMBER)
    yield names.ANSWER, pa.array(number[answer])
    place = pa.array(answer)
    yield names.REQUEST_ID, found[compact.ANSWER_ID].dictionary_encode().take(place)
    yield names.TRACE_ID, found[compact.ANSWER_TRACE].dictionary_encode().take(place)


def _constants(description: Mapping[str, Any], count: int) -> Iterator[tuple[str, pa.Array]]:
    model = description["model"]
    constants = {
        names.RUN_ID: description["run_id"],
        names.MODEL_NAME: model["name"],
        names.MODEL_VERSION: model["version"],
        names.FEATURE_SERVICE: model["feature_service"],
    }
    same = pa.array(np.zeros(count, dtype=np.int8))
    for name, text in constants.items():
        yield name, pa.DictionaryArray.from_arrays(same, [text])


@dataclass(frozen=True)
class _BatchRows:
    """The rows of batches that were scored together.

    Attributes:
        found: The columns of frames.
        schema: The schema of the log.
        description: What is said of all of its rows.
    """

    found: compact.Compact
    schema: pa.Schema
    description: Mapping[str, Any]

    def taken(self, where: NDArray[np.int64]) -> dict[str, pa.Array]:
        """Return the columns of some rows by name; of those that the model does not take there are none."""
        columns = {**dict(self._inputs()), **dict(self._features()), **dict(self._scores())}
        if np.array_equal(where, np.arange(self._count)):
            return columns
        shared = {id(column): column for column in columns.values()}  # of a view's features most are the same
        rows = {key: column.take(pa.array(where)) for key, column in shared.items()}
        return {name: rows[id(column)] for name, column in columns.items()}

    @cached_property
    def _count(self) -> int:
        return len(self.found[compact.ROW_SCORE])

    def _inputs(self) -> Iterator[tuple[str, pa.Array]]:
        for name in self.description["inputs"]:
            yield name, self.found[compact.INPUT + name]

    # ---- the model's columns
    @cached_property
    def _numbers(self) -> tuple[str, ...]:
        return tuple(one["name"] for one in self.description["model"]["columns"] if one["type"] not in TEXT_TYPES)

    @cached_property
    def _texts(self) -> tuple[str, ...]:
        return tuple(one["name"] for one in self.description["model"]["columns"] if one["type"] in TEXT_TYPES)

    @cached_property
    def _defaults(self) -> Defaults | None:
        values = self.description["defaults"]
        if not values:
            return None
        types = {one["name"]: one["type"] for one in self.description["model"]["columns"]}
        texts = {
            name: bytes.fromhex(value) if types[name] == "binary" else value
            for name, value in values.items()
            if types[name] in TEXT_TYPES
        }
        return Defaults(np.array([values.get(name, np.nan) for name in self._numbers], dtype=np.float64), texts)

    @cached_property
    def _read(self) -> Features:
        numbers = _ints(self.found, compact.NUMBERS).reshape(self._count, len(self._numbers))
        if not self._texts:
            return numbers
        texts = {name: self.found[compact.TEXT + name].to_numpy(zero_copy_only=False) for name in self._texts}
        return FeatureRows(numbers, texts)

    @cached_property
    def _given(self) -> Features:
        """Return the features as the model was given them."""
        return self._read if self._defaults is None else self._defaults.fill(self._read)[0]

    @cached_property
    def _missing(self) -> dict[str, NDArray[np.bool_]]:
        """Return where the store, or the request, had no value."""
        absent = np.isnan(numbers_of(self._read))
        columns = {name: absent[:, place] for place, name in enumerate(self._numbers)}
        return columns | {name: _bools(self.found[compact.TEXT + name].is_null()) for name in self._texts}

    def _features(self) -> Iterator[tuple[str, pa.Array]]:
        present = pa.array(np.full(self._count, _PRESENT, dtype=np.int32))
        for view in self.description["views"]:
            taken = [name for name in view["features"] if name in self._missing]
            if not taken:
                continue
            times, status = self._rows_of(view["name"])
            seconds = pa.array(times // _SECOND, mask=times == UNREAD).cast(pa.timestamp("s", "UTC"))
            yield names.event_time_column(view["name"]), pa.array(times, names.MICROSECONDS, mask=times == UNREAD)
            for name in taken:
                column, missing = view["features"][name], self._missing[name]
                yield column, self._values(name, column)
                yield names.timestamp_column(column), seconds
                found = pa.array(np.where(missing, status, np.int32(_PRESENT))) if missing.any() else present
                yield names.status_column(column), found

    def _rows_of(self, view: str) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Return the event times of a view's rows, `UNREAD` where there are none, and the status of what is missing."""
        times = _ints(self.found, compact.TIMES + view)
        status = np.where(_bools(self.found[compact.USABLE + view]), np.int32(_NULL), np.int32(_OUTSIDE_MAX_AGE))
        status[times == 0] = _NOT_FOUND
        if compact.UNREADABLE in self.found:
            status[_bools(self.found[compact.UNREADABLE])] = _INVALID
        return np.where(times == 0, UNREAD, times), status

    def _values(self, name: str, column: str) -> pa.Array:
        """Return a feature as the model was given it, in the type that the repo declares."""
        kind, given = self.schema.field(column).type, self._given
        if column in self.description["omitted"]:
            return pa.nulls(self._count, kind)
        if isinstance(given, FeatureRows) and name in given.texts:
            return pa.array(given.texts[name], kind)
        return numbers_as(numbers_of(given)[:, self._numbers.index(name)], kind)

    # ---- what the model made of them
    def _scores(self) -> Iterator[tuple[str, pa.Array]]:
        scored = _bools(self.found[compact.ROW_SCORED])
        defaulted = np.logical_or.reduce([scored & False, *(self._put.T if self._put.size else ())]) & scored
        rows = ScoredRows(_ints(self.found, compact.ROW_SCORE), scored, defaulted)
        number, lengths = np.cumsum(scored, dtype=np.int32), _ints(self.found, compact.BATCH_ROWS)
        ends = np.cumsum(lengths)
        sizes = np.diff(number[ends - 1], prepend=np.int32(0)).astype(np.int32)
        before = np.repeat(number[ends - 1] - sizes, lengths)
        yield names.SCORE, pa.array(rows.score, mask=~scored)
        yield names.STATUS, pa.DictionaryArray.from_arrays(pa.array(rows.status_place), list(STATUSES))
        yield names.DEFAULTED, self._defaulted()
        yield names.BATCH_SIZE, pa.array(np.repeat(sizes, lengths))
        yield names.BATCH_ROW, pa.array(number - 1 - before, pa.int32(), mask=~scored)

    @cached_property
    def _standing(self) -> list[str]:
        """Return which columns of the model have a default, in the signature's order."""
        return [
            one["name"] for one in self.description["model"]["columns"] if one["name"] in self.description["defaults"]
        ]

    @cached_property
    def _put(self) -> NDArray[np.bool_]:
        """Return for each row which of these a default stands for, bool ``[n, d]``."""
        columns = [self._missing[name] for name in self._standing]
        return np.column_stack(columns) if columns else np.empty((self._count, 0), dtype=np.bool_)

    def _defaulted(self) -> pa.ListArray:
        offsets = np.zeros(self._count + 1, dtype=np.int32)
        offsets[1:] = np.cumsum(self._put.sum(axis=1))
        which = pa.array(np.nonzero(self._put)[1])
        return pa.ListArray.from_arrays(pa.array(offsets), pa.array(self._standing, pa.string()).take(which))


def _bools(column: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.bool_)


def numbers_as(values: NDArray[np.float64], kind: pa.DataType) -> pa.Array:
    """Return float64 in a type that holds them, null where one is missing or the type can't hold it at all."""
    absent = np.isnan(values)
    if pa.types.is_floating(kind):
        return pa.array(values.astype(kind.to_pandas_dtype(), copy=False), mask=absent)
    absent |= values != np.rint(values)  # a default that only the model's column can hold
    return pa.array(np.where(absent, 0, values).astype(np.int64), mask=absent).cast(kind)
