"""Whole numbers of clients, counted before they are copied; what is wrong ends it with the first that is."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from driver_ranking.errors import RequestError, TooManyDriversError

_TYPES = {bool: "a boolean", str: "a string", float: "not a whole number", type(None): "null", bytes: "a string"}
_LONG = 64


def check_count(count: int, most: int, noun: str) -> None:
    """Refuse no candidates, and more than are taken.

    Args:
        count: How many there are.
        most: How many there may be.
        noun: What they are called.

    Raises:
        RequestError: There are none.
        TooManyDriversError: There are more than ``most``.
    """
    if count < 1:
        message = f"The request has no {noun}; it must have at least one."
        raise RequestError(message)
    if count > most:
        message = f"The request has {count} {noun}; at most {most} are taken at once."
        raise TooManyDriversError(message)


def to_int64(values: list[Any], name: str, *, called: str = "ids", bits: int = _LONG) -> NDArray[np.int64]:
    """Return whole numbers as int64 ``[n]``.

    Args:
        values: The numbers.
        name: How messages name the list.
        called: How messages call what is in it.
        bits: How many bits each has to fit into, 64 or 32.

    Raises:
        RequestError: One is something else or too large; the message names the first.
    """
    if set(map(type, values)) != {int} and values:
        place, value = next((place, value) for place, value in enumerate(values) if type(value) is not int)
        kind = _TYPES.get(type(value), "not a number")
        message = f"{name}[{place}] is {kind}; {called} are whole numbers of {bits} bits."
        raise RequestError(message)
    try:
        return np.array(values, dtype=np.int64) if bits == _LONG else np.array(values, dtype=np.int32).astype(np.int64)
    except OverflowError:
        most = 2 ** (bits - 1)
        place = next(place for place, value in enumerate(values) if not -most <= value < most)
        message = f"{name}[{place}] does not fit into {bits} bits."
        raise RequestError(message) from None
