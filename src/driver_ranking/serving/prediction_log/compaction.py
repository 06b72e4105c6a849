"""Answers as frames, many at once and in few steps: each of them holds up the event loop, if only for microseconds."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driver_ranking.features import FeatureRows, numbers_of
from driver_ranking.prediction_log import columns as names
from driver_ranking.prediction_log import compact
from driver_ranking.prediction_log.places import HOUR
from driver_ranking.serving.prediction_log.entries import Answer, Frame, LoggedModel, ScoredBatch
from driver_ranking.serving.prediction_log.privacy import Privacy
from driver_ranking.serving.query import concatenated, of_all

_MICROSECONDS: Final = 1e6


class Compaction:
    """Makes frames of answers. Used from one thread."""

    def __init__(self, run_id: str, privacy: Privacy) -> None:
        """Have numbered no batch yet.

        Args:
            run_id: The run of the process.
            privacy: What is kept out.
        """
        self._run_id, self._privacy = run_id, privacy
        self._batches = 0

    def frames(self, answers: Sequence[Answer]) -> list[Frame]:
        """Return some answers, apart by model and hour, in their order."""
        groups: dict[tuple[LoggedModel, int], list[Answer]] = {}
        for one in answers:
            batch = one.batch
            groups.setdefault((batch.logged, batch.now // HOUR), []).append(one)
        return [self._frame(logged, hour, some) for (logged, hour), some in groups.items()]

    def _frame(self, logged: LoggedModel, hour: int, answers: Sequence[Answer]) -> Frame:
        batches = list(dict.fromkeys([one.batch for one in answers]))
        for one in batches:
            if one.number is None:
                one.number = self._batches
                self._batches += 1
        columns = {
            **dict(_of_batches(batches)),
            **dict(self._of_rows(logged, batches)),
            **self._of_answers(batches, answers),
        }
        return Frame(logged, hour, len(columns[compact.PLACE]), compact.frame_of(columns, logged.schema))

    def _of_answers(self, batches: Sequence[ScoredBatch], answers: Sequence[Answer]) -> dict[str, pa.Array]:
        of, rows, places, orders, given, ids, traces, numbers = zip(*answers, strict=True)
        begins = {one: place for place, one in enumerate(batches)}
        named = [given_id(one, self._run_id, number) for one, number in zip(ids, numbers, strict=True)]
        found = [np.arange(count) if one is None else one for one, count in zip(places, rows, strict=True)]
        texts = {compact.ANSWER_ID: (names.REQUEST_ID, named), compact.ANSWER_TRACE: (names.TRACE_ID, traces)}
        return {
            compact.ANSWER_NUMBER: pa.array(numbers, pa.int64()),
            compact.ANSWER_BATCH: pa.array([begins[one] for one in of], pa.int32()),
            compact.ANSWER_ROWS: pa.array(rows, pa.int32()),
            compact.ANSWER_RANKED: pa.array(list(map(len, orders)), pa.int32()),
            compact.ANSWER_GIVEN: pa.array(given, pa.int32()),
            compact.PLACE: pa.array(np.concatenate(found).astype(np.int32)),
            compact.ORDER: pa.array(np.concatenate(orders).astype(np.int32)),
            **{
                column: self._privacy.applied(name, pa.array(values, pa.string()))
                for column, (name, values) in texts.items()
            },
        }

    def _of_rows(self, logged: LoggedModel, batches: Sequence[ScoredBatch]) -> Iterator[tuple[str, pa.Array]]:
        lengths = [len(one.query) for one in batches]
        yield compact.ROW_SCORE, pa.array(concatenated([one.rows.score for one in batches]))
        yield compact.ROW_SCORED, pa.array(concatenated([one.rows.scored for one in batches]))
        for name in logged.inputs:
            columns = [_input(one, name, logged.candidate) for one in batches]
            whole = concatenated([of_all(one, count) for one, count in zip(columns, lengths, strict=True)])
            yield compact.INPUT + name, self._privacy.applied(name, as_arrow(whole, logged.schema.field(name).type))
        yield from self._of_features(logged, batches)
        for view, column in logged.views.items():
            found = [next(rows for rows in one.times if column in rows.columns) for one in batches]
            pairs = [*zip(found, lengths, strict=True)]
            yield compact.TIMES + view, pa.array(concatenated([of_all(one.times, count) for one, count in pairs]))
            yield compact.USABLE + view, pa.array(concatenated([of_all(one.usable, count) for one, count in pairs]))
        yield (
            compact.UNREADABLE,
            pa.array(
                concatenated(
                    [
                        np.zeros(count, dtype=np.bool_) if one.unreadable is None else one.unreadable
                        for one, count in zip(batches, lengths, strict=True)
                    ]
                )
            ),
        )

    def _of_features(self, logged: LoggedModel, batches: Sequence[ScoredBatch]) -> Iterator[tuple[str, pa.Array]]:
        numbers = concatenated([numbers_of(one.features) for one in batches])
        hidden = [place for place, name in enumerate(logged.numbers) if self._privacy.hides(logged.columns[name])]
        if hidden:  # only whether there was one is told
            numbers = numbers.copy()
            numbers[:, hidden] = np.where(np.isnan(numbers[:, hidden]), np.nan, 0.0)
        yield compact.NUMBERS, pa.array(numbers.ravel())
        for name in logged.texts:
            column = logged.columns[name]
            texts = concatenated([one.features.texts[name] for one in batches if isinstance(one.features, FeatureRows)])
            kind = pa.binary() if logged.model.types[name] == "binary" else pa.string()
            yield compact.TEXT + name, self._privacy.veiled(column, as_arrow(texts, kind))


def given_id(request_id: str | None, run_id: str, number: int) -> str:
    """Return the id of a request, of one without a name that no other has."""
    return request_id or f"{run_id}-{number}"


def _of_batches(batches: Sequence[ScoredBatch]) -> Iterator[tuple[str, pa.Array]]:
    read = np.rint(np.array([one.read_seconds for one in batches]) * _MICROSECONDS)
    yield compact.BATCH_NUMBER, pa.array([one.number for one in batches], pa.int64())
    yield compact.BATCH_NOW, pa.array([one.now for one in batches], pa.int64())
    yield compact.BATCH_READ, pa.array(np.minimum(read, np.iinfo(np.int32).max).astype(np.int32))
    yield compact.BATCH_ROWS, pa.array([len(one.query) for one in batches], pa.int32())


def _input(batch: ScoredBatch, name: str, candidate: str) -> NDArray[Any]:
    query = batch.query
    if name == candidate:
        return query.candidate
    return query.keys[name] if name in query.keys else query.request[name]


def as_arrow(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    """Return values in a type that holds them, null where one is missing: NaN and None are."""
    if values.dtype.kind == "O":
        known = [None if one is None or one != one else one for one in values.tolist()]  # noqa: PLR0124 - NaN
        return pa.array(known, kind)
    if values.dtype.kind != "f":
        return pa.array(values).cast(kind)
    return pa.array(values, mask=np.isnan(values)).cast(kind)
