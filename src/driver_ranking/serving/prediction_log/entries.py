"""What is kept of a batch and of an answer until it is written: references to arrays that nobody changes any more."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import pyarrow as pa
from numpy.typing import NDArray

from driver_ranking.features import Features
from driver_ranking.model_version import RegisteredModel
from driver_ranking.ranking import ScoredRows
from driver_ranking.serving.query import RankingQuery
from feast_columnar.online.features import RowTimes


@dataclass(frozen=True, eq=False)
class LoggedModel:
    """A loaded model, as far as its log goes.

    Attributes:
        model: Which one.
        schema: What its log has, with what each file says of it.
        inputs: Which of these columns hold what requests had.
        candidate: The one of what is ranked.
        columns: The columns of the log that have the model's features, by the names of the signature.
        views: The views that features come from, each with one of the model's columns that does.
    """

    model: RegisteredModel
    schema: pa.Schema
    inputs: tuple[str, ...]
    candidate: str
    columns: dict[str, str]
    views: dict[str, str]

    @cached_property
    def numbers(self) -> tuple[str, ...]:
        """Return the model's columns that are numbers."""
        return self.model.number_columns

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """Return those that are not."""
        return self.model.text_columns


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
        rows: How many candidates it has.
        places: intp ``[n]``, which rows of the batch these are; None for all, in order.
        order: intp ``[r]``, the places of those that were ranked among its candidates, best first.
        given: How many of these were given.
        request_id: The request's id; None of one without.
        trace_id: Its trace; None of one without.
        number: The number of the answer.
    """

    batch: ScoredBatch
    rows: int
    places: NDArray[Any] | None
    order: NDArray[Any]
    given: int
    request_id: str | None
    trace_id: str | None
    number: int


class Frame(NamedTuple):
    """Answers of one model and hour, ready to be written.

    Attributes:
        logged: The model.
        hour: The hour, in hours since the epoch, UTC.
        rows: How many rows of the log they are.
        content: They.
    """

    logged: LoggedModel
    hour: int
    rows: int
    content: pa.RecordBatch
