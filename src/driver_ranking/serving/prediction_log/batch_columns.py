"""The columns of batches that were scored together: what is the same for each request that a candidate is in."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driver_ranking.features import FeatureRows, Features, numbers_of
from driver_ranking.prediction_log import columns as names
from driver_ranking.prediction_log.schema import LoggedView
from driver_ranking.ranking import STATUSES, ScoredRows
from driver_ranking.serving.prediction_log.entries import LoggedModel, ScoredBatch
from feast_columnar.online.features import UNREAD, RowTimes

_INVALID, _PRESENT, _NULL, _NOT_FOUND, _OUTSIDE_MAX_AGE = range(5)  # Feast's FieldStatus
_SECOND: Final = 1_000_000


class BatchColumns:
    """Batches of one model, one after the other, as columns."""

    def __init__(self, logged: LoggedModel, batches: Sequence[ScoredBatch]) -> None:
        """Put them together.

        Args:
            logged: The model.
            batches: The batches, at least one.
        """
        self._logged, self._batches = logged, batches
        self._lengths = [len(one.query) for one in batches]
        self._count = sum(self._lengths)

    def all(self) -> dict[str, pa.Array]:
        """Return the columns by name; of those that the model does not take there are none."""
        return {**dict(self._inputs()), **dict(self._features()), **dict(self._scores())}

    # ---- what requests had
    def _inputs(self) -> Iterator[tuple[str, pa.Array]]:
        schema = self._logged.schema
        for name in schema.inputs:
            columns = [_of_all(_input(one, name, self._logged.candidate), len(one.query)) for one in self._batches]
            yield name, _as_arrow(columns, schema.arrow.field(name).type)

    # ---- what was read
    @cached_property
    def _numbers(self) -> NDArray[np.float64]:
        return np.concatenate([numbers_of(one.features) for one in self._batches])

    @cached_property
    def _texts(self) -> dict[str, NDArray[np.object_]]:
        found = self._batches[0].features
        if not isinstance(found, FeatureRows):
            return {}
        rows = [one.features for one in self._batches if isinstance(one.features, FeatureRows)]
        return {name: np.concatenate([one.texts[name] for one in rows]) for name in found.texts}

    @cached_property
    def _missing(self) -> dict[str, NDArray[np.bool_]]:
        """Return where the store, or the request, had no value, by column of the model."""
        absent = np.isnan(self._numbers)
        columns = {name: absent[:, place] for place, name in enumerate(self._logged.model.number_columns)}
        for name, texts in self._texts.items():
            columns[name] = np.asarray(texts == None, dtype=np.bool_)  # noqa: E711 - of each of them
        return columns

    @cached_property
    def _given(self) -> Features:
        """Return the features as the model was given them."""
        read = FeatureRows(self._numbers, self._texts) if self._texts else self._numbers
        return read if self._logged.defaults is None else self._logged.defaults.fill(read)[0]

    @cached_property
    def _unreadable(self) -> NDArray[np.bool_] | None:
        if all(one.unreadable is None for one in self._batches):
            return None
        return np.concatenate(
            [
                np.zeros(length, dtype=np.bool_) if one.unreadable is None else one.unreadable
                for one, length in zip(self._batches, self._lengths, strict=True)
            ]
        )

    def _features(self) -> Iterator[tuple[str, pa.Array]]:
        for view in self._logged.schema.views:
            taken = [name for name in view.features if name in self._missing]
            if not taken:
                continue
            times, status = self._rows_of(view, taken[0])
            seconds = pa.array(times // _SECOND, mask=times == UNREAD).cast(pa.timestamp("s", "UTC"))
            yield names.event_time_column(view.name), pa.array(times, names.MICROSECONDS, mask=times == UNREAD)
            for name in taken:
                column, missing = view.features[name], self._missing[name]
                yield column, self._values(name, self._logged.schema.arrow.field(column).type)
                yield names.timestamp_column(column), seconds
                found = np.where(missing, status, np.int32(_PRESENT)) if missing.any() else self._all_present
                yield names.status_column(column), pa.array(found)

    @cached_property
    def _all_present(self) -> NDArray[np.int32]:
        return np.full(self._count, _PRESENT, dtype=np.int32)

    def _rows_of(self, view: LoggedView, column: str) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Return the event times of a view's rows, `UNREAD` where there are none, and the status of what is missing."""
        found = [_times_of(one.times, column) for one in self._batches]
        times = np.concatenate([_of_all(one.times, length) for one, length in zip(found, self._lengths, strict=True)])
        usable = np.concatenate([_of_all(one.usable, length) for one, length in zip(found, self._lengths, strict=True)])
        status = np.where(usable, np.int32(_NULL), np.int32(_OUTSIDE_MAX_AGE))
        status[times == 0] = _NOT_FOUND
        if self._unreadable is not None:
            status[self._unreadable] = _INVALID
        return np.where(times == 0, UNREAD, times), status

    def _values(self, name: str, kind: pa.DataType) -> pa.Array:
        """Return a feature as the model was given it, in the type that the repo declares."""
        given = self._given
        if name in self._texts:
            assert isinstance(given, FeatureRows)  # noqa: S101 - there are texts
            return _as_arrow([given.texts[name]], kind)
        place = self._logged.model.number_columns.index(name)
        return _as_arrow([numbers_of(given)[:, place]], kind)

    # ---- what the model made of it
    def _scores(self) -> Iterator[tuple[str, pa.Array]]:
        rows = _joined_rows([one.rows for one in self._batches], self._lengths)
        number = np.cumsum(rows.scored, dtype=np.int32)
        ends = np.cumsum(self._lengths)
        sizes = np.diff(number[ends - 1], prepend=np.int32(0)).astype(np.int32)
        before = np.repeat(number[ends - 1] - sizes, self._lengths)
        excluded = ~rows.scored
        yield names.SCORE, pa.array(rows.score, mask=excluded)
        yield names.STATUS, pa.DictionaryArray.from_arrays(pa.array(rows.status_place), list(STATUSES))
        yield names.DEFAULTED, self._defaulted()
        yield names.BATCH_SIZE, pa.array(np.repeat(sizes, self._lengths))
        yield names.BATCH_ROW, pa.array(number - 1 - before, pa.int32(), mask=excluded)

    def _defaulted(self) -> pa.ListArray:
        """Return which features have a default in their place."""
        model, defaults = self._logged.model, self._logged.defaults
        offsets, which = np.zeros(self._count + 1, dtype=np.int32), np.empty(0, dtype=np.intp)
        standing: list[str] = []
        if defaults is not None:
            known = dict(zip(model.number_columns, ~np.isnan(defaults.numbers), strict=True))
            standing = [name for name in model.feature_names if name in defaults.texts or known.get(name)]
            put = np.column_stack([self._missing[name] for name in standing])
            offsets[1:] = np.cumsum(put.sum(axis=1))
            which = np.nonzero(put)[1]
        return pa.ListArray.from_arrays(pa.array(offsets), pa.array(standing, pa.string()).take(pa.array(which)))


def _joined_rows(rows: Sequence[ScoredRows], lengths: Sequence[int]) -> ScoredRows:
    defaulted = None
    if any(one.defaulted is not None for one in rows):
        nowhere = (np.zeros(length, dtype=np.bool_) for length in lengths)
        defaulted = np.concatenate(
            [none if one.defaulted is None else one.defaulted for one, none in zip(rows, nowhere, strict=True)]
        )
    return ScoredRows(np.concatenate([one.score for one in rows]), np.concatenate([one.scored for one in rows]), defaulted)


def _input(batch: ScoredBatch, name: str, candidate: str) -> NDArray[Any]:
    query = batch.query
    if name == candidate:
        return query.candidate
    return query.keys[name] if name in query.keys else query.request[name]


def _times_of(times: Sequence[RowTimes], column: str) -> RowTimes:
    return next(one for one in times if column in one.columns)


def _of_all(values: NDArray[Any], count: int) -> NDArray[Any]:
    """Return a column of n rows, of those or of the one that there is for all."""
    return values if len(values) == count else np.repeat(values, count)


def _as_arrow(columns: Sequence[NDArray[Any]], kind: pa.DataType) -> pa.Array:
    """Return a column in a type that holds it, null where a value is missing or the type can't hold it at all."""
    if any(column.dtype.kind == "O" for column in columns):
        return pa.array([value for column in columns for value in column.tolist()], kind)
    joined = columns[0] if len(columns) == 1 else np.concatenate(columns)
    if joined.dtype.kind != "f":
        return pa.array(joined).cast(kind)
    absent = np.isnan(joined)
    if pa.types.is_floating(kind):
        return pa.array(joined.astype(kind.to_pandas_dtype(), copy=False), mask=absent)
    absent |= joined != np.rint(joined)  # a default that only the model's column can hold
    return pa.array(np.where(absent, 0, joined).astype(np.int64), mask=absent).cast(kind)
