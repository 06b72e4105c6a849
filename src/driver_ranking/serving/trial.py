"""A model is tried on rows that the online store has, read and scored as a request's are, before it takes over."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from driver_ranking.errors import ModelError, ModelTrialError, StoreUnavailableError
from driver_ranking.features import FeatureRows
from driver_ranking.model_trial import example_rows
from driver_ranking.serving.champion import Champion, ScoredCandidates
from driver_ranking.serving.coalescing import Coalescer
from driver_ranking.serving.contract import DTYPES
from driver_ranking.serving.query import RankingQuery

T = TypeVar("T")

_ROWS, _EXAMPLE = 100, 3


class Outcome(Enum):
    """What may come of a trial."""

    PASSED = auto()
    NO_ROWS = auto()
    NOT_POSSIBLE = auto()


@dataclass(frozen=True)
class Trial:
    """What came of a trial.

    Attributes:
        outcome: Whether the model was tried.
        example: A request of a few candidates that can be answered; None if none is known.
    """

    outcome: Outcome
    example: RankingQuery | None = None


async def try_on_stored_rows(champion: Champion, read_timeout: float) -> Trial:
    """Let a model score some candidates of the store, together and one alone.

    Args:
        champion: The model with the reader of its features.
        read_timeout: How long each read of the store may take, in seconds.

    Returns:
        Whether there were any with all features, so that it was tried. A store that has none, or does not answer, says
        nothing about a model. It is not possible where what else requests have can't be told: other keys, or request
        features of which the model's input example has none.

    Raises:
        ModelTrialError: It fails, does not answer in time, or gives scores that are not finite numbers.
        DriverRankingError: Its features can't be read, though the store answers.
    """
    request = await _example(champion, read_timeout)
    if request is None or champion.contract.keys or champion.contract.candidate.datatype == "BYTES":
        return Trial(Outcome.NOT_POSSIBLE)
    try:
        candidate = await _within(champion, read_timeout, lambda: champion.reader.sample(_ROWS))
        if candidate is None or not candidate.size:
            return Trial(Outcome.NO_ROWS)
        together = await _scored(champion, RankingQuery(candidate, {}, request), read_timeout)
        complete = candidate[together.rows.scored]
        if not complete.size:
            return Trial(Outcome.NO_ROWS)
        await _scored(champion, RankingQuery(complete[:1], {}, request), read_timeout)
    except StoreUnavailableError:
        return Trial(Outcome.NO_ROWS)
    except ModelError as error:
        fails = f"The {champion.model.label} fails on rows that the online store has"
        message, reason = f"{fails}: {error}", f"{fails}: {error.public_message}"
        raise ModelTrialError(message, reason) from error
    return Trial(Outcome.PASSED, RankingQuery(complete[:_EXAMPLE], {}, request))


async def _example(champion: Champion, time_limit: float) -> dict[str, NDArray[Any]] | None:
    """Return what a request of the model's input example has beside the keys; None where it does not say."""
    wanted = champion.contract.request
    if not wanted:
        return {}
    if not {one.name for one in wanted} <= set(champion.model.feature_names):
        return None
    rows = await _within(champion, time_limit, lambda: example_rows(champion.model))
    if rows is None or not len(rows):
        return None
    numbers, texts = (rows.numbers, rows.texts) if isinstance(rows, FeatureRows) else (rows, {})
    columns = dict(zip(champion.model.number_columns, numbers[:1].T, strict=True))
    return {
        one.name: texts[one.name][:1] if one.name in texts else columns[one.name].astype(DTYPES[one.datatype])
        for one in wanted
    }


async def _within(champion: Champion, time_limit: float, work: Callable[[], T]) -> T | None:
    """Do something in the thread that reads; None if it takes too long."""
    working = asyncio.get_running_loop().run_in_executor(champion.reads, work)
    done, _ = await asyncio.wait([working], timeout=time_limit)
    return working.result() if done else None


async def _scored(champion: Champion, query: RankingQuery, read_timeout: float) -> ScoredCandidates:
    scored = await Coalescer(lambda _: champion.score, time_limit=read_timeout, max_waiting=1).submit(query)
    if not np.isfinite(scored.rows.score[scored.rows.scored]).all():
        message = "it gives scores that are not finite numbers."
        raise ModelTrialError(message, message)
    return scored
