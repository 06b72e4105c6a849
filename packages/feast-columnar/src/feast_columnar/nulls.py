"""Rows with a null in what an on-demand feature view computes from: in what company its code is given them.

Whether code can take a null may depend on which value is null, and on what the others are. What becomes of a row must
not depend on the rows that happen to be computed with it, nor on whether that is done offline or online: rows are
given to the code together only with those in which the same values are null, and where it fails, one by one.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray


def groups_by_nulls(is_null: NDArray[np.bool_]) -> tuple[NDArray[np.intp], list[NDArray[np.intp]]]:
    """Return the places of rows without a null, and those of the others in groups by which values are null.

    Args:
        is_null: bool ``[n, m]``, of each row which values are null.
    """
    incomplete = np.flatnonzero(is_null.any(axis=1))
    complete = np.flatnonzero(~is_null.any(axis=1))
    if not incomplete.size:
        return complete, []
    _, group = np.unique(is_null[incomplete], axis=0, return_inverse=True)
    group = group.reshape(-1)
    return complete, [incomplete[group == number] for number in range(int(group.max()) + 1)]


def compute_apart(
    groups: Sequence[NDArray[np.intp]], compute: Callable[[NDArray[np.intp]], None], failure: type[Exception]
) -> None:
    """Compute features of rows with nulls; those that the code can't take are left without.

    Args:
        groups: The places of the rows, by which values are null.
        compute: Computes the features of some of them, or fails and has done nothing.
        failure: How it fails.
    """
    for group in groups:
        try:
            compute(group)
        except failure:
            for row in np.split(group, len(group)) if len(group) > 1 else ():
                with suppress(failure):
                    compute(row)
