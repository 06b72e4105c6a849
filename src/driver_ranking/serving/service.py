"""The online service, without a server around it: ranks drivers with the champion, swaps it, and knows its health."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from driver_ranking.errors import NoRankableDriverError, NotReadyError, RequestError
from driver_ranking.model import RegisteredModel
from driver_ranking.ranking import Ranking, rank, require_finite
from driver_ranking.serving.champion import Champion, ChampionLoader, ScoredCandidates
from driver_ranking.serving.coalescing import Coalescer, Score
from driver_ranking.serving.contract import DTYPES, FEATURE_AGE, SCORE, STATUS, RankingContract, listed, shown
from driver_ranking.serving.fault_log import faults
from driver_ranking.serving.loading import NO_MODEL, ChampionKeeper
from driver_ranking.serving.metrics import ranking_metrics
from driver_ranking.serving.prediction_log.log import PredictionLog
from driver_ranking.serving.query import NOT_GIVEN, RankingQuery, is_missing
from driver_ranking.serving.settings import RuntimeSettings
from driver_ranking.serving.store_watch import StoreWatch, log_unreadable

logger = logging.getLogger("mlserver.driver_ranking")

_LOG_FINISHES = 15.0  # seconds that it may take at the end

_REPLACED = "The model that was asked has been replaced by one with other inputs or outputs. Look at its metadata."


@dataclass(frozen=True)
class Ranked:
    """The answer to a request.

    Attributes:
        ranking: The candidates.
        scored: All candidates of the request, with what they were scored by.
        request_id: The request's id; None of one without.
        trace_id: Its trace; None of one without.
    """

    ranking: Ranking
    scored: ScoredCandidates
    request_id: str | None = None
    trace_id: str | None = None

    @property
    def contract(self) -> RankingContract:
        """Return the contract of the model that scored them."""
        return self.scored.champion.contract

    @property
    def model(self) -> RegisteredModel:
        """Return the model that scored them."""
        return self.scored.model

    def output(self, name: str) -> NDArray[Any]:
        """Return the values of an output, ``[k]`` for the ranked candidates; ``[m]`` of those that are excluded.

        Args:
            name: Its name, one of the contract's ``outputs``.

        Returns:
            An array of the output's datatype: float64, float32, int64, int32 or bool, or objects, which are str or
            bytes. A feature is what the model was given; of ``feature_age`` NaN says that no stored row was used.

        Raises:
            NotReadyError: There is no such output: of the model that was asked it was a feature, which the one that has
                replaced it since does not take.
        """
        ranking, contract = self.ranking, self.contract
        if name == contract.candidate.name:
            return ranking.candidate
        if name == SCORE:
            return ranking.score
        if name == contract.excluded:
            return ranking.excluded
        if name == STATUS:
            return self.scored.rows[ranking.place].status
        if name == FEATURE_AGE:
            return self.scored.feature_age(ranking.place)
        if name not in contract.features:
            raise NotReadyError(_REPLACED)
        return self.scored.feature(name, ranking.place).astype(DTYPES[contract.features[name]])


class RankingService:
    """Ranks drivers with the champion of the moment. Used from one event loop."""

    def __init__(self, loader: ChampionLoader, settings: RuntimeSettings) -> None:
        """Load nothing yet.

        Args:
            loader: Loads the champion, in a thread.
            settings: The settings.

        Raises:
            SettingError: Answers can't be logged where they are to be.
        """
        self.settings = settings
        self._log = PredictionLog(settings.prediction_log) if settings.prediction_log.enabled else None
        self._champions = ChampionKeeper(self._logging(loader), settings, self._probe)
        self._watch = StoreWatch(self._lacking)
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
    def contract(self) -> RankingContract | None:
        """Return what requests have to have for the model that is served; None before there is one."""
        champion = self._champions.champion
        return champion.contract if champion else None

    @property
    def example(self) -> RankingQuery | None:
        """Return a request that the model can answer, of a few candidates that the store has; None if none is known."""
        return self._champions.example

    @property
    def ready(self) -> bool:
        """Return whether requests can be answered: there is a model, it answers, and its features can be read."""
        return self._watch.answers and self._champions.problem is None

    @property
    def problem(self) -> str | None:
        """Return why it is not ready, fit for a client; None where it is."""
        return None if self.ready else self._champions.problem or self._watch.problem or NO_MODEL

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
        await self.finish_log()

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
        return await self._champions.load(loader and self._logging(loader))

    async def unload(self) -> None:
        """Take the model out of service; `reload` brings it back."""
        await self._champions.unload()
        self._metrics.ready.set(0)

    async def rank(
        self,
        asked: RankingQuery | NDArray[np.int64],
        top_k: int,
        request_id: str | None = None,
        trace_id: str | None = None,
    ) -> Ranked:
        """Rank the candidates of a request.

        Args:
            asked: What was checked against the `contract`, with no await since; or int64 ``[n]`` candidates alone, n at
                least 1, of a model that needs nothing else.
            top_k: How many to return at most.
            request_id: How logs name the request.
            trace_id: The trace that it is part of.

        Raises:
            NotReadyError: No model is loaded, or it was replaced by one that wants other inputs.
            RequestError: The model wants other inputs, or a value can't be given to it exactly.
            FeaturesLostError: The online store has no features at all.
            NoRankableDriverError: None of the candidates has all features.
            NonFiniteScoreError: The model gave a score that is not a finite number.
            StoreUnavailableError: The online store can't be read, or not in time.
            OverloadedError: Too many requests wait.
        """
        start = time.perf_counter()
        contract = self._champions.require().contract
        query = _checked(asked, contract)
        candidate = query.candidate
        scored = await self._coalescer.submit(query, contract)
        require_finite(scored.rows, lambda index: f"{contract.noun} {shown(candidate[index])}")
        ranking = rank(candidate, scored.rows, top_k=top_k)
        self._observe(candidate, ranking, scored)
        answer = Ranked(ranking, scored, request_id, trace_id)
        if not ranking.candidate.size:
            if self._champions.champion is not None:
                await self._watch.require_features(self._champions.champion)
            self.log(answer)  # a decision as well, and the one that a loss of features leads to
            raise NoRankableDriverError(_none_left(query, contract, ranking, scored))
        if self.settings.log_requests:
            logger.info(
                "ranked id=%s drivers=%d excluded=%d model_version=%s ms=%.2f",
                printable(request_id),
                len(candidate),
                len(ranking.excluded),
                scored.model.version,
                (time.perf_counter() - start) * 1000,
            )
        return answer

    def log(self, answer: Ranked) -> None:
        """Log an answer that is given, where answers are logged; nothing waits for it."""
        ranking, scored = answer.ranking, answer.scored
        if self._log is not None and scored.batch is not None:
            self._log.add(
                scored.batch, scored.places, ranking.order, len(ranking.place), answer.request_id, answer.trace_id
            )

    async def finish_log(self) -> None:
        """Write what was logged, once nothing is asked any more."""
        if self._log is not None:
            await asyncio.to_thread(self._log.close, _LOG_FINISHES)

    def _logging(self, loader: ChampionLoader) -> ChampionLoader:
        return replace(loader, log=self._log) if self._log is not None else loader

    def _scoring(self, contract: RankingContract | None) -> Score:
        """Return what scores a batch: the champion at its start, if it takes what was asked.

        Raises:
            NotReadyError: It does not: what was checked for another model could mean something else to this one.
        """
        champion = self._champions.require()
        if contract is not champion.contract and not champion.contract.has_inputs_of(contract):
            raise NotReadyError(_REPLACED)
        return self._timed(champion)

    def _timed(self, champion: Champion) -> Score:
        async def score(query: RankingQuery, was_read: Callable[[], None]) -> ScoredCandidates:
            scored = await champion.score(query, was_read)
            self._metrics.online_read.observe(scored.read_seconds)
            self._metrics.predict.observe(scored.predict_seconds)
            if scored.unreadable is not None:
                log_unreadable(query.candidate[scored.unreadable], champion.contract.noun)
            return scored

        return score

    def _observe(self, candidate: NDArray[Any], ranking: Ranking, scored: ScoredCandidates) -> None:
        self._metrics.drivers_requested.inc(len(candidate))
        self._metrics.drivers_excluded.inc(len(ranking.excluded))
        if scored.unreadable is not None:
            self._metrics.drivers_unreadable.inc(len(set(candidate[scored.unreadable].tolist())))
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
        if self._champions.champion is None:
            return
        await self._watch.look(self._champions.champion)
        self._metrics.ready.set(float(self.ready))

    async def _lacking(self, champion: Champion) -> tuple[str, ...]:
        loop = asyncio.get_running_loop()
        return await self._coalescer.exclusively(lambda: loop.run_in_executor(champion.reads, champion.reader.lacking))


def _checked(asked: RankingQuery | NDArray[np.int64], contract: RankingContract) -> RankingQuery:
    """Return what is asked for, with all that the contract has."""
    if not isinstance(asked, RankingQuery):
        asked = RankingQuery(asked, {}, dict.fromkeys(contract.optional, NOT_GIVEN))
    if asked.is_integers and contract.is_integers:
        return asked
    keys, request = ({one.name for one in some} for some in (contract.keys, contract.request))
    if asked.keys.keys() != keys or asked.request.keys() != request:
        message = f"The request must have the inputs {', '.join(map(repr, contract.inputs))}."
        raise RequestError(message)
    return asked


def _none_left(query: RankingQuery, contract: RankingContract, ranking: Ranking, scored: ScoredCandidates) -> str:
    """Return why none of the candidates can be ranked."""
    absent = {
        name: is_missing(column) for name, column in query.request.items() if not scored.champion.has_default(name)
    }
    named = ", ".join(repr(name) for name, missing in absent.items() if missing.any())
    reason = "there are no features, or none that are recent enough,"
    if named:
        asked = f"the request lacks {named} (null or NaN)"
        lacking = np.zeros(len(query), dtype=np.bool_)
        for missing in absent.values():
            lacking |= missing
        reason = f"{asked}," if lacking.all() else f"{asked}, or {reason}"
    return f"No {contract.noun} of the request can be ranked: {reason} for {listed(ranking.excluded)}."


def printable(text: str | None) -> str:
    """Return a client's text so that it can't forge a line of the log."""
    return "-" if not text else text[:128].encode("unicode_escape").decode("ascii")
