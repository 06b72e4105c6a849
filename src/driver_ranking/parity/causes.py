"""Why a row that was read differs from the row that is known now as of the read. Pure NumPy."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray


class Cause(IntEnum):
    """The cause of a difference; of a feature that is computed of several rows, the largest of theirs counts."""

    NONE = 0
    ROUNDING = 1
    DEFAULTED = 2
    CORRECTED = 3
    LATE = 4
    STALE = 5
    EXPIRED = 6
    EMPTIED = 7
    UNRECORDED = 8
    VERSION = 9
    UNEXPLAINED = 10


CAUSES: Final = tuple(one for one in Cause if one is not Cause.NONE)


@dataclass(frozen=True)
class Times:
    """Rows by their times, int64 ``[n]`` in microseconds.

    Attributes:
        event: Event times; `none` where there is no row.
        created: When they were written; `none` where that is not known.
        usable: bool ``[n]``, whether they are used.
    """

    event: NDArray[np.int64]
    created: NDArray[np.int64]
    usable: NDArray[np.bool_]


def causes_of(
    brought: Times, known: Times, then: Times, brought_up_to: NDArray[np.int64], none: int
) -> NDArray[np.int8]:
    """Return why rows that were brought online are not those that are known now.

    Args:
        brought: The rows as materializations brought them.
        known: The rows as of the read, by all that is known now.
        then: The rows as of the read, by what was known at that moment.
        brought_up_to: The last event time that the last materialization asked for.
        none: Stands for no time.

    Returns:
        int8 ``[n]`` of `Cause`: nothing where both are one row, used or not used both. A row is corrected if another
        one of its event time was written later. A later event is late if it was written after its time had been
        brought, or after the read, and else it is stale: the next materialization would bring it, which begins where
        the last one ended.
    """
    one_event = brought.event == known.event
    same = one_event & (brought.created == known.created)
    then_same = (then.event == brought.event) & (then.created == brought.created)
    late = then_same | (then.event < brought_up_to)
    cause = np.where(late, Cause.LATE, Cause.STALE).astype(np.int8)
    cause[one_event | ((then.event == brought.event) & ~then_same)] = Cause.CORRECTED
    is_there = brought.event != none
    cause[is_there & ~brought.usable] = Cause.EXPIRED
    cause[is_there & (known.event < brought.event)] = Cause.EXPIRED  # of the future
    unlike_use = brought.usable != known.usable
    cause[same & unlike_use] = Cause.EXPIRED
    cause[same & ~unlike_use] = Cause.NONE
    cause[~is_there & (known.event == none)] = Cause.NONE
    return cause


def available_for(then: Times, now: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for how long the row that should have been read had been there to be brought, in microseconds."""
    return np.asarray(now - np.maximum(then.event, np.minimum(then.created, now)))
