"""Feature values in Feast's bytes, serialized `Value` messages, both ways and by the column.

A `Value` message is a tag followed by a payload. Columns of plain scalars become such bytes, and such bytes numbers,
without a message object for each. Columns other than plain scalars (lists, maps, JSON, decimals, ...) go through
Feast's conversion one column at a time, so that one list column doesn't slow its neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

import numpy as np
import pyarrow as pa
from feast.infra.online_stores.helpers import extract_text_and_num
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import python_values_to_proto_values
from feast.types import Float32, Float64
from feast.value_type import ValueType

from feast_columnar.exactness import EXACT_INTEGERS
from feast_columnar.online.times import whole_seconds
from feast_columnar.online.wire import (
    CACHED,
    DELIMITED,
    FIXED32,
    FIXED64,
    VARINT,
    UnreadableError,
    delimited,
    every,
    fixed,
    varint,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

Texts: TypeAlias = "list[str | None]"
Cells: TypeAlias = "Sequence[bytes | None]"

_NUMBERS = frozenset({"int32_val", "int64_val", "float_val", "double_val", "bool_val"})


def _tag(field: str, wire_type: int) -> bytes:
    return bytes([Value.DESCRIPTOR.fields_by_name[field].number << 3 | wire_type])


# --- Columns to bytes -------------------------------------------------------------------------------------------------


class Column(Protocol):
    """A feature's values, ready to be stored."""

    def wire(self) -> pa.BinaryArray:
        """Serialized `Value` messages; empty bytes for nulls, as Feast has it."""
        ...

    def texts(self) -> Texts:
        """What Feast's SQL stores keep beside the value for text search; None where they keep nothing."""
        ...


@dataclass(frozen=True)
class Numbers:
    """Doubles, floats, integers or booleans; a float that is NaN is a null, as it is to pandas."""

    tag: bytes
    values: NDArray[Any]
    valid: NDArray[np.bool_]

    def wire(self) -> pa.BinaryArray:
        """Fixed width for floats and booleans (a one-byte varint), varints for integers."""
        if self.values.dtype.kind == "i":
            return varint(self.tag, self.values, self.valid)
        return fixed(self.tag, self.values, self.valid)

    def texts(self) -> Texts:
        """Python's own spelling of each number."""
        texts: Texts = list(map(str, self.values.tolist()))
        for row in np.flatnonzero(~self.valid).tolist():
            texts[row] = None
        return texts


@dataclass(frozen=True)
class Strings:
    """Strings or bytes; of bytes no text is kept."""

    tag: bytes
    values: pa.Array

    def wire(self) -> pa.BinaryArray:
        """Length and bytes after the tag."""
        return delimited(self.tag, self.values.cast(pa.binary()))

    def texts(self) -> Texts:
        """The strings themselves."""
        if pa.types.is_binary(self.values.type):
            return [None] * len(self.values)
        texts: Texts = self.values.to_pylist()
        return texts


@dataclass(frozen=True)
class Moments:
    """Timestamps in whole seconds since 1970; a null is the smallest integer, Feast's own sentinel."""

    tag: bytes
    seconds: NDArray[np.int64]

    def wire(self) -> pa.BinaryArray:
        """Varints."""
        return varint(self.tag, self.seconds, every(len(self.seconds)))

    def texts(self) -> Texts:
        """None: Feast keeps no text of timestamps."""
        return [None] * len(self.seconds)


@dataclass(frozen=True)
class Messages:
    """Any other type: `Value` messages made by Feast."""

    values: Sequence[Value]

    def wire(self) -> pa.BinaryArray:
        """Serialized one by one."""
        return pa.array([value.SerializeToString() for value in self.values], type=pa.binary())

    def texts(self) -> Texts:
        """By Feast's own rule."""
        return [extract_text_and_num(value, compute_num=False)[0] for value in self.values]


def _floats(array: pa.Array, tag: bytes) -> Column:
    values = array.to_numpy(zero_copy_only=False)  # nulls become NaN
    return Numbers(tag, values, ~np.isnan(values))


def _integers(array: pa.Array, tag: bytes) -> Column:
    valid = array.is_valid().to_numpy(zero_copy_only=False)
    return Numbers(tag, array.fill_null(0).to_numpy().astype(np.int64), valid)


def _booleans(array: pa.Array, tag: bytes) -> Column:
    valid = array.is_valid().to_numpy(zero_copy_only=False)
    return Numbers(tag, array.fill_null(fill_value=False).to_numpy(zero_copy_only=False), valid)


def _strings(array: pa.Array, tag: bytes) -> Column:
    return Strings(tag, array)


def _moments(array: pa.Array, tag: bytes) -> Column:
    return Moments(tag, whole_seconds(array))


def _is_string(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


@dataclass(frozen=True)
class _Scalar:
    """How a Feast scalar is encoded: which Arrow types do, what they are cast to, and the encoder."""

    field: str
    wire_type: int
    accepts: Callable[[pa.DataType], bool]
    arrow: pa.DataType | None
    column: Callable[[pa.Array, bytes], Column]

    def cast(self, array: pa.Array) -> pa.Array | None:
        """The array in the encoder's type, or None if it has another kind of type or values that don't fit."""
        if not self.accepts(array.type):
            return None
        try:
            return array.cast(self.arrow) if self.arrow else array
        except pa.ArrowInvalid:  # Feast judges values out of range
            return None

    def encode(self, array: pa.Array) -> Column:
        return self.column(array, _tag(self.field, self.wire_type))


_SCALARS: Final[Mapping[ValueType, _Scalar]] = {
    ValueType.DOUBLE: _Scalar("double_val", FIXED64, _is_number, pa.float64(), _floats),
    ValueType.FLOAT: _Scalar("float_val", FIXED32, pa.types.is_float32, None, _floats),
    ValueType.INT64: _Scalar("int64_val", VARINT, pa.types.is_integer, pa.int64(), _integers),
    ValueType.INT32: _Scalar("int32_val", VARINT, pa.types.is_integer, pa.int32(), _integers),
    ValueType.BOOL: _Scalar("bool_val", VARINT, pa.types.is_boolean, None, _booleans),
    ValueType.STRING: _Scalar("string_val", DELIMITED, _is_string, pa.string(), _strings),
    ValueType.BYTES: _Scalar("bytes_val", DELIMITED, _is_bytes, pa.binary(), _strings),
    ValueType.UNIX_TIMESTAMP: _Scalar("unix_timestamp_val", VARINT, pa.types.is_timestamp, None, _moments),
}


def _objects(array: pa.Array) -> Any:  # noqa: ANN401 - what Feast's conversion takes: a list or an array of anything
    # NumPy has no integers with nulls: one null would make doubles of them all, in the batches that have one.
    return array.to_pylist() if pa.types.is_integer(array.type) else array.to_numpy(zero_copy_only=False)


def _plain(array: pa.Array) -> pa.Array:
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def scalars(array: pa.Array, value_type: ValueType) -> pa.Array | None:
    """A column in the Arrow type that a scalar's bytes are made from.

    Returns:
        None if the value type is no plain scalar, or the column has another kind of type or values that don't fit.
    """
    scalar = _SCALARS.get(value_type)
    return scalar.cast(_plain(array)) if scalar else None


def encode_column(array: pa.Array, value_type: ValueType) -> Column:
    """A feature column, ready to be stored.

    Args:
        array: The values, any Arrow type that Feast converts to the value type.
        value_type: The type that the feature view declares.

    Returns:
        The column, as many rows as the array.

    Raises:
        AssertionError, TypeError, ValueError: From Feast, if values don't fit the declared type.
    """
    scalar, fitting = _SCALARS.get(value_type), scalars(array, value_type)
    if scalar and fitting is not None:
        return scalar.encode(fitting)
    return Messages(python_values_to_proto_values(_objects(_plain(array)), value_type))


# --- Bytes to numbers -------------------------------------------------------------------------------------------------


@lru_cache(maxsize=CACHED)
def _cell_number(cell: bytes | None) -> float:
    """Return the number in a serialized value message; NaN for null."""
    return number(Value.FromString(cell)) if cell else np.nan


def number(value: Any) -> float:  # noqa: ANN401 - a protobuf message
    """Return the number in a value message; NaN for null.

    Raises:
        UnreadableError: It holds something else, or an integer that a batch run refuses too.
    """
    field = value.WhichOneof("val")
    if field in _NUMBERS:
        stored = getattr(value, field)
        if field == "int64_val" and is_inexact(stored):
            raise UnreadableError
        return float(stored)
    if field in {None, "null_val"}:
        return np.nan
    raise UnreadableError


def is_inexact(value: object) -> bool:
    """Tell an integer of which a float64 may stand for its neighbours as well: it is never rounded in silence."""
    return isinstance(value, (int, np.integer)) and abs(int(value)) > EXACT_INTEGERS


def numbers(row: Mapping[str, Any] | None, names: Sequence[str]) -> list[float]:
    """Return the numbers of some features of a row as Feast gives it; NaN for what is not there."""
    if row is None:
        return [np.nan] * len(names)
    return [number(row[name]) if name in row else np.nan for name in names]


@dataclass(frozen=True)
class FixedWidth:
    """Float columns: a tag and little-endian bytes in each cell, decoded all at once.

    Attributes:
        tag: The tag, one byte.
        dtype: The numbers' type, ``<f4`` or ``<f8``.
    """

    tag: bytes
    dtype: str

    def decode(self, cells: Cells) -> NDArray[np.float64] | None:
        """Return float64 ``[n]``; None if a cell holds something else."""
        width = 1 + np.dtype(self.dtype).itemsize
        null = self.tag + np.array(np.nan, self.dtype).tobytes()
        filled = [cell or null for cell in cells]
        if set(map(len, filled)) != {width}:  # each of them: one cut short may stand beside one that is too long
            return None
        rows = np.frombuffer(b"".join(filled), dtype=[("tag", "S1"), ("number", self.dtype)])
        if not (rows["tag"] == self.tag).all():
            return None
        return rows["number"].astype(np.float64)


def fixed_width(dtype: object) -> FixedWidth | None:
    """Return how a feature's type is stored if that is of one width."""
    if dtype == Float32:
        return FixedWidth(_tag("float_val", FIXED32), "<f4")
    if dtype == Float64:
        return FixedWidth(_tag("double_val", FIXED64), "<f8")
    return None


def decode_column(cells: Cells, width: FixedWidth | None) -> NDArray[np.float64]:
    """Return the numbers in serialized value messages, float64 ``[n]``; NaN for null.

    Args:
        cells: The messages.
        width: How the feature is stored, if that is of one width.

    Raises:
        Exception: A cell holds something else; whatever spoilt cells may lead to.
    """
    decoded = width.decode(cells) if width and cells else None
    if decoded is None:
        return np.array([_cell_number(cell) for cell in cells], dtype=np.float64)
    return decoded
