"""Rows of bytes by the column, as Arrow binary arrays: protocol buffers and whatever else is framed like them.

NumPy and Arrow kernels make the bytes of all rows at once, where a message object for each would be made in Python.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from numpy.typing import NDArray

VARINT: Final = 0
"""With the three below: the wire types of protocol buffers."""
FIXED64: Final = 1
DELIMITED: Final = 2
FIXED32: Final = 5

CACHED: Final = 65_536
"""Decoded cells that are kept: whole numbers and event times repeat among keys."""

_SHIFTS = np.arange(0, 70, 7, dtype=np.uint64)  # a varint carries 7 bits per byte, 64 bits in 10 bytes


class UnreadableError(ValueError):
    """What is stored is nothing that Feast writes, or an integer that a float64 can't hold exactly."""


def _ragged(rows: NDArray[np.uint8], lengths: NDArray[np.int64]) -> pa.BinaryArray:
    """The first `lengths[i]` bytes of each row of a byte matrix, as a binary column."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    used = rows[np.arange(rows.shape[1]) < lengths[:, None]]
    return pa.BinaryArray.from_buffers(pa.binary(), len(lengths), [None, pa.py_buffer(offsets), pa.py_buffer(used)])


def _prefixed(prefix: bytes, rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    head = np.broadcast_to(np.frombuffer(prefix, dtype=np.uint8), (len(rows), len(prefix)))
    return np.concatenate([head, rows], axis=1)


def fixed(prefix: bytes, numbers: NDArray[Any], valid: NDArray[np.bool_]) -> pa.BinaryArray:
    """Each number's little-endian bytes after the prefix; nothing where it isn't valid."""
    little = np.ascontiguousarray(numbers, dtype=numbers.dtype.newbyteorder("<"))
    rows = _prefixed(prefix, little.view(np.uint8).reshape(len(little), little.itemsize))
    return _ragged(rows, valid * rows.shape[1])


def varint(prefix: bytes, numbers: NDArray[np.int64], valid: NDArray[np.bool_]) -> pa.BinaryArray:
    """Each number as a protobuf varint (negatives in two's complement) after the prefix; nothing where not valid."""
    groups = numbers.astype(np.uint64)[:, None] >> _SHIFTS
    lengths = np.maximum(np.count_nonzero(groups, axis=1), 1)
    more = np.arange(len(_SHIFTS)) < lengths[:, None] - 1
    rows = (groups & np.uint64(0x7F)).astype(np.uint8) | (more * np.uint8(0x80))
    return _ragged(_prefixed(prefix, rows), valid * (lengths + len(prefix)))


def join(*parts: pa.BinaryArray | bytes) -> pa.BinaryArray:
    """Row-wise concatenation; bytes stand for a column of equal values."""
    binaries = [pa.scalar(part) if isinstance(part, bytes) else part for part in parts]
    return pc.binary_join_element_wise(*binaries, pa.scalar(b""))


def every(rows: int) -> NDArray[np.bool_]:
    """A mask that leaves none of the rows out."""
    return np.ones(rows, dtype=np.bool_)


def delimited(prefix: bytes, data: pa.BinaryArray) -> pa.BinaryArray:
    """Length and bytes after the prefix, as protobuf frames strings; nothing for nulls."""
    lengths = pc.binary_length(data).fill_null(0).to_numpy().astype(np.int64)
    framed = join(varint(prefix, lengths, every(len(data))), data)  # null where the data is
    return framed.fill_null(b"")
