"""The online service, without a server around it: ranks drivers with the champion, swaps it, and knows its health."""

import asyncio
import contextlib
import ctypes
import gc
import logging
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from driver_ranking.errors import DriverRankingError, ModelRefusedError, NoRankableDriverError, NotReadyError
from driver_ranking.feature_store.online import OnlineReader
from driver_ranking.model import RegisteredModel
from driver_ranking.ranking import Ranking, rank, require_finite
from driver_ranking.serving.champion import Champion, ChampionLoader, ScoredDrivers
from driver_ranking.serving.coalescing import Coalescer, Score
from driver_ranking.serving.fault_log import faults
from driver_ranking.serving.metrics import ranking_metrics
from driver_ranking.serving.settings import RuntimeSettings
from driver_ranking.serving.store_watch import StoreWatch, log_unreadable

logger = logging.getLogger("mlserver.driver_ranking")

NO_MODEL = "No model is loaded yet."

_LISTED = 10  # how many drivers a message names


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
        self._loader = loader
        self._champion: Champion | None = None
        self._loading = asyncio.Lock()
        self._problem = NO_MODEL
        self._watch = StoreWatch(self._lacking)
        self._tasks: list[asyncio.Task[None]] = []
        self._metrics = ranking_metrics()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="online-read")
        self._coalescer = Coalescer(
            self._scoring, time_limit=settings.online_read_timeout, max_waiting=settings.max_waiting_requests
        )

    @property
    def model(self) -> RegisteredModel | None:
        """Return the model that is served; None before there is one."""
        return self._champion.model if self._champion else None

    @property
    def ready(self) -> bool:
        """Return whether requests can be answered: there is a model, and its features can be read."""
        return self._champion is not None and self._watch.answers

    @property
    def problem(self) -> str | None:
        """Return why it is not ready, fit for a client; None where it is."""
        return None if self.ready else (self._champion and self._watch.problem) or self._problem

    async def start(self) -> bool:
        """Load the champion and return whether that worked; where it did not, go on trying, and say why in the log."""
        await self._try_to_load()
        self._run(self._keep_probing())
        self._run(self._keep_loading())
        return self._champion is not None

    async def close(self) -> None:
        """Stop looking after the store and the alias; let go of both once what was asked is answered."""
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()
        self._metrics.ready.set(0)
        await self._coalescer.idle()
        self._thread.shutdown(wait=False)
        if self._champion is not None:
            self._champion.reader.close()

    async def reload(self, loader: ChampionLoader | None = None) -> RegisteredModel:
        """Load the version that the alias names now, and swap it in; requests on their way end with the one before.

        Args:
            loader: What loads from now on, if it is another one.

        Raises:
            DriverRankingError: There is no model yet and none can be loaded.
            ModelRefusedError: The new version can't be served; the one before goes on.
        """
        async with self._loading:
            try:
                champion = await asyncio.to_thread((loader or self._loader).load)
            except DriverRankingError as error:
                raise self._refused(error) from error
            before = self._champion
            self._champion, self._loader = champion, loader or self._loader
        if before is None:
            _settle_memory()
        else:
            before.reader.close()
        self._metrics.model_version.set(float(champion.model.version))
        logger.info("Serving the %s with feature service %r.", champion.model.label, champion.model.feature_service)
        await self._probe()
        return champion.model

    def _refused(self, error: DriverRankingError) -> DriverRankingError:
        if self._champion is None:
            return error
        kept = f"The {self._champion.model.label} goes on serving."
        message = f"The new version is refused: {error} {kept}"
        logger.warning(message)
        return ModelRefusedError(message, f"The new version is refused: {error.public_message} {kept}")

    async def rank(self, driver_id: NDArray[np.int64], top_k: int, request_id: str | None = None) -> Ranked:
        """Rank the drivers of a request.

        Args:
            driver_id: int64 ``[n]``, n at least 1.
            top_k: How many to return at most.
            request_id: How the log names the request.

        Raises:
            NotReadyError: No model is loaded.
            FeaturesLostError: The online store has no features at all.
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
            if self._champion is not None:
                await self._watch.require_features(self._champion.reader)
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
        if self._champion is None:
            raise NotReadyError(self._problem)
        return self._timed(self._champion)

    def _timed(self, champion: Champion) -> Score:
        async def score(driver_id: NDArray[np.int64]) -> ScoredDrivers:
            scored = await champion.score(driver_id, self._thread)
            self._metrics.online_read.observe(scored.read_seconds)
            self._metrics.predict.observe(scored.predict_seconds)
            if scored.unreadable is not None:
                log_unreadable(driver_id[scored.unreadable])
            return scored

        return score

    def _observe(self, driver_id: NDArray[np.int64], ranking: Ranking, scored: ScoredDrivers) -> None:
        self._metrics.drivers_requested.inc(len(driver_id))
        self._metrics.drivers_excluded.inc(len(ranking.excluded_driver_id))
        if scored.unreadable is not None:
            self._metrics.drivers_unreadable.inc(len(set(driver_id[scored.unreadable].tolist())))
        age = scored.age_seconds
        if age is not None:
            self._metrics.feature_age.observe(age)

    def _run(self, work: Coroutine[None, None, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work))

    async def _keep_probing(self) -> None:
        while True:
            await asyncio.sleep(self.settings.readiness_interval)
            await self._probe()
            faults().settle()

    async def _probe(self) -> None:
        """Look whether the store answers and has features, and remember it."""
        if self._champion is None:
            return
        await self._watch.look(self._champion.reader)
        self._metrics.ready.set(float(self.ready))

    async def _lacking(self, reader: OnlineReader) -> tuple[str, ...]:
        loop = asyncio.get_running_loop()
        return await self._coalescer.exclusively(lambda: loop.run_in_executor(self._thread, reader.lacking))

    async def _keep_loading(self) -> None:
        """While there is no model, look for one; later follow the alias, if that is asked for."""
        refused: str | None = None
        while True:
            if self._champion is None:
                await asyncio.sleep(self.settings.load_retry_interval)
                await self._try_to_load()
            elif self.settings.watch_alias_interval:
                await asyncio.sleep(self.settings.watch_alias_interval)
                refused = await self._follow_alias(self._champion.model.version, refused)
            else:
                return

    async def _try_to_load(self) -> None:
        """Load the first model; say why that does not work, once for each reason."""
        try:
            await self.reload()
        except DriverRankingError as error:
            if self._problem != error.public_message:
                logger.error("Not ready: %s", error)  # noqa: TRY400 - the message is what helps, its cause is known
            self._problem = error.public_message

    async def _follow_alias(self, served: str, refused: str | None) -> str | None:
        """Serve what the alias names, unless it was refused before; return the version that was refused last."""
        named = refused
        with contextlib.suppress(DriverRankingError):  # the version before serves on; refusals are logged where made
            named = await asyncio.to_thread(self._loader.named_version)
            if named not in {served, refused}:
                await self.reload()
        return None if self.model and self.model.version == named else named


def _settle_memory() -> None:
    """Take what the imports and the model have made out of garbage collection, which would go through all of it.

    What they have left over is given back to the system.

    Only with the first model: a full collection would itself hold up requests.
    """
    gc.collect()
    gc.freeze()
    with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)


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
