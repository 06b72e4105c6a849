"""The last orders by time are held out, and orders of one time are on one side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from driver_ranking.errors import RequestError
from driver_ranking.pipelines.training.split import split_by_time

if TYPE_CHECKING:
    from numpy.typing import NDArray

TIMES = st.lists(st.integers(-5, 20) | st.integers(-(2**62), 2**62), min_size=2, max_size=60)
SIZES = st.floats(0.01, 0.99) | st.integers(1, 30)


def of(times: list[int]) -> NDArray[np.int64]:
    return np.array(times, dtype=np.int64)


@given(times=TIMES, test_size=SIZES)
@example(times=[3, 1, 2, 2, 2], test_size=2)
@example(times=[1, 1, 1], test_size=1)
def test_what_is_held_out_is_later_than_all_that_is_trained_on(times: list[int], test_size: float) -> None:
    time = of(times)
    try:
        asked = len(train_test_split(time, test_size=test_size, shuffle=False)[1])
    except ValueError:
        with pytest.raises(RequestError, match="can't be split"):
            split_by_time(time, test_size)
        return
    boundary = np.sort(time)[-asked]
    if boundary == time.min():
        with pytest.raises(RequestError, match="none is earlier than those to test on"):
            split_by_time(time, test_size)
        return
    train, test = split_by_time(time, test_size)
    assert time[train].max() < time[test].min() == boundary
    assert sorted([*train, *test]) == list(range(len(time)))
    assert (np.diff(train) > 0).all()
    assert (np.diff(test) > 0).all()
    assert len(test) >= asked > (time > boundary).sum(), "no more than the orders of one time are added"


def test_without_equal_times_it_is_as_many_as_scikit_learn_takes() -> None:
    train, test = split_by_time(of([5, 4, 3, 2, 1, 0, 9, 8, 7, 6]), 0.25)
    assert (train.tolist(), test.tolist()) == ([0, 1, 2, 3, 4, 5, 9], [6, 7, 8])


@pytest.mark.parametrize("test_size", [0, 1.0, 3, -1, 1.5])
def test_a_size_that_leaves_nothing_on_a_side_is_refused(test_size: float) -> None:
    with pytest.raises(RequestError, match="3 orders with all features can't be split: "):
        split_by_time(of([1, 2, 3]), test_size)
