"""Looks after the online store: whether it answers, and whether it has the features that the model takes."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from numpy.typing import NDArray

from driver_ranking.errors import DriverRankingError, FeaturesLostError, StoreUnavailableError
from driver_ranking.ranking import UNREADABLE
from driver_ranking.serving.champion import Champion
from driver_ranking.serving.contract import listed
from driver_ranking.serving.fault_log import faults

logger = logging.getLogger("mlserver.driver_ranking")

NOT_READY = "Not ready"

_RECENT = 0.1  # seconds that what was seen counts for requests whose drivers all have no features

Look = Callable[[Champion], Awaitable[tuple[str, ...]]]


class StoreWatch:
    """Knows what was last seen of the store. Used from one event loop.

    Attributes:
        answers: Whether features could be read, and were there, when it was looked at last.
        problem: Why not.
    """

    def __init__(self, look: Look) -> None:
        """See nothing yet.

        Args:
            look: Names the feature views that a champion's store lacks, see ``OnlineReader.lacking``; while nothing
                else is read.
        """
        self._look = look
        self._looking: asyncio.Task[DriverRankingError | None] | None = None
        self._seen_at = -1.0
        self.answers = False
        self.problem: str | None = None

    async def look(self, champion: Champion) -> None:
        """Look at the store now."""
        error = await self._seen(champion)
        before, self.answers = self.answers, error is None
        self.problem = error.public_message if error else None
        if error is not None:
            faults().occurred(NOT_READY, str(error))
            return
        faults().ended(NOT_READY)
        if not before:
            logger.info("Ready.")

    async def require_features(self, champion: Champion) -> None:
        """Say so if the store has no features at all, rather than none of a request's drivers.

        Many requests share one look.

        Raises:
            FeaturesLostError: It has none.
        """
        loop = asyncio.get_running_loop()
        if self._looking is None and loop.time() - self._seen_at < _RECENT:
            return
        if self._looking is None:
            self._looking = loop.create_task(self._seen(champion))
        looking = self._looking
        error = await asyncio.shield(looking)
        if self._looking is looking:
            self._looking = None
        if isinstance(error, FeaturesLostError):
            raise FeaturesLostError(str(error))

    async def _seen(self, champion: Champion) -> DriverRankingError | None:
        """Return what is wrong with the store."""
        try:
            lacking = await self._look(champion)
        except DriverRankingError as error:
            return error
        except Exception as error:  # noqa: BLE001 - whatever it is, the next look must come
            message = f"The online store can't be looked at: {type(error).__name__}: {error}"
            return StoreUnavailableError(message)
        if not lacking:
            self._seen_at = asyncio.get_running_loop().time()
            return None
        named = ", ".join(map(repr, lacking))
        message = f"The online feature store has no features of {named}. Materialize them; then they are served."
        return FeaturesLostError(message)


def log_unreadable(candidate: NDArray[Any], noun: str = "driver") -> None:
    """Write down of which candidates the store holds what can't be read.

    Args:
        candidate: The candidates ``[n]``, at least one.
        noun: What messages call one.
    """
    named = f"{'drivers' if noun == 'driver' else noun} {listed(candidate)}"
    why = "something spoilt, or an integer beyond 2^53, which no double holds exactly"
    cause = f"The online store holds what can't be read of {named} ({why}); they are excluded"
    faults().occurred(UNREADABLE, cause)
