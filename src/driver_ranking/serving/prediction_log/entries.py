"""What is kept of a batch and of an answer until it is written: references to arrays that nobody changes any more."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

import pyarrow as pa
from numpy.typing import NDArray

from driver_ranking.features import Defaults, Features
from driver_ranking.model_version import RegisteredModel
from driver_ranking.prediction_log import columns as names
from driver_ranking.prediction_log.schema import LogSchema
from driver_ranking.ranking import ScoredRows
from driver_ranking.serving.query import RankingQuery
from feast_columnar.online.features import RowTimes

_IN_DICTIONARIES: Final = {
    **dict.fromkeys((names.REQUEST_ID, names.TRACE_ID), pa.int32()),
    **dict.fromkeys((names.RUN_ID, names.STATUS, names.MODEL_NAME, names.MODEL_VERSION), pa.int8()),
    names.FEATURE_SERVICE: pa.int8(),
}


@dataclass(frozen=True, eq=False)
class LoggedModel:
    """A loaded model, as far as its log goes.

    Attributes:
        model: Which one.
        schema: What its log has.
        candidate: The key of what is ranked.
        defaults: What stands for missing features.
        described: What each file says of it.
    """

    model: RegisteredModel
    schema: LogSchema
    candidate: str
    defaults: Defaults | None
    described: Mapping[str, Any]

    @cached_property
    def spooled(self) -> pa.Schema:
        """Return the columns as they are spooled: what is the same for many rows is in a dictionary."""
        fields = [
            field.with_type(pa.dictionary(_IN_DICTIONARIES[field.name], field.type))
            if field.name in _IN_DICTIONARIES
            else field
            for field in self.schema.with_metadata(self.described)
        ]
        return pa.schema(fields, self.schema.with_metadata(self.described).metadata)


@dataclass(eq=False, slots=True)
class ScoredBatch:
    """What was read and scored together. Nothing of it is changed but its number, which the writer gives it.

    Attributes:
        logged: The model that scored it.
        query: The candidates, with what else was asked.
        now: When they were read, in microseconds since the epoch, UTC.
        read_seconds: How long that took.
        features: What was read, before defaults stand for what is missing.
        rows: The scores.
        times: Which stored rows the features come from.
        unreadable: See ``OnlineFeatures``.
        number: Its number, once it has one.
    """

    logged: LoggedModel
    query: RankingQuery
    now: int
    read_seconds: float
    features: Features
    rows: ScoredRows
    times: tuple[RowTimes, ...]
    unreadable: NDArray[Any] | None
    number: int | None = None


class Answer(NamedTuple):
    """One answer.

    Attributes:
        batch: The batch that it is of.
        places: intp ``[n]``, which rows of the batch its candidates are; None for all, in order.
        order: intp ``[r]``, the places of those that were ranked among its candidates, best first.
        given: How many of these were given.
        request_id: The request's id; None of one without.
        trace_id: Its trace; None of one without.
        number: The number of the answer.
    """

    batch: ScoredBatch
    places: NDArray[Any] | None
    order: NDArray[Any]
    given: int
    request_id: str | None
    trace_id: str | None
    number: int

    @property
    def rows(self) -> int:
        """Return how many candidates it has."""
        return len(self.batch.query) if self.places is None else len(self.places)


class Rows(NamedTuple):
    """Rows of one model and hour, ready to be written.

    Attributes:
        logged: The model.
        hour: The hour, in hours since the epoch, UTC.
        batch: The rows.
    """

    logged: LoggedModel
    hour: int
    batch: pa.RecordBatch
