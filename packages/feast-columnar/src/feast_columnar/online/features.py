"""What is read of keys."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

UNREAD: Final = np.iinfo(np.int64).max
"""The event time of keys of which nothing was read."""


@dataclass(frozen=True)
class OnlineFeatures:
    """What the online store has of some keys.

    Attributes:
        matrix: float64 ``[n, k]``, a row for each key in the order asked, a column for each of the reader's
            ``columns``. Integers and booleans are there as numbers. NaN where a value is missing, null or older than
            its feature view's ttl.
        oldest: int64 ``[n]``, event time of each key's oldest feature row that is used, in microseconds since the
            epoch, UTC; the largest int64 (`UNREAD`) where there is none.
        unreadable: bool ``[n]``, keys of which the store holds something that can't be read: spoilt bytes, or an
            integer beyond 2**53, which no float64 holds exactly. What can't be read is missing. None if there are none.
    """

    matrix: NDArray[np.float64]
    oldest: NDArray[np.int64]
    unreadable: NDArray[np.bool_] | None = None
