"""Held-out rows: the last ones by time, as what a model is used for comes after what it has learned from."""

import numpy as np
from numpy.typing import NDArray

from driver_ranking.errors import RequestError


def split_by_time(time: NDArray[np.int64], test_size: float | None) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the indices to train on and the later ones to test on, each ascending.

    Args:
        time: int64 ``[n]``, the rows' event times.
        test_size: A share or a number of rows, as scikit-learn takes it. Rows of the earliest of these times are all
            tested on, so that it may be more.

    Raises:
        RequestError: Too few rows, or too few times, to have rows on both sides.
    """
    from sklearn.model_selection import train_test_split

    by_time = np.argsort(time, kind="stable")
    try:
        _, last = train_test_split(by_time, test_size=test_size, shuffle=False)
    except ValueError as error:
        message = f"{len(time)} orders with all features can't be split: {error}"
        raise RequestError(message) from error
    held_out = time >= time[last[0]]
    if held_out.all():
        message = (
            f"{len(time)} orders with all features can't be split by time: with `training.test_size` {test_size}, none "
            f"is earlier than those to test on. Use orders of more times, or a smaller `training.test_size`."
        )
        raise RequestError(message)
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)
