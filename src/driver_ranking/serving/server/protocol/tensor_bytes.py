"""Tensors as bytes: the binary tensors of REST and the raw contents of gRPC, which are the same.

Numbers lie one after the other, little-endian; a boolean is one byte; each text or bytes comes after its length.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

DTYPES: Mapping[str, np.dtype[Any]] = {
    "INT64": np.dtype("<i8"),
    "INT32": np.dtype("<i4"),
    "FP64": np.dtype("<f8"),
    "FP32": np.dtype("<f4"),
    "BOOL": np.dtype("u1"),
}
"""What numbers and booleans are as bytes, by datatype. All else that is taken is BYTES."""

_LENGTH = struct.Struct("<I")  # how many bytes follow


@dataclass(frozen=True)
class PackedTexts:
    """Texts or bytes, each after its length, that are not looked at before it is known how many there may be.

    Attributes:
        data: All of them.
    """

    data: bytes

    def unpacked(self, count: int) -> list[bytes] | None:
        """Return them; None if they are not as many."""
        values, place, data = [], 0, self.data
        try:
            for _ in range(count):
                start = place + _LENGTH.size
                place = start + _LENGTH.unpack_from(data, place)[0]
                values.append(data[start:place])
        except struct.error:  # the end came before that of a length
            return None
        return values if place == len(data) else None


def fits_exactly(datatype: str, size: int) -> bool:
    """Return whether so many bytes are whole values of a datatype."""
    return datatype not in DTYPES or size % DTYPES[datatype].itemsize == 0


def from_bytes(datatype: str, data: bytes) -> NDArray[Any] | PackedTexts:
    """Return the values ``[n]`` that bytes are; nothing of a datatype that no input has."""
    if datatype in DTYPES:
        return np.frombuffer(data, DTYPES[datatype])
    return PackedTexts(data) if datatype == "BYTES" else np.empty(0, np.int64)


def to_bytes(datatype: str, values: list[Any]) -> bytes:
    """Return values as bytes."""
    if datatype in DTYPES:
        return np.array(values, DTYPES[datatype]).tobytes()
    return b"".join(_LENGTH.pack(len(value)) + value for value in map(as_bytes, values))


def as_bytes(value: str | bytes) -> bytes:
    """Return a text as it is sent."""
    return value.encode() if isinstance(value, str) else value
