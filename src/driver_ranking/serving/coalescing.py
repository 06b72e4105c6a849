"""Concurrent requests share one read and one prediction.

While a batch is being scored, what arrives waits and becomes the next batch. A batch starts once the event loop has
turned a few times without bringing another request: a server hands over what has arrived bit by bit, gRPC's in many
turns. Where requests come one at a time, they start at once; now and then one waits those turns, to see whether that
is still so.
"""

import asyncio
import functools
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from driver_ranking.errors import DriverRankingError, ModelTimeoutError, OverloadedError, StoreUnavailableError
from driver_ranking.serving.champion import ScoredCandidates
from driver_ranking.serving.contract import RankingContract
from driver_ranking.serving.query import RankingQuery, joined

T = TypeVar("T")
Score = Callable[[RankingQuery, Callable[[], None]], Awaitable[ScoredCandidates]]

_NOBODY = RankingQuery(np.empty(0, dtype=np.int64))
_BATCH_DRIVERS = 4_000  # a batch takes no more requests past this: sharing saves little then, and memory grows
_QUIET_TURNS = 10  # of the event loop, microseconds each: as measured, 3 split gRPC's batches, 30 gain nothing
_LONGEST_GATHERING = 0.01  # seconds
_LONELY, _LOOK_AGAIN = 3, 16  # after so many batches of one request, only every so many-th waits for company


@dataclass(frozen=True, eq=False)
class _Waiting:
    query: RankingQuery
    answer: "asyncio.Future[Any]"
    contract: RankingContract | None = None
    work: "Callable[[], Awaitable[Any]] | None" = None  # to be done in the place of scoring, while nothing is scored


class Coalescer:
    """Scores candidates, those of concurrent requests together. Used from one event loop."""

    def __init__(
        self, score: Callable[[RankingContract | None], Score], *, time_limit: float, max_waiting: int
    ) -> None:
        """Start nothing yet.

        Args:
            score: Gives, at the start of each batch, what scores requests of a contract; that says when the store has
                answered.
            time_limit: How long the store may take to answer, in seconds. The model has a limit of its own.
            max_waiting: How many requests may wait.
        """
        self._score = score
        self._time_limit = time_limit
        self._max_waiting = max_waiting
        self._waiting: deque[_Waiting] = deque()
        self._alone: deque[_Waiting] = deque()  # their batch failed; each is tried by itself
        self._over_time = 0  # how many of them the model did not answer in time
        self._busy = False
        self._late = False
        self._lonely = 0  # how many batches in a row were of one request
        self._idle = asyncio.Event()
        self._idle.set()

    async def submit(
        self, query: RankingQuery, contract: RankingContract | None = None, *, must_run: bool = False
    ) -> ScoredCandidates:
        """Return the scores of the candidates of a request, in their order.

        Args:
            query: The candidates, with what else the request says of them.
            contract: What it was checked against; requests of one contract alone share a batch.
            must_run: Whether to wait however long the queue is.

        Raises:
            OverloadedError: Too many requests wait.
            RequestError: What comes with the request can't be used.
            StoreUnavailableError: The store can't be read, or not in time.
            ModelTimeoutError: The model does not answer in time.
            ModelError: The model fails.
            OnDemandFeatureError: An on-demand feature view fails.
        """
        if self._late:
            raise self._too_late()
        if len(self._waiting) >= self._max_waiting and not must_run:
            message = f"{self._max_waiting} requests are waiting already. Try again later, or send fewer at once."
            raise OverloadedError(message)
        waiting = _Waiting(query, asyncio.get_running_loop().create_future(), contract)
        self._waiting.append(waiting)
        if not self._busy:
            self._idle.clear()
            self._start()
        scored: ScoredCandidates = await waiting.answer
        return scored

    async def exclusively(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do something while nothing is read or scored, after the batch that is on its way.

        Args:
            work: What to do; it fails like a batch if it takes too long.

        Raises:
            StoreUnavailableError: It takes too long, or what is on its way does.
        """
        if self._late:
            raise self._too_late()
        waiting = _Waiting(_NOBODY, asyncio.get_running_loop().create_future(), work=work)
        self._waiting.appendleft(waiting)
        if not self._busy:
            self._idle.clear()
            self._start_batch()
        done: T = await waiting.answer
        return done

    async def idle(self) -> None:
        """Wait until nothing waits and nothing runs."""
        await self._idle.wait()

    def _start(self) -> None:
        if self._waiting and not self._alone and (self._lonely < _LONELY or self._lonely % _LOOK_AGAIN == 0):
            self._busy = True
            loop = asyncio.get_running_loop()
            loop.call_soon(self._gather, len(self._waiting), _QUIET_TURNS, loop.time() + _LONGEST_GATHERING)
        else:
            self._start_batch()

    def _gather(self, seen: int, turns: int, end: float) -> None:
        """Look at each turn of the loop whether more has arrived."""
        loop = asyncio.get_running_loop()
        left = turns - 1 if len(self._waiting) == seen else _QUIET_TURNS
        if left and loop.time() < end:
            loop.call_soon(self._gather, len(self._waiting), left, end)
        else:
            self._start_batch()

    def _start_batch(self) -> None:
        self._busy = False
        batch = self._next_batch()
        if not batch:
            self._idle.set()
            return
        self._lonely = self._lonely + 1 if len(batch) == 1 else 0
        try:
            score = self._score(batch[0].contract) if batch[0].work is None else _instead(batch[0].work)
        except DriverRankingError as error:
            _fail(batch, error)
            self._start()
            return
        self._busy = True
        query, places = (batch[0].query, None) if len(batch) == 1 else joined([one.query for one in batch])
        timer = asyncio.get_running_loop().call_later(self._time_limit, self._give_up, batch)
        job = asyncio.ensure_future(score(query, functools.partial(self._was_read, timer)))
        job.add_done_callback(lambda done: self._finish(batch, places, timer, done))

    def _was_read(self, timer: asyncio.TimerHandle) -> None:
        timer.cancel()
        self._late = False

    def _next_batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        if self._alone:
            return [self._alone.popleft()]
        size = 0
        if self._waiting and self._waiting[0].work is not None:
            return [self._waiting.popleft()]
        while self._waiting and size < _BATCH_DRIVERS and self._waiting[0].work is None:
            if batch and self._waiting[0].contract is not batch[0].contract:
                break
            one = self._waiting.popleft()
            if not one.answer.done():  # its client has left
                batch.append(one)
                size += len(one.query)
        return batch

    def _finish(
        self,
        batch: list[_Waiting],
        places: NDArray[np.intp] | None,
        timer: asyncio.TimerHandle,
        done: "asyncio.Future[ScoredCandidates]",
    ) -> None:
        timer.cancel()
        self._busy = self._late = False
        if done.cancelled():
            return
        error = done.exception()
        if getattr(error, "depends_on_drivers", False) and len(batch) > 1:
            self._alone.extend(batch)  # one request's drivers must not fail the others
            self._over_time = 0
        elif error is not None:
            _fail(batch, error)
            self._count_over_time(error)
        else:
            _share(batch, places, done.result())
        self._start()

    def _count_over_time(self, error: BaseException) -> None:
        """Try no more requests of a batch by themselves once two have taken too long: it is not one that does it."""
        self._over_time += isinstance(error, ModelTimeoutError)
        if self._over_time > 1:
            _fail([*self._alone], error)
            self._alone.clear()

    def _give_up(self, batch: list[_Waiting]) -> None:
        """Fail what waits: the read is stuck in the store. Until it is back, all others fail at once."""
        self._late = True
        _fail(batch, self._too_late())
        _fail([*self._alone, *self._waiting], self._too_late())
        self._alone.clear()
        self._waiting.clear()

    def _too_late(self) -> StoreUnavailableError:
        return StoreUnavailableError(f"The online store did not answer within {self._time_limit:g} s.")


def _instead(work: Callable[[], Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Return what does some work in the place of scoring."""
    return lambda *_: work()


def _fail(batch: list[_Waiting], error: BaseException) -> None:
    for one in batch:
        if not one.answer.done():
            one.answer.set_exception(error)


def _share(batch: list[_Waiting], places: NDArray[np.intp] | None, scored: ScoredCandidates) -> None:
    if places is None:
        if not batch[0].answer.done():
            batch[0].answer.set_result(scored)
        return
    first = 0
    for one in batch:
        last = first + len(one.query)
        if not one.answer.done():
            one.answer.set_result(scored.of(places[first:last]))
        first = last
