"""Answers as rows of the log, many at once."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driver_ranking.prediction_log import columns as names
from driver_ranking.prediction_log.places import HOUR
from driver_ranking.serving.prediction_log.batch_columns import BatchColumns
from driver_ranking.serving.prediction_log.entries import Answer, LoggedModel, Rows, ScoredBatch
from driver_ranking.serving.prediction_log.privacy import Privacy

_DAY: Final = 24 * HOUR
_MICROSECONDS: Final = 1e6


class RowBuilder:
    """Makes rows of answers. Used from one thread."""

    def __init__(self, run_id: str, privacy: Privacy) -> None:
        """Have numbered no batch yet.

        Args:
            run_id: The run of the process.
            privacy: What is kept out.
        """
        self._run_id, self._privacy = run_id, privacy
        self._batches = 0

    def rows(self, answers: Sequence[Answer]) -> list[Rows]:
        """Return the rows of some answers, apart by model and hour, in their order."""
        groups: dict[tuple[LoggedModel, int], list[Answer]] = {}
        for one in answers:
            groups.setdefault((one.batch.logged, one.batch.now // HOUR), []).append(one)
        return [Rows(logged, hour, self._batch(logged, some)) for (logged, hour), some in groups.items()]

    def _batch(self, logged: LoggedModel, answers: Sequence[Answer]) -> pa.RecordBatch:
        batches, places, orders, given, ids, traces, numbers = zip(*answers, strict=True)
        distinct = list(dict.fromkeys(batches))
        self._number(distinct)
        counts, where = _where(distinct, batches, places)
        answer = np.repeat(np.arange(len(answers), dtype=np.int32), counts)
        found = BatchColumns(logged, distinct).all()
        columns = {name: self._privacy.applied(name, column) for name, column in found.items()}
        if where is not None:
            columns = {name: column.take(where) for name, column in columns.items()}
        columns |= _of_batches(batches, answer)
        columns |= {names.ANSWER: pa.array(np.array(numbers, dtype=np.int64)[answer])}
        columns |= _of_ranking(counts, orders, np.array(given, dtype=np.int32)[answer])
        texts = {names.REQUEST_ID: self._named(ids, numbers), names.TRACE_ID: list(traces)}
        columns |= {name: self._texts(name, answer, values) for name, values in texts.items()}
        return self._record(logged, columns, len(answer))

    def _number(self, batches: Sequence[ScoredBatch]) -> None:
        for one in batches:
            if one.number is None:
                one.number = self._batches
                self._batches += 1

    def _named(self, ids: Sequence[str | None], numbers: Sequence[int]) -> list[str]:
        return [given_id(one, self._run_id, number) for one, number in zip(ids, numbers, strict=True)]

    def _texts(self, name: str, place: NDArray[np.int32], values: Sequence[str | None]) -> pa.Array:
        found = self._privacy.applied(name, pa.array(values, pa.string()))
        return found.dictionary_encode().take(pa.array(place))  # nulls are no part of a dictionary: Parquet wants that

    def _record(self, logged: LoggedModel, columns: dict[str, pa.Array], count: int) -> pa.RecordBatch:
        """Return the rows in the order of the schema, with what is the same for all of them, and nulls for the rest."""
        constants = {
            names.RUN_ID: self._run_id,
            names.MODEL_NAME: logged.model.name,
            names.MODEL_VERSION: logged.model.version,
            names.FEATURE_SERVICE: logged.model.feature_service,
        }
        same = pa.array(np.zeros(count, dtype=np.int8))
        columns |= {name: pa.DictionaryArray.from_arrays(same, [text]) for name, text in constants.items()}
        arrays = [
            columns[field.name] if field.name in columns else pa.nulls(count, field.type) for field in logged.spooled
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=logged.spooled)


def given_id(request_id: str | None, run_id: str, number: int) -> str:
    """Return the id of a request, of one without a name that no other has."""
    return request_id or f"{run_id}-{number}"


def _where(
    distinct: Sequence[ScoredBatch], batches: Sequence[ScoredBatch], places: Sequence[NDArray[Any] | None]
) -> tuple[NDArray[np.intp], pa.Array | None]:
    """Return how many rows each answer has, and where they are in the batches; None if these are they, in order."""
    found = [
        np.arange(len(batch.query)) if place is None else place for batch, place in zip(batches, places, strict=True)
    ]
    counts = np.array(list(map(len, found)))
    if len(distinct) == len(batches) and all(place is None for place in places):
        return counts, None
    lengths = [len(one.query) for one in distinct]
    begins = dict(zip(distinct, np.cumsum([0, *lengths]).tolist(), strict=False))
    return counts, pa.array(np.concatenate(found) + np.repeat([begins[one] for one in batches], counts))


def _of_batches(batches: Sequence[ScoredBatch], answer: NDArray[np.int32]) -> dict[str, pa.Array]:
    """Return what is said of the batch of each answer."""
    now = np.array([one.now for one in batches], dtype=np.int64)
    read = np.array([one.read_seconds for one in batches])
    number = np.array([one.number for one in batches], dtype=np.int64)
    microseconds = np.minimum(np.rint(read * _MICROSECONDS), np.iinfo(np.int32).max).astype(np.int32)
    return {
        names.LOG_TIMESTAMP: pa.array(now[answer], names.MICROSECONDS),
        names.LOG_DATE: pa.array((now // _DAY).astype(np.int32)[answer], pa.date32()),
        names.BATCH: pa.array(number[answer]),
        names.READ_MICROSECONDS: pa.array(microseconds[answer]),
    }


def _of_ranking(
    counts: NDArray[np.intp], orders: Sequence[NDArray[Any]], given: NDArray[np.int32]
) -> dict[str, pa.Array]:
    """Return where candidates stand in the request and in the ranking.

    Args:
        counts: How many candidates each answer has.
        orders: The places of the ranked among them, best first.
        given: How many of these were given, for each row.
    """
    total = int(counts.sum())
    begins = np.cumsum(counts) - counts
    ranked = np.array(list(map(len, orders)))
    place = np.concatenate(orders) + np.repeat(begins, ranked)
    rank = np.zeros(total, dtype=np.int32)
    rank[place] = 1 + np.arange(len(place)) - np.repeat(np.cumsum(ranked) - ranked, ranked)
    return {
        names.POSITION: pa.array((np.arange(total) - np.repeat(begins, counts)).astype(np.int32)),
        names.RANK: pa.array(rank, mask=rank == 0),
        names.GIVEN: pa.array((rank > 0) & (rank <= given)),
    }
