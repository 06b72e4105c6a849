"""What is seen of the online store: whether it answers, and whether it has features at all."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from driver_ranking.errors import FeaturesLostError, StoreUnavailableError
from driver_ranking.serving.fault_log import faults
from driver_ranking.serving.store_watch import StoreWatch, log_unreadable

CHAMPION: Any = None


class Store:
    """A store of which is said what is set."""

    def __init__(self) -> None:
        self.lacking: tuple[str, ...] = ()
        self.error: Exception | None = None
        self.looks = 0

    async def look(self, _: Any) -> tuple[str, ...]:
        self.looks += 1
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        return self.lacking


def test_it_answers_once_it_has_features_and_says_why_not(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    faults.cache_clear()

    async def work() -> None:
        store = Store()
        watch = StoreWatch(store.look)
        for error in (StoreUnavailableError("gone"), RuntimeError("odd")):
            store.error = error
            await watch.look(CHAMPION)
            assert (watch.answers, watch.problem) == (False, StoreUnavailableError.summary)
        store.error, store.lacking = None, ("stats",)
        await watch.look(CHAMPION)
        assert "no features of 'stats'" in str(watch.problem)
        store.lacking = ()
        await watch.look(CHAMPION)
        assert (watch.answers, watch.problem) == (True, None)

    asyncio.run(work())
    assert caplog.messages[0] == "Not ready: gone"
    assert caplog.messages[-2].startswith("Not ready: over; 3 times")
    assert caplog.messages[-1] == "Ready."


def test_requests_without_features_share_a_look_and_are_told_when_there_are_none_at_all() -> None:
    async def work() -> None:
        store = Store()
        watch = StoreWatch(store.look)
        await asyncio.gather(*(watch.require_features(CHAMPION) for _ in range(5)))
        await watch.require_features(CHAMPION)
        assert store.looks == 1
        store.lacking = ("stats",)
        await asyncio.sleep(0.12)
        with pytest.raises(FeaturesLostError, match="Materialize them"):
            await watch.require_features(CHAMPION)

    asyncio.run(work())


def test_drivers_that_can_not_be_read_are_named_in_the_log_few_of_many(caplog: pytest.LogCaptureFixture) -> None:
    faults.cache_clear()
    log_unreadable(np.arange(12))
    (line,) = caplog.messages
    assert line.startswith("unreadable_features: ")
    assert "of drivers 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ... (something spoilt" in line
    assert line.endswith("; they are excluded")
    faults.cache_clear()
