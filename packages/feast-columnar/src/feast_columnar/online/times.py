"""Times in Feast's bytes, `google.protobuf.Timestamp` messages, both ways; Arrow's timestamps in whole seconds."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp

from feast_columnar.online.wire import CACHED, UnreadableError, join, varint

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799  # of the years 1 to 9999, as a timestamp can have
_NANOS = 1_000_000_000

LAST: Final = _LAST_SECOND * 1_000_000
"""The last time that there is, in microseconds since the epoch."""


def whole_seconds(array: pa.Array) -> NDArray[np.int64]:
    """Seconds since the epoch of a column of timestamps; the smallest integer for a null, Feast's own sentinel."""
    times: NDArray[Any] = array.to_numpy(zero_copy_only=False).astype("datetime64[s]")
    return times.astype(np.int64)


def timestamps(micros: NDArray[np.int64]) -> pa.BinaryArray:
    """Serialized timestamp messages, which leave out fields that are zero."""
    seconds, rest = np.divmod(micros, 1_000_000)
    nanos = rest * 1_000
    return join(varint(b"\x08", seconds, seconds != 0), varint(b"\x10", nanos, nanos != 0))


@lru_cache(maxsize=4096)  # many keys share an event time
def timestamp_nanos(message: bytes) -> int:
    """Return the nanoseconds since the epoch in a serialized timestamp message, whatever it holds."""
    timestamp = Timestamp.FromString(message)
    return int(timestamp.seconds) * _NANOS + int(timestamp.nanos)


@lru_cache(maxsize=CACHED)
def timestamp_micros(cell: bytes | None) -> int:
    """Return the microseconds in a serialized timestamp message; 0 for none.

    Raises:
        UnreadableError: It is no time.
    """
    if not cell:
        return 0
    time = Timestamp.FromString(cell)
    if not (_FIRST_SECOND <= time.seconds <= _LAST_SECOND and 0 <= time.nanos < _NANOS):
        raise UnreadableError
    return int(time.seconds) * 1_000_000 + int(time.nanos) // 1_000
