"""The online service, without a server around it: ranks drivers with the champion, swaps it, and knows its health."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from driver_ranking.errors import DriverRankingError, NoRankableDriverError
from driver_ranking.model import RegisteredModel
from driver_ranking.ranking import Ranking, rank, require_finite
from driver_ranking.serving.champion import Champion, ChampionLoader, ScoredDrivers
from driver_ranking.serving.coalescing import Coalescer, Score
from driver_ranking.serving.loading import NO_MODEL, ChampionKeeper
from driver_ranking.serving.metrics import ranking_metrics
from driver_ranking.serving.settings import RuntimeSettings

logger = logging.getLogger("mlserver.driver_ranking")

_LISTED = 10  # how many drivers a message names
_PROBE = np.zeros(1, dtype=np.int64)


@dataclass(frozen=True)
class Ranked:
    """The answer to a request.

    Attributes:
        ranking: The drivers.
        model: The model that scored them.
    """

    ranking: Ranking
    model: RegisteredModel


class RankingService:
    """Ranks drivers with the champion of the moment. Used from one event loop."""

    def __init__(self, loader: ChampionLoader, settings: RuntimeSettings) -> None:
        """Load nothing yet.

        Args:
            loader: Loads the champion, in a thread.
            settings: The settings.
        """
        self.settings = settings
        self._champions = ChampionKeeper(loader, settings, self._probe)
        self._problem = NO_MODEL
        self._store_answers = False
        self._tasks: list[asyncio.Task[None]] = []
        self._metrics = ranking_metrics()
        self._coalescer = Coalescer(
            self._scoring, time_limit=settings.online_read_timeout, max_waiting=settings.max_waiting_requests
        )

    @property
    def model(self) -> RegisteredModel | None:
        """Return the model that is served; None before there is one."""
        champion = self._champions.champion
        return champion.model if champion else None

    @property
    def ready(self) -> bool:
        """Return whether requests can be answered: there is a model, it answers, and its features can be read."""
        return self._store_answers and self._champions.problem is None

    @property
    def problem(self) -> str | None:
        """Return why it is not ready, fit for a client; None where it is."""
        return None if self.ready else self._champions.problem or self._problem

    @property
    def unloaded(self) -> bool:
        """Return whether the model was taken out of service."""
        return self._champions.unloaded

    async def start(self) -> bool:
        """Load the champion and return whether that worked; where it did not, go on trying, and say why in the log."""
        await self._champions.try_to_load()
        self._run(self._keep_probing())
        self._run(self._champions.keep_loading())
        return self._champions.champion is not None

    async def close(self) -> None:
        """Stop looking after the store and the alias; let go of both once what was asked is answered."""
        self.stop()
        self._metrics.ready.set(0)
        await self._coalescer.idle()
        if self._champions.champion is not None:
            self._champions.champion.close()

    def stop(self) -> None:
        """Begin nothing that requests don't ask for, and give up what is being loaded: the process is about to end."""
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()
        self._champions.stop()

    async def reload(self, loader: ChampionLoader | None = None) -> RegisteredModel:
        """Load the version that the alias names now, and swap it in; requests on their way end with the one before.

        Args:
            loader: What loads from now on, if it is another one.

        Raises:
            ModelRefusedError: The version can't be served; the one before goes on, if there is one.
            DriverRankingError: There is no model yet and none can be found.
        """
        return await self._champions.load(loader)

    async def unload(self) -> None:
        """Take the model out of service; `reload` brings it back."""
        await self._champions.unload()
        self._metrics.ready.set(0)

    async def rank(self, driver_id: NDArray[np.int64], top_k: int, request_id: str | None = None) -> Ranked:
        """Rank the drivers of a request.

        Args:
            driver_id: int64 ``[n]``, n at least 1.
            top_k: How many to return at most.
            request_id: How the log names the request.

        Raises:
            NotReadyError: No model is loaded.
            NoRankableDriverError: None of the drivers has all features.
            NonFiniteScoreError: The model gave a score that is not a finite number.
            StoreUnavailableError: The online store can't be read, or not in time.
            OverloadedError: Too many requests wait.
        """
        start = time.perf_counter()
        scored = await self._coalescer.submit(driver_id)
        require_finite(scored.rows, lambda index: f"driver {driver_id[index]}")
        ranking = rank(driver_id, scored.rows, top_k=top_k)
        self._observe(driver_id, ranking, scored)
        if not ranking.driver_id.size:
            raise _none_left(ranking.excluded_driver_id)
        if self.settings.log_requests:
            logger.info(
                "ranked id=%s drivers=%d excluded=%d model_version=%s ms=%.2f",
                printable(request_id),
                len(driver_id),
                len(ranking.excluded_driver_id),
                scored.model.version,
                (time.perf_counter() - start) * 1000,
            )
        return Ranked(ranking, scored.model)

    def _scoring(self) -> Score:
        """Return what scores a batch: the champion at its start."""
        return self._timed(self._champions.require())

    def _timed(self, champion: Champion) -> Score:
        async def score(driver_id: NDArray[np.int64], was_read: Callable[[], None]) -> ScoredDrivers:
            scored = await champion.score(driver_id, was_read)
            self._metrics.online_read.observe(scored.read_seconds)
            self._metrics.predict.observe(scored.predict_seconds)
            return scored

        return score

    def _observe(self, driver_id: NDArray[np.int64], ranking: Ranking, scored: ScoredDrivers) -> None:
        self._metrics.drivers_requested.inc(len(driver_id))
        self._metrics.drivers_excluded.inc(len(ranking.excluded_driver_id))
        age = scored.age_seconds
        if age is not None:
            self._metrics.feature_age.observe(age)

    def _run(self, work: Coroutine[None, None, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work))

    async def _keep_probing(self) -> None:
        while True:
            await asyncio.sleep(self.settings.readiness_interval)
            await self._probe()

    async def _probe(self) -> None:
        """Read one driver's features, as a request does, and remember whether that works."""
        if self._champions.champion is None:
            return
        before = self._store_answers
        try:
            await self._coalescer.submit(_PROBE, must_run=True)
        except DriverRankingError as error:
            self._store_answers, self._problem = False, error.public_message
            if before:
                logger.warning("Not ready: %s", error)
        else:
            self._store_answers = True
            if not before:
                logger.info("Ready.")
        self._metrics.ready.set(float(self.ready))


def _none_left(excluded: NDArray[np.int64]) -> NoRankableDriverError:
    named = ", ".join(map(str, excluded[:_LISTED].tolist()))
    more = ", ..." if excluded.size > _LISTED else ""
    message = (
        f"No driver of the request can be ranked: there are no features, or none that are recent enough, "
        f"for {named}{more}."
    )
    return NoRankableDriverError(message)


def printable(text: str | None) -> str:
    """Return a client's text so that it can't forge a line of the log."""
    return "-" if not text else text[:128].encode("unicode_escape").decode("ascii")
