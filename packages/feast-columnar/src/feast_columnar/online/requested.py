"""What a caller asks a reader for: keys and what else a request has, checked and as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
from feast.types import Bool, Bytes, FeastType, Float32, Float64, Int32, Int64, String, UnixTimestamp
from numpy.typing import NDArray

from feast_columnar.errors import RequestError

Columns: TypeAlias = Mapping[str, NDArray[Any] | Sequence[Any]]
"""Values by name: of each as many as there are rows, or one for all of them."""

Keys: TypeAlias = NDArray[np.int64] | Columns
"""Keys: an array where there is one that is an integer, else columns of them."""


def _is_string(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


# What Feast's types may be given as, and what that becomes. An integer key that is too large for its view is one that
# the view does not have, and a number is not rounded to what the request source declares: Feast takes it as it is.
_GIVEN: Final[Mapping[FeastType, tuple[Any, pa.DataType]]] = {
    Int64: (pa.types.is_integer, pa.int64()),
    Int32: (pa.types.is_integer, pa.int64()),
    Float64: (_is_number, pa.float64()),
    Float32: (_is_number, pa.float64()),
    Bool: (pa.types.is_boolean, pa.bool_()),
    String: (_is_string, pa.string()),
    Bytes: (_is_bytes, pa.binary()),
    UnixTimestamp: (pa.types.is_timestamp, pa.timestamp("us")),
}

REQUEST_TYPES: Final = frozenset(_GIVEN)
"""The types that what comes with a request may have."""


@dataclass(frozen=True)
class Requested:
    """What is asked for.

    Attributes:
        count: How many rows.
        keys: By name, n of them or one: int64 arrays of integers, Arrow arrays of other types.
        request: What else the request has, by name, n or one: Arrow arrays.
    """

    count: int
    keys: Mapping[str, Any]
    request: Mapping[str, pa.Array] = field(default_factory=dict)


@dataclass(frozen=True)
class RequestSchema:
    """What a request has to have.

    Attributes:
        keys: The names of the keys, with their types.
        request: The names of what else it has, likewise.
    """

    keys: Mapping[str, FeastType]
    request: Mapping[str, FeastType] = field(default_factory=dict)

    @cached_property
    def integer(self) -> str | None:
        """Return the name of the one key where that is an integer."""
        return next((name for name, kind in self.keys.items() if len(self.keys) == 1 and kind in (Int64, Int32)), None)

    def requested(self, keys: Keys, request: Columns | None = None) -> Requested:
        """Check what is asked for.

        Raises:
            RequestError: Something is missing, unknown, null, or of another type or length.
        """
        if isinstance(keys, np.ndarray):
            name = self.integer
            if name is None:
                message = (
                    f"What is read has {_named('key', self.keys)}: give a mapping from the name of each to an array."
                )
                raise RequestError(message)
            if keys.dtype == np.int64 and keys.ndim == 1 and not request and not self.request:
                return Requested(len(keys), {name: keys})  # what a server asks for all the time
            keys = {name: keys}
        columns = _columns("key", self.keys, keys)
        data = _columns("request feature", self.request, {} if request is None else request)
        count = _count(columns, data)
        for name, column in columns.items():
            if column.null_count:
                message = f"The key {name!r} has a null: leave out the rows that have no key."
                raise RequestError(message)
        integers = (Int64, Int32)
        found = {name: one.to_numpy() if self.keys[name] in integers else one for name, one in columns.items()}
        return Requested(count, found, data)


def _columns(what: str, wanted: Mapping[str, FeastType], given: Columns) -> dict[str, pa.Array]:
    """Return what is given, as columns of the types that are wanted."""
    missing, unknown = [name for name in wanted if name not in given], [name for name in given if name not in wanted]
    if missing or unknown:
        fault = f"{missing[0]!r} is missing" if missing else f"{unknown[0]!r} is unknown"
        message = f"The {what} {fault}: what is read has {_named(what, wanted)}."
        raise RequestError(message)
    return {name: _column(what, name, dtype, given[name]) for name, dtype in wanted.items()}


def _column(what: str, name: str, dtype: FeastType, given: Any) -> pa.Array:  # noqa: ANN401 - whatever a caller has
    """Return one column."""
    accepts, arrow = _GIVEN[dtype]
    message = f"The {what} {name!r} has to be an array of one dimension, of {dtype}, not"
    if not isinstance(given, (np.ndarray, list, tuple)):
        message = f"{message} {type(given).__name__}: also one value for all rows is given as an array of one."
        raise RequestError(message)
    if isinstance(given, np.ndarray) and given.dtype.kind == "S":
        given = given.tolist()
    try:
        array = pa.array(given)
        if pa.types.is_null(array.type) or accepts(array.type):
            return array.cast(arrow)
        message = f"{message} of {array.type}."
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        message = f"{message} what was given: {error}"
    raise RequestError(message)


def _count(keys: Mapping[str, pa.Array], request: Mapping[str, pa.Array]) -> int:
    """Return how many rows are asked for."""
    lengths = [
        (f"the {what} {name!r}", len(column))
        for what, columns in (("key", keys), ("request feature", request))
        for name, column in columns.items()
    ]
    of, count = next(((name, length) for name, length in lengths if length != 1), ("", 1))
    for name, length in lengths:
        if length not in {1, count}:
            message = f"{name} has {length:,} values, {of} {count:,}: give as many of each, or one for all."
            raise RequestError(message[0].upper() + message[1:])
    return count


def _named(what: str, wanted: Mapping[str, FeastType]) -> str:
    """Return names and types for a message."""
    if not wanted:
        return f"no {what}"
    listed = ", ".join(f"{name!r} ({kind})" for name, kind in wanted.items())
    return f"the {what}{'s' if len(wanted) > 1 else ''} {listed}"
