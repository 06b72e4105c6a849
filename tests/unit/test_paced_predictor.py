"""A quick model of plain code is called in the event loop, all else in a thread, with a time limit."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING

import numpy as np
import pytest

from driver_ranking.errors import ModelError, ModelTimeoutError
from driver_ranking.model import RegisteredModel
from driver_ranking.serving.predicting import PacedPredictor

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROWS = np.array([[1.0], [np.nan], [3.0]])


class Model:
    """Takes the time that it is told to, and remembers where it was called."""

    def __init__(self) -> None:
        self.model = RegisteredModel("model", "1", None, "source", "service", ("feature",), "path")
        self.fits_event_loop = True
        self.seconds = 0.0
        self.raises: BaseException | None = None
        self.hangs = True
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.threads: list[threading.Thread] = []

    def predict(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        self.threads.append(threading.current_thread())
        time.sleep(self.seconds)
        if self.hangs:
            self.goes_on.wait(5)
        if self.raises is not None:
            raise self.raises
        return features[:, 0]


async def places(model: Model, *seconds: float) -> list[str]:
    """Predict batches that take so long, and return where each was predicted."""
    predictor = PacedPredictor(model, 5)  # type: ignore[arg-type] # all of it that is used
    for one in seconds:
        model.seconds = one
        rows = await predictor.predicted_rows(ROWS)
        np.testing.assert_array_equal(rows.score, [1, np.nan, 3])
        assert rows.scored.tolist() == [True, False, True]
    return ["loop" if one is threading.main_thread() else "thread" for one in model.threads]


def test_the_first_batch_is_tried_in_the_thread_and_each_one_says_where_the_next_is_predicted() -> None:
    found = asyncio.run(places(Model(), 0, 0, 0.01, 0.01, 0, 0))
    assert found == ["thread", "loop", "loop", "thread", "thread", "loop"]


def test_a_model_with_code_of_a_user_s_is_never_called_in_the_event_loop_however_quick_it_is() -> None:
    model = Model()
    model.fits_event_loop = False
    assert asyncio.run(places(model, 0, 0, 0)) == ["thread"] * 3


class OddError(Exception):
    """Can't be said."""

    def __str__(self) -> str:  # noqa: PLE0307 - this is what it is about
        sys.exit("odd")


@pytest.mark.parametrize("in_loop", [False, True])
@pytest.mark.parametrize(
    "raised",
    [
        ModelError("no"),
        SystemExit(3),
        KeyboardInterrupt(),
        GeneratorExit(),
        asyncio.CancelledError(),
        CancelledError(),
        StopIteration(),
        TimeoutError(),
        OddError(),
        BaseExceptionGroup("", [SystemExit()]),
    ],
    ids=lambda raised: type(raised).__name__,
)
def test_whatever_a_model_raises_is_one_error_of_the_model_wherever_it_is_called(
    raised: BaseException, *, in_loop: bool
) -> None:
    async def work() -> None:
        model = Model()
        predictor = PacedPredictor(model, 5)  # type: ignore[arg-type] # as above
        if in_loop:
            await predictor.predicted_rows(ROWS)
        model.raises = raised
        with pytest.raises(ModelError):
            await predictor.predicted_rows(ROWS)
        assert (model.threads[-1] is threading.main_thread()) == in_loop
        model.raises = None
        assert (await predictor.predicted_rows(ROWS)).scored.any()

    asyncio.run(work())


def test_a_prediction_that_takes_too_long_fails_alone_and_the_next_one_does_not_wait_for_it() -> None:
    async def work() -> None:
        model = Model()
        model.goes_on.clear()
        predictor = PacedPredictor(model, 0.05)  # type: ignore[arg-type] # as above
        with pytest.raises(ModelTimeoutError, match=r"version 1 did not answer within 0\.05 s"):
            await predictor.predicted_rows(ROWS)
        assert predictor.problem is None
        model.hangs = False
        assert (await predictor.predicted_rows(ROWS)).scored.any()
        model.goes_on.set()

    asyncio.run(work())


def test_a_model_that_hangs_again_and_again_is_said_to_and_called_no_more_until_one_call_is_back() -> None:
    async def work() -> None:
        model = Model()
        model.goes_on.clear()
        predictor = PacedPredictor(model, 0.02)  # type: ignore[arg-type] # as above
        for _ in range(6):
            with pytest.raises(ModelTimeoutError):
                await predictor.predicted_rows(ROWS)
        assert len(model.threads) == 4
        assert predictor.problem is not None
        assert "hangs: 4 predictions did not end" in predictor.problem
        model.goes_on.set()
        async with asyncio.timeout(5):
            while predictor.problem:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.001)
        assert (await predictor.predicted_rows(ROWS)).scored.any()

    asyncio.run(work())


def test_threads_keep_no_process_alive_and_end_with_what_they_belong_to() -> None:
    async def work() -> threading.Thread:
        model = Model()
        predictor = PacedPredictor(model, 5)  # type: ignore[arg-type] # as above
        await predictor.predicted_rows(ROWS)
        return model.threads[0]

    thread = asyncio.run(work())
    assert thread.daemon
    thread.join(timeout=5)
    assert not thread.is_alive()
