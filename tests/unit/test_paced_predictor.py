"""A quick model is called in the event loop, a slow one in a thread; what it is shows in its last batch."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest

from driver_ranking.errors import ModelError
from driver_ranking.model import RegisteredModel
from driver_ranking.serving.champion import PacedPredictor

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROWS = np.array([[1.0], [np.nan], [3.0]])


class Model:
    """Takes the time that it is told to, and remembers where it was called."""

    def __init__(self) -> None:
        self.model = RegisteredModel("model", "1", None, "source", "service", ("feature",), "path")
        self.seconds = 0.0
        self.fails = False
        self.threads: list[threading.Thread] = []

    def predict(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        self.threads.append(threading.current_thread())
        time.sleep(self.seconds)
        if self.fails:
            message = "no"
            raise ModelError(message)
        return features[:, 0]


async def places(model: Model, *seconds: float) -> list[str]:
    """Predict batches that take so long, and return where each was predicted."""
    predictor = PacedPredictor(model)  # type: ignore[arg-type] # all of it that is used
    with ThreadPoolExecutor(1) as thread:
        for one in seconds:
            model.seconds = one
            rows = await predictor.predicted_rows(ROWS, thread)
            np.testing.assert_array_equal(rows.score, [1, np.nan, 3])
            assert rows.scored.tolist() == [True, False, True]
    return ["loop" if one is threading.main_thread() else "thread" for one in model.threads]


def test_the_first_batch_is_tried_in_the_thread_and_each_one_says_where_the_next_is_predicted() -> None:
    found = asyncio.run(places(Model(), 0, 0, 0.01, 0.01, 0, 0))
    assert found == ["thread", "loop", "loop", "thread", "thread", "loop"]


def test_a_model_that_fails_says_so_wherever_it_is_called() -> None:
    async def work() -> None:
        model = Model()
        model.fails = True
        predictor = PacedPredictor(model)  # type: ignore[arg-type] # as above
        with ThreadPoolExecutor(1) as thread:
            for _ in range(2):
                with pytest.raises(ModelError):
                    await predictor.predicted_rows(ROWS, thread)
        assert len(model.threads) == 2

    asyncio.run(work())
