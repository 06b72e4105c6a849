"""What is read of keys."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

UNREAD: Final = np.iinfo(np.int64).max
"""The event time of keys of which nothing was read."""


@dataclass(frozen=True)
class RowTimes:
    """The event times of the rows that some columns come from.

    Attributes:
        columns: The columns.
        times: int64 ``[n]``, or ``[1]`` where all keys have one row; 0 for one that is not there.
        usable: bool likewise, which rows count at the time of the request.
    """

    columns: tuple[str, ...]
    times: NDArray[np.int64]
    usable: NDArray[np.bool_]


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
        others: The reader's ``others`` by name, objects ``[n]``: str, bytes or bool; None where a value is missing,
            null or older than its feature view's ttl.
        rows: Which rows the columns come from; `event_times` has them by column.
    """

    matrix: NDArray[np.float64]
    oldest: NDArray[np.int64]
    unreadable: NDArray[np.bool_] | None = None
    others: Mapping[str, NDArray[np.object_]] = field(default_factory=dict)
    rows: tuple[RowTimes, ...] = ()

    def event_times(self) -> dict[str, NDArray[np.int64]]:
        """Return when each value was true, for each of the reader's ``columns`` and ``others``.

        Returns:
            By column, int64 ``[n]``, event times of the feature rows in microseconds since the epoch, UTC, also where
            a row's value is null; `UNREAD` where there is no row that counts. What is computed has the time of the
            oldest row that it is computed from, and `UNREAD` where that is none.
        """
        found: dict[str, NDArray[np.int64]] = {}
        for one in self.rows:
            times = np.where(one.usable & (one.times != 0), one.times, UNREAD)
            found |= {name: np.broadcast_to(times, len(self.oldest)).copy() for name in one.columns}
        return found
