"""A client's driver ids as int64, counted before they are copied; what is wrong ends it with the first that is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from driver_ranking.errors import RequestError, TooManyDriversError

_TYPES = {bool: "a boolean", str: "a string", float: "not a whole number", type(None): "null", bytes: "a string"}


@dataclass(frozen=True)
class TypedIds:
    """Whole numbers of 64 bits that are not copied before they are counted.

    Attributes:
        values: A gRPC message's.
    """

    values: Sequence[int]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.values)


def check_count(count: int, most: int) -> None:
    """Refuse no ids, and more than are taken.

    Raises:
        RequestError: There are none.
        TooManyDriversError: There are more than ``most``.
    """
    if count < 1:
        message = "The request has no driver ids; it must have at least one."
        raise RequestError(message)
    if count > most:
        message = f"The request has {count} driver ids; at most {most} are taken at once."
        raise TooManyDriversError(message)


def to_int64(values: list[Any], name: str) -> NDArray[np.int64]:
    """Return whole numbers as int64 ``[n]``.

    Raises:
        RequestError: One is something else or too large; the message names the first.
    """
    if set(map(type, values)) != {int}:
        place, value = next((place, value) for place, value in enumerate(values) if type(value) is not int)
        kind = _TYPES.get(type(value), "not a number")
        message = f"{name}[{place}] is {kind}; ids are whole numbers of 64 bits."
        raise RequestError(message)
    try:
        return np.array(values, dtype=np.int64)
    except OverflowError:
        bounds = np.iinfo(np.int64)
        place = next(place for place, value in enumerate(values) if not bounds.min <= value <= bounds.max)
        message = f"{name}[{place}] does not fit into 64 bits."
        raise RequestError(message) from None


def whole_ids(values: NDArray[np.int64] | TypedIds) -> NDArray[np.int64]:
    """Return ids that are whole numbers of 64 bits already, as int64 ``[n]``."""
    return np.array(values.values[:], dtype=np.int64) if isinstance(values, TypedIds) else values
