"""Loads and unloads: one at a time, none for ever, and none that takes away what works."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from driver_ranking.errors import (
    DriverRankingError,
    ModelError,
    ModelNotFoundError,
    ModelRefusedError,
    ModelTrialError,
    NotReadyError,
    StoreUnavailableError,
    UnloadedError,
)
from driver_ranking.features import Features, numbers_of
from driver_ranking.model import RegisteredModel
from driver_ranking.serving.champion import Champion
from driver_ranking.serving.contract import Input, RankingContract
from driver_ranking.serving.loading import ChampionKeeper
from driver_ranking.serving.predicting import PacedPredictor
from driver_ranking.serving.request_features import FeatureColumns
from driver_ranking.serving.settings import RuntimeSettings
from driver_ranking.serving.threads import DaemonThread
from feast_columnar.online.features import OnlineFeatures

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Executor

    from numpy.typing import NDArray

SETTINGS = RuntimeSettings(load_timeout=0.3, load_retry_interval=0.01, online_read_timeout=0.2)


class Store:
    """Has drivers with one feature, their own id; or none, or fails, or does not answer."""

    def __init__(self) -> None:
        self.drivers: list[int] = [1, 2]
        self.fails: DriverRankingError | None = None
        self.answers = threading.Event()
        self.answers.set()
        self.closed = 0
        self.request: dict[str, Any] = {}
        self.requests: list[Any] = []

    def sample(self, count: int) -> NDArray[np.int64]:
        self.answers.wait(5)
        if self.fails:
            raise self.fails
        return np.array(self.drivers[:count], dtype=np.int64)

    async def read_async(
        self, driver_id: NDArray[np.int64], now: int, thread: Executor, *, request: Any
    ) -> OnlineFeatures:
        del now, thread
        self.requests.append(request)
        values = np.where(driver_id < 100, driver_id.astype(np.float64), np.nan)
        return OnlineFeatures(values[:, np.newaxis], driver_id)

    def close(self) -> None:
        self.closed += 1


class Loader:
    """Loads what version it is told to; it can fail and hang."""

    def __init__(self) -> None:
        self.version = "1"
        self.store = Store()
        self.loads: list[str] = []
        self.fails: BaseException | None = None
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.score: Callable[[NDArray[np.float64]], NDArray[np.float64]] = lambda rows: rows[:, 0]
        self.fits_event_loop = True
        self.contract = RankingContract(Input("driver_id", "INT64"))
        self.model = RegisteredModel("model", "1", None, "source", "service", ("feature",), "path")

    def predict(self, features: Features) -> NDArray[np.float64]:
        return self.score(numbers_of(features))

    def load(self) -> Champion:
        version = self.version
        self.loads.append(version)
        self.goes_on.wait(5)
        if self.fails is not None:
            raise self.fails
        self.model = RegisteredModel("model", version, None, "source", "service", ("feature",), "path")
        predictor = PacedPredictor(self, 0.1)  # type: ignore[arg-type] # all of it that is used
        store: Any = self.store
        columns = FeatureColumns(self.model)
        return Champion(predictor, store, lambda: 0, DaemonThread("read"), self.contract, columns)

    def named_version(self) -> str:
        return self.version


def run(work: Callable[[Loader, ChampionKeeper], Awaitable[Any]], settings: RuntimeSettings = SETTINGS) -> None:
    """Run a coroutine with a loader and a keeper over it."""

    async def changed() -> None:
        await asyncio.sleep(0)

    async def within() -> None:
        loader = Loader()
        keeper = ChampionKeeper(loader, settings, changed)  # type: ignore[arg-type] # all of it that is used
        try:
            async with asyncio.timeout(10):
                await work(loader, keeper)
        finally:
            loader.goes_on.set()
            loader.store.answers.set()
            keeper.stop()

    asyncio.run(within())


async def until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0.002)


async def outcome(work: Awaitable[Any]) -> Any:
    return (await asyncio.gather(work, return_exceptions=True))[0]


def test_of_many_loads_at_once_the_first_is_one_and_the_next_is_for_all_others() -> None:
    async def work(loader: Loader, keeper: ChampionKeeper) -> None:
        loader.goes_on.clear()
        first = asyncio.create_task(keeper.load())
        await until(lambda: bool(loader.loads))
        loader.version = "2"
        others = [asyncio.create_task(keeper.load()) for _ in range(20)]
        await asyncio.sleep(0.01)
        loader.goes_on.set()
        assert (await first).version == "1"
        assert {(await other).version for other in others} == {"2"}
        assert loader.loads == ["1", "2"]

    run(work)


def test_a_load_after_an_unload_is_a_load_of_its_own() -> None:
    async def work(loader: Loader, keeper: ChampionKeeper) -> None:
        loader.goes_on.clear()
        before = asyncio.create_task(keeper.load())
        await until(lambda: bool(loader.loads))
        unload = asyncio.create_task(keeper.unload())
        await asyncio.sleep(0.01)
        after = [asyncio.create_task(keeper.load()) for _ in range(3)]
        await asyncio.sleep(0.01)
        loader.goes_on.set()
        await asyncio.gather(before, unload, *after)
        assert keeper.champion is not None
        assert keeper.problem is None
        assert len(loader.loads) == 2
        await keeper.unload()
        assert keeper.unloaded
        with pytest.raises(UnloadedError, match="unloaded"):
            keeper.require()

    run(work)


def test_an_unloaded_model_is_not_loaded_by_itself() -> None:
    async def work(loader: Loader, keeper: ChampionKeeper) -> None:
        background = asyncio.create_task(keeper.keep_loading())
        await until(lambda: keeper.champion is not None)
        await keeper.unload()
        await asyncio.sleep(0.1)
        assert keeper.champion is None
        assert len(loader.loads) == 1
        await keeper.load()
        assert keeper.require().model.version == "1"
        background.cancel()

    run(work)


@pytest.mark.parametrize("raised", [SystemExit(1), KeyboardInterrupt(), ValueError("no"), ModelError("no")])
def test_whatever_a_load_raises_is_a_refusal_and_what_was_there_goes_on(raised: BaseException) -> None:
    async def work(loader: Loader, keeper: ChampionKeeper) -> None:
        await keeper.load()
        loader.version, loader.fails = "2", raised
        with pytest.raises(ModelRefusedError, match="version 1 goes on serving"):
            await keeper.load()
        assert keeper.require().model.version == "1"

    run(work)


def test_a_load_that_hangs_is_given_up_and_the_next_one_works() -> None:
    async def work(loader: Loader, keeper: ChampionKeeper) -> None:
        await keeper.load()
        loader.goes_on.clear()
        hangs = asyncio.create_task(outcome(keeper.load()))
        await until(lambda: len(loader.loads) == 2)
        later = asyncio.create_task(outcome(keeper.load()))
        refused = await hangs
        assert isinstance(refused, ModelRefusedError)
        assert "was not loaded within 0.3 s" in refused.public_message
        loader.goes_on.set()
        loader.version = "2"
        await later
        assert (await keeper.load()).version == "2"

    run(work)


def test_loads_that_hang_one_after_the_other_are_not_begun_for_ever() -> None:
    async def work(loader: Loader, keeper: ChampionKeeper) -> None:
        loader.goes_on.clear()
        for _ in range(8):
            await outcome(keeper.load())
        refused = await outcome(keeper.load())
        assert isinstance(refused, ModelRefusedError)
        assert "8 loads before did not end" in refused.public_message
        assert len(loader.loads) == 8

    run(work, SETTINGS.model_copy(update={"load_timeout": 0.02}))


def test_whoever_asks_for_a_load_and_leaves_does_not_stop_it() -> None:
    async def work(loader: Loader, keeper: ChampionKeeper) -> None:
        loader.goes_on.clear()
        asked = asyncio.create_task(keeper.load())
        await until(lambda: bool(loader.loads))
        asked.cancel()
        assert isinstance(await outcome(asked), asyncio.CancelledError)
        loader.goes_on.set()
        await until(lambda: keeper.champion is not None)

    run(work)


def test_at_the_end_a_load_that_hangs_is_given_up_at_once_and_none_is_begun() -> None:
    async def work(loader: Loader, keeper: ChampionKeeper) -> None:
        loader.goes_on.clear()
        asked = asyncio.create_task(outcome(keeper.load()))
        await until(lambda: bool(loader.loads))
        keeper.stop()
        for stopped in (await asked, await outcome(keeper.load())):
            assert isinstance(stopped, NotReadyError)
            assert str(stopped) == "The server is stopping."

    run(work, SETTINGS.model_copy(update={"load_timeout": 60}))


def raising(_: NDArray[np.float64]) -> NDArray[np.float64]:
    message = "of-secrets"
    raise ModelError(message)


def slow(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    time.sleep(1)
    return rows[:, 0]


@pytest.mark.parametrize(
    ("score", "reason"),
    [
        (raising, "The model can't be used"),
        (lambda rows: rows[:, 0] * np.nan, "not finite numbers"),
        (slow, "did not answer within 0.1 s"),
        (lambda rows: rows[:, 0] if len(rows) > 1 else raising(rows), "The model can't be used"),
    ],
    ids=["raises", "NaN", "hangs", "one row alone"],
)
@pytest.mark.parametrize("there_is_one", [False, True])
def test_a_version_that_fails_on_rows_of_the_store_never_takes_over(
    score: Any, reason: str, *, there_is_one: bool
) -> None:
    async def work(loader: Loader, keeper: ChampionKeeper) -> None:
        if there_is_one:
            await keeper.load()
        loader.version, loader.score = "2", score
        refused = await outcome(keeper.load())
        assert isinstance(refused, ModelRefusedError)
        assert "version 2 fails on rows that the online store has" in refused.public_message
        assert reason in refused.public_message
        assert "of-secrets" not in refused.public_message
        assert (keeper.champion is not None) == there_is_one
        if keeper.champion is not None:
            assert keeper.champion.model.version == "1"

    run(work)


@pytest.mark.parametrize("store", ["empty", "without whole rows", "down", "silent"])
def test_a_store_that_says_nothing_about_a_model_does_not_refuse_it_and_it_is_tried_once_there_are_rows(
    store: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(loader: Loader, keeper: ChampionKeeper) -> None:
        rows = loader.store
        rows.drivers = {"empty": [], "without whole rows": [100]}.get(store, [1])
        rows.fails = StoreUnavailableError("down") if store == "down" else None
        if store == "silent":
            rows.answers.clear()
        loader.score = raising
        await keeper.load()
        assert keeper.problem is None
        assert not keeper.example
        assert "was tried on its input example alone" in caplog.text
        background = asyncio.create_task(keeper.keep_loading())
        rows.drivers, rows.fails = [1], None
        rows.answers.set()
        await until(lambda: keeper.problem is not None)
        assert "fails on rows that the online store has" in str(keeper.problem)
        loader.score = lambda rows: rows[:, 0]
        keeper.require().predictor.predict = loader.predict
        await until(lambda: keeper.problem is None)
        assert list(keeper.example.candidate if keeper.example else ()) == [1]
        background.cancel()

    caplog.set_level("INFO", logger="mlserver.driver_ranking")
    run(work)


def test_a_first_version_that_fails_is_tried_ever_more_seldom_and_another_one_at_once() -> None:
    async def work(loader: Loader, keeper: ChampionKeeper) -> None:
        loader.fails = ModelTrialError("it fails", "it fails")
        await keeper.try_to_load()
        assert keeper.problem == "it fails"
        background = asyncio.create_task(keeper.keep_loading())
        await asyncio.sleep(0.5)
        assert 2 <= len(loader.loads) <= 8  # after 10, 20, 40, ... ms, not each 10 ms
        loader.version, loader.fails = "2", None
        await until(lambda: keeper.champion is not None)
        background.cancel()

    run(work, SETTINGS.model_copy(update={"load_retry_interval": 0.01}))


def test_without_a_model_in_the_registry_it_is_looked_for_at_each_interval() -> None:
    async def work(loader: Loader, keeper: ChampionKeeper) -> None:
        loader.fails = ModelNotFoundError("there is none")
        await keeper.try_to_load()
        with pytest.raises(NotReadyError, match="there is none"):
            keeper.require()
        background = asyncio.create_task(keeper.keep_loading())
        await until(lambda: len(loader.loads) > 10)
        loader.fails = None
        await until(lambda: keeper.champion is not None)
        background.cancel()

    run(work)


def test_an_alias_that_moves_to_a_version_that_is_refused_is_followed_once() -> None:
    async def work(loader: Loader, keeper: ChampionKeeper) -> None:
        await keeper.load()
        background = asyncio.create_task(keeper.keep_loading())
        loader.version, loader.fails = "2", SystemExit()
        await until(lambda: "2" in loader.loads)
        await asyncio.sleep(0.1)
        assert loader.loads == ["1", "2"]
        loader.version, loader.fails = "3", None
        await until(lambda: keeper.require().model.version == "3")
        background.cancel()

    run(work, SETTINGS.model_copy(update={"watch_alias_interval": 0.01}))
