"""A model is tried on rows that the online store has, read and scored as a request's are, before it takes over."""

import asyncio

import numpy as np
from numpy.typing import NDArray

from driver_ranking.errors import ModelError, ModelTrialError, StoreUnavailableError
from driver_ranking.serving.champion import Champion, ScoredDrivers
from driver_ranking.serving.coalescing import Coalescer

_ROWS = 100


async def try_on_stored_rows(champion: Champion, read_timeout: float) -> bool:
    """Let a model score some drivers of the store, together and one alone.

    Args:
        champion: The model with the reader of its features.
        read_timeout: How long each read of the store may take, in seconds.

    Returns:
        Whether there were any with all features, so that it was tried. A store that has none, or does not answer, says
        nothing about a model.

    Raises:
        ModelTrialError: It fails, does not answer in time, or gives scores that are not finite numbers.
        DriverRankingError: Its features can't be read, though the store answers.
    """
    try:
        driver_id = await _sample(champion, read_timeout)
        if not driver_id.size:
            return False
        together = await _scored(champion, driver_id, read_timeout)
        complete = driver_id[together.rows.scored]
        if not complete.size:
            return False
        await _scored(champion, complete[:1], read_timeout)
    except StoreUnavailableError:
        return False
    except ModelError as error:
        fails = f"The {champion.model.label} fails on rows that the online store has"
        message, reason = f"{fails}: {error}", f"{fails}: {error.public_message}"
        raise ModelTrialError(message, reason) from error
    return True


async def _sample(champion: Champion, read_timeout: float) -> NDArray[np.int64]:
    loop = asyncio.get_running_loop()
    looking = loop.run_in_executor(champion.reads, champion.reader.sample, _ROWS)
    done, _ = await asyncio.wait([looking], timeout=read_timeout)
    return looking.result() if done else np.empty(0, dtype=np.int64)


async def _scored(champion: Champion, driver_id: NDArray[np.int64], read_timeout: float) -> ScoredDrivers:
    scored = await Coalescer(lambda: champion.score, time_limit=read_timeout, max_waiting=1).submit(driver_id)
    if not np.isfinite(scored.rows.score[scored.rows.scored]).all():
        message = "it gives scores that are not finite numbers."
        raise ModelTrialError(message, message)
    return scored
