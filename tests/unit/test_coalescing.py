"""Concurrent requests share a batch, and nothing of one harms another."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driver_ranking.errors import (
    ModelError,
    ModelTimeoutError,
    NotReadyError,
    OverloadedError,
    StoreUnavailableError,
)
from driver_ranking.ranking import ScoredRows
from driver_ranking.serving.champion import ScoredCandidates
from driver_ranking.serving.coalescing import Coalescer
from driver_ranking.serving.contract import Input, RankingContract
from driver_ranking.serving.query import RankingQuery

if TYPE_CHECKING:
    from collections.abc import Callable

CHAMPION: Any = None
POISON = 666


class Scorer:
    """Scores a driver with its own id, and remembers its batches; it can be held up, and fails for one driver."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self.started = asyncio.Event()

    async def __call__(self, query: RankingQuery, was_read: Callable[[], None]) -> ScoredCandidates:
        driver_id = query.candidate
        self.batches.append(driver_id.tolist())
        self.started.set()
        await self.goes_on.wait()
        was_read()
        if POISON in driver_id:
            message = "poisoned"
            raise ModelError(message)
        rows = ScoredRows(driver_id.astype(np.float64), np.ones(len(driver_id), dtype=np.bool_))
        return ScoredCandidates(rows, driver_id, CHAMPION, 0, 0.0, 0.0)


def run(work: Callable[[Scorer, Coalescer], Any], *, time_limit: float = 5, max_waiting: int = 100) -> Scorer:
    """Run a coroutine with a scorer and a coalescer over it."""
    scorer = Scorer()

    async def within() -> None:
        coalescer = Coalescer(lambda _: scorer, time_limit=time_limit, max_waiting=max_waiting)
        try:
            await work(scorer, coalescer)
        finally:
            scorer.goes_on.set()
            await coalescer.idle()

    asyncio.run(within())
    return scorer


def ids(*drivers: int) -> RankingQuery:
    return RankingQuery(np.array(drivers, dtype=np.int64))


async def held_up(scorer: Scorer, coalescer: Coalescer, *requests: RankingQuery) -> list[asyncio.Task[Any]]:
    """Let a first request be on its way, and the others wait for it."""
    scorer.goes_on.clear()
    tasks = [asyncio.create_task(coalescer.submit(ids(0)))]
    await scorer.started.wait()
    tasks += [asyncio.create_task(coalescer.submit(request)) for request in requests]
    await asyncio.sleep(0)
    return tasks


def test_what_arrives_during_a_batch_becomes_the_next_one() -> None:
    async def work(scorer: Scorer, coalescer: Coalescer) -> None:
        tasks = await held_up(scorer, coalescer, ids(3, 1), ids(2, 3), ids(1))
        scorer.goes_on.set()
        answers = await asyncio.gather(*tasks)
        assert [answer.rows.score.tolist() for answer in answers] == [[0], [3, 1], [2, 3], [1]]

    assert run(work).batches == [[0], [1, 2, 3]]


def test_a_request_that_comes_alone_is_scored_as_it_is() -> None:
    async def work(_: Scorer, coalescer: Coalescer) -> None:
        answer = await coalescer.submit(ids(5, 5, 4))
        assert answer.rows.score.tolist() == [5, 5, 4]

    assert run(work).batches == [[5, 5, 4]]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.integers(0, 20), min_size=1, max_size=8), min_size=1, max_size=20))
def test_everyone_gets_the_scores_of_their_own_drivers(requests: list[list[int]]) -> None:
    async def work(_: Scorer, coalescer: Coalescer) -> None:
        answers = await asyncio.gather(*(coalescer.submit(ids(*request)) for request in requests))
        assert [answer.rows.score.tolist() for answer in answers] == requests

    run(work)


def test_a_driver_that_the_model_fails_for_fails_its_own_request_only() -> None:
    async def work(scorer: Scorer, coalescer: Coalescer) -> None:
        tasks = await held_up(scorer, coalescer, ids(1), ids(POISON, 2), ids(3))
        scorer.goes_on.set()
        first, one, poisoned, three = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(poisoned, ModelError)
        scores = [answer.rows.score.tolist() for answer in (first, one, three) if isinstance(answer, ScoredCandidates)]
        assert scores == [[0], [1], [3]]

    assert run(work).batches[2:] == [[1], [POISON, 2], [3]]


def test_what_does_not_fit_into_the_queue_is_refused_at_once() -> None:
    async def work(scorer: Scorer, coalescer: Coalescer) -> None:
        tasks = await held_up(scorer, coalescer, ids(1), ids(2))
        with pytest.raises(OverloadedError, match="2 requests are waiting already"):
            await coalescer.submit(ids(3))
        must = asyncio.create_task(coalescer.submit(ids(4), must_run=True))
        await asyncio.sleep(0)
        scorer.goes_on.set()
        answers = await asyncio.gather(*tasks, must)
        assert [answer.rows.score.tolist() for answer in answers] == [[0], [1], [2], [4]]

    run(work, max_waiting=2)


def test_what_takes_too_long_fails_with_all_that_wait_and_the_rest_at_once_until_it_is_over() -> None:
    async def work(scorer: Scorer, coalescer: Coalescer) -> None:
        tasks = await held_up(scorer, coalescer, ids(1), ids(2))
        for answer in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(answer, StoreUnavailableError)
            assert str(answer) == "The online store did not answer within 0.05 s."
        with pytest.raises(StoreUnavailableError):
            await coalescer.submit(ids(3))
        scorer.goes_on.set()
        async with asyncio.timeout(5):
            while True:
                try:
                    assert (await coalescer.submit(ids(4))).rows.score.tolist() == [4]
                except StoreUnavailableError:
                    await asyncio.sleep(0.001)
                else:
                    return

    assert run(work, time_limit=0.05).batches == [[0], [4]]


def test_a_client_that_has_left_is_not_worked_for() -> None:
    async def work(scorer: Scorer, coalescer: Coalescer) -> None:
        first, gone, stays = await held_up(scorer, coalescer, ids(1), ids(2))
        gone.cancel()
        await asyncio.sleep(0)
        scorer.goes_on.set()
        assert (await stays).rows.score.tolist() == [2]
        await first

    assert run(work).batches == [[0], [2]]


def test_a_batch_takes_a_bounded_number_of_drivers() -> None:
    many = ids(*range(1_000, 4_000))

    async def work(scorer: Scorer, coalescer: Coalescer) -> None:
        tasks = await held_up(scorer, coalescer, many, many, many)
        scorer.goes_on.set()
        assert [len(answer.oldest) for answer in await asyncio.gather(*tasks)] == [1, 3_000, 3_000, 3_000]

    assert [len(batch) for batch in run(work).batches] == [1, 3_000, 3_000]  # two of the three, then the third


def test_without_a_model_each_request_says_so() -> None:
    def nothing(_: Any) -> Any:
        message = "No model is loaded yet."
        raise NotReadyError(message)

    async def work() -> None:
        coalescer = Coalescer(nothing, time_limit=1, max_waiting=1)
        with pytest.raises(NotReadyError, match="No model is loaded yet"):
            await coalescer.submit(ids(1))
        await coalescer.idle()

    asyncio.run(work())


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_what_the_event_loop_hands_over_within_a_few_turns_is_one_batch() -> None:
    async def work(_: Scorer, coalescer: Coalescer) -> None:
        tasks = []
        for driver in range(8):
            tasks.append(asyncio.create_task(coalescer.submit(ids(driver))))
            await turns(5)
        await asyncio.gather(*tasks)

    assert run(work).batches == [list(range(8))]


def test_after_some_that_came_one_at_a_time_the_next_one_starts_at_once_but_for_one_now_and_then() -> None:
    async def work(scorer: Scorer, coalescer: Coalescer) -> None:
        at_once = []
        for driver in range(40):
            task = asyncio.create_task(coalescer.submit(ids(driver)))
            await turns(3)
            at_once.append(len(scorer.batches) == driver + 1)
            await task
        assert [place for place, started in enumerate(at_once) if not started] == [0, 1, 2, 16, 32]

    run(work)


def test_gathering_ends_however_many_go_on_arriving(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("driver_ranking.serving.coalescing._LONGEST_GATHERING", 0.0)

    async def work(scorer: Scorer, coalescer: Coalescer) -> None:
        tasks = [asyncio.create_task(coalescer.submit(ids(driver))) for driver in range(2)]
        await turns(3)
        assert scorer.batches == [[0, 1]]
        await asyncio.gather(*tasks)

    run(work)


def test_it_is_idle_once_all_is_answered_refusals_among_it() -> None:
    async def work(scorer: Scorer, coalescer: Coalescer) -> None:
        tasks = await held_up(scorer, coalescer, ids(1), ids(POISON))
        waiting = asyncio.create_task(coalescer.idle())
        await turns(30)
        assert not waiting.done()
        scorer.goes_on.set()
        await waiting
        *_, poisoned = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(poisoned, ModelError)
        assert scorer.batches == [[0], [1, POISON], [1], [POISON]]

    run(work)


class Slow(Scorer):
    """Does not answer in time for some drivers."""

    def __init__(self, *hang: int) -> None:
        super().__init__()
        self.hang = hang

    async def __call__(self, query: RankingQuery, was_read: Callable[[], None]) -> ScoredCandidates:
        scored = await super().__call__(query, was_read)
        if np.isin(self.hang, query.candidate).any():
            message = "over time"
            raise ModelTimeoutError(message)
        return scored


async def with_slow(scorer: Slow, *requests: RankingQuery) -> list[Any]:
    coalescer = Coalescer(lambda _: scorer, time_limit=5, max_waiting=100)
    tasks = await held_up(scorer, coalescer, *requests)
    scorer.goes_on.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    await coalescer.idle()
    return answers[1:]


def test_a_driver_that_the_model_hangs_at_fails_its_own_request_only() -> None:
    scorer = Slow(2)
    one, two, three = asyncio.run(with_slow(scorer, ids(1), ids(2), ids(3)))
    assert isinstance(two, ModelTimeoutError)
    assert [answer.rows.score.tolist() for answer in (one, three)] == [[1], [3]]
    assert scorer.batches == [[0], [1, 2, 3], [1], [2], [3]]


def test_a_model_that_hangs_at_all_is_not_tried_with_each_request_in_turn() -> None:
    scorer = Slow(1, 2, 3, 4, 5)
    answers = asyncio.run(with_slow(scorer, *(ids(driver) for driver in range(1, 6))))
    assert all(isinstance(answer, ModelTimeoutError) for answer in answers)
    assert scorer.batches == [[0], [1, 2, 3, 4, 5], [1], [2]]


def test_the_time_limit_of_the_store_is_not_the_model_s() -> None:
    async def work() -> None:
        async def slow_model(query: RankingQuery, was_read: Callable[[], None]) -> ScoredCandidates:
            was_read()
            await asyncio.sleep(0.1)
            return await Scorer()(query, was_read)

        coalescer = Coalescer(lambda _: slow_model, time_limit=0.02, max_waiting=1)
        assert (await coalescer.submit(ids(4))).rows.score.tolist() == [4]

    asyncio.run(work())


def test_requests_of_different_models_share_no_batch_and_none_of_them_is_forgotten() -> None:
    before, after = RankingContract(Input("driver_id", "INT64")), RankingContract(Input("rider_id", "INT64"))

    async def work(scorer: Scorer, coalescer: Coalescer) -> None:
        scorer.goes_on.clear()
        first = asyncio.create_task(coalescer.submit(ids(0), before))
        await scorer.started.wait()
        old = [asyncio.create_task(coalescer.submit(ids(driver), before)) for driver in (1, 2)]
        new = [asyncio.create_task(coalescer.submit(ids(driver), after)) for driver in (3, 2)]
        await asyncio.sleep(0)
        for gone in old:
            gone.cancel()
        await asyncio.sleep(0)
        scorer.goes_on.set()
        answers = await asyncio.gather(first, *new)
        assert [answer.rows.score.tolist() for answer in answers] == [[0], [3], [2]]

    assert run(work).batches == [[0], [2, 3]]


def test_what_each_contract_is_scored_by_is_asked_for_at_the_start_of_its_batch() -> None:
    contracts = [RankingContract(Input(name, "INT64")) for name in ("driver_id", "rider_id")]
    seen: list[RankingContract | None] = []

    def scorer_of(contract: RankingContract | None) -> Scorer:
        seen.append(contract)
        return Scorer()

    async def work() -> None:
        coalescer = Coalescer(scorer_of, time_limit=1, max_waiting=9)
        asked = [contracts[0], contracts[0], contracts[1], contracts[0]]
        answers = await asyncio.gather(*(coalescer.submit(ids(row), one) for row, one in enumerate(asked)))
        assert [answer.rows.score.tolist() for answer in answers] == [[0], [1], [2], [3]]

    asyncio.run(work())
    assert seen == [contracts[0], contracts[1], contracts[0]]
