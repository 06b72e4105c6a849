"""A model is tried on rows that the online store has, read and scored as a request's are, before it takes over."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from driver_ranking.errors import DriverRankingError, ModelError, ModelTrialError, StoreUnavailableError
from driver_ranking.features import FeatureRows
from driver_ranking.model_trial import example_rows
from driver_ranking.serving.champion import Champion, ScoredCandidates
from driver_ranking.serving.coalescing import Coalescer
from driver_ranking.serving.contract import DTYPES, Input
from driver_ranking.serving.query import RankingQuery

T = TypeVar("T")

_ROWS, _EXAMPLE = 100, 3
_NOT_TOLD = RankingQuery(np.empty(0, dtype=np.int64))
_WIDE = {"INT32": "INT64", "INT64": "INT64"}  # as queries have integers


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
        nothing about a model. It is not possible where the store is of a kind whose keys can't be told, or where what
        else requests have can't be: request features of which the model's input example has none.

    Raises:
        ModelTrialError: It fails, does not answer in time, or gives scores that are not finite numbers.
        DriverRankingError: Its features can't be read, though the store answers.
    """
    request = await _example(champion, read_timeout)
    try:
        keys = await _within(champion, read_timeout, lambda: _sampled(champion))
        if keys is _NOT_TOLD:
            return Trial(Outcome.NOT_POSSIBLE)
        if keys is None or not len(keys):
            return Trial(Outcome.NO_ROWS)
        if request is None:
            return Trial(Outcome.NOT_POSSIBLE, await _with_made_up_request(champion, keys, read_timeout))
        together = await _scored(champion, replace(keys, request=request), read_timeout)
        complete = keys.candidate[together.rows.scored]
        if not complete.size:
            return Trial(Outcome.NO_ROWS)
        await _scored(champion, RankingQuery(complete[:1], keys.keys, request), read_timeout)
    except StoreUnavailableError:
        return Trial(Outcome.NO_ROWS)
    except ModelError as error:
        fails = f"The {champion.model.label} fails on rows that the online store has"
        message, reason = f"{fails}: {error}", f"{fails}: {error.public_message}"
        raise ModelTrialError(message, reason) from error
    return Trial(Outcome.PASSED, RankingQuery(complete[:_EXAMPLE], keys.keys, request))


def _sampled(champion: Champion) -> RankingQuery:
    """Return candidates that the store has rows of, with the other keys, or that it can't be told."""
    contract = champion.contract
    if not contract.keys and contract.candidate.datatype != "BYTES":
        return RankingQuery(champion.reader.sample(_ROWS))
    found = champion.reader.sample_keys(contract.candidate.name, _ROWS)
    if found is None:
        return _NOT_TOLD
    columns = {
        name: np.array(values, DTYPES[_WIDE.get(contract.inputs[name].datatype, "BYTES")])
        for name, values in found.items()
    }
    return RankingQuery(columns.pop(contract.candidate.name), columns)


async def _with_made_up_request(champion: Champion, keys: RankingQuery, read_timeout: float) -> RankingQuery | None:
    """Return a request that can be answered, with request features that are made up; None if that one can't be."""
    request = {one.name: np.array([_made_up(one)], DTYPES[one.datatype]) for one in champion.contract.request}
    with suppress(DriverRankingError):  # it says nothing about the model
        together = await _scored(champion, replace(keys, request=request), read_timeout)
        complete = keys.candidate[together.rows.scored]
        return RankingQuery(complete[:_EXAMPLE], keys.keys, request) if complete.size else None
    return None


def _made_up(one: Input) -> float | str | bytes:
    return 1 if one.datatype != "BYTES" else "a" if one.is_text else b"a"


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
