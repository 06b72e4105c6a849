"""Entity keys in Feast's bytes: of any types, and by a faster way those that are one integer."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.value_type import ValueType

from feast_columnar.online.times import whole_seconds
from feast_columnar.online.values import scalars
from feast_columnar.online.wire import every, fixed, join

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

KEY_VERSION: Final = 3
"""The only layout of entity keys that is written and read here: Feast's present one, its default."""


# --- Keys of any types ------------------------------------------------------------------------------------------------


_LENGTH: Final = struct.Struct("<I")


def _u32(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}I", *numbers)


def _key_part(array: pa.Array, value_type: ValueType) -> pa.BinaryArray:
    """One value of the entity key: its type, its length and its bytes."""
    kind, rows = _u32(value_type.value), every(len(array))
    if value_type is ValueType.INT32:
        return fixed(kind + _u32(4), array.to_numpy(), rows)
    if value_type is ValueType.INT64:
        return fixed(kind + _u32(8), array.to_numpy(), rows)
    if value_type is ValueType.UNIX_TIMESTAMP:
        return fixed(kind + _u32(8), whole_seconds(array), rows)
    data = array.cast(pa.binary())
    return join(fixed(kind, pc.binary_length(data).to_numpy(), rows), data)


KEY_TYPES: Final = frozenset(
    {ValueType.INT32, ValueType.INT64, ValueType.UNIX_TIMESTAMP, ValueType.STRING, ValueType.BYTES}
)
"""The types that Feast's serialization takes; of a UUID, say, it raises an error."""


def _key_column(array: pa.Array, value_type: ValueType) -> pa.BinaryArray | None:
    if value_type not in KEY_TYPES or array.null_count:
        return None
    fitting = scalars(array, value_type)
    return None if fitting is None else _key_part(fitting, value_type)


def encode_keys(batch: pa.RecordBatch, join_keys: Mapping[str, ValueType]) -> pa.BinaryArray | None:
    """Serialized entity keys, layout 3.

    Args:
        batch: Has a column for each join key.
        join_keys: The declared type of each join key, any order.

    Returns:
        A key per row, or None if there are nulls or types among the keys that only Feast's own code may judge.
    """
    names = sorted(join_keys)  # the layout's order
    parts = [_key_column(batch.column(name), join_keys[name]) for name in names]
    return None if any(part is None for part in parts) else join(key_head(names), *parts)


def packed_keys(columns: Mapping[str, Any], join_keys: Mapping[str, ValueType]) -> list[bytes]:
    """Serialized entity keys likewise, of a request's few rows: Arrow's kernels cost more than these have to do.

    Args:
        columns: A column for each join key, without nulls: an integer array of its width, or Arrow's of its type.
        join_keys: The declared type of each, any order.
    """
    names = sorted(join_keys)  # the layout's order
    parts = [
        _packed(columns[name], join_keys[name], b"" if place else key_head(names)) for place, name in enumerate(names)
    ]
    return parts[0] if len(parts) == 1 else [*map(b"".join, zip(*parts, strict=True))]


def _packed(column: Any, value_type: ValueType, head: bytes) -> list[bytes]:  # noqa: ANN401 - NumPy's or Arrow's
    """One value of each key: its type, its length and its bytes, after what all of them begin with."""
    head += _u32(value_type.value)
    if value_type in {ValueType.STRING, ValueType.BYTES}:
        values = column.to_numpy(zero_copy_only=False).tolist()
        texts = [one.encode() for one in values] if value_type is ValueType.STRING else values
        heads = {size: head + _LENGTH.pack(size) for size in set(map(len, texts))}  # few: keys are alike
        return [heads[len(text)] + text for text in texts]
    integers = whole_seconds(column) if value_type is ValueType.UNIX_TIMESTAMP else column
    width = integers.dtype.itemsize
    head, joined = head + _LENGTH.pack(width), integers.astype(f"<i{width}").tobytes()
    return [head + joined[start : start + width] for start in range(0, len(joined), width)]


def key_head(names: Iterable[str]) -> bytes:
    """Return what all keys of some join keys begin with: how many, and their names in the layout's order."""
    spelled = [name.encode() for name in sorted(names)]
    head = b"".join(_u32(ValueType.STRING.value, len(name)) + name for name in spelled)
    return _u32(len(spelled)) + head


# --- Keys of one integer ----------------------------------------------------------------------------------------------


def entity_key(join_key: str, value_field: str, value: int) -> EntityKey:
    """Return Feast's key of one integer.

    Args:
        join_key: Name of the one join key, in the store.
        value_field: ``int64_val`` or ``int32_val``.
        value: The integer.
    """
    message = Value(int64_val=value) if value_field == "int64_val" else Value(int32_val=value)
    return EntityKey(join_keys=[join_key], entity_values=[message])


@dataclass(frozen=True)
class KeyBytes:
    """Feast's serialized entity keys, which differ in the bytes of one integer alone.

    Attributes:
        before: What comes before it.
        after: What comes after it.
        dtype: How it is stored, ``<i8`` or ``<i4``.
    """

    before: bytes
    after: bytes
    dtype: str

    @classmethod
    def of(cls, join_key: str, value_field: str) -> KeyBytes:
        """Take the layout from Feast's own serialization of a key.

        Args:
            join_key: As in `entity_key`.
            value_field: Likewise.
        """
        code, dtype = ("<q", "<i8") if value_field == "int64_val" else ("<i", "<i4")
        sample = 0x0102_0304
        key = serialize_entity_key(
            entity_key(join_key, value_field, sample), entity_key_serialization_version=KEY_VERSION
        )
        before, after = key.split(struct.pack(code, sample))
        return cls(before, after, dtype)

    def rows(self, integers: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the keys as uint8 ``[n, length]``."""
        size = np.dtype(self.dtype).itemsize
        start = len(self.before)
        keys = np.empty((len(integers), start + size + len(self.after)), dtype=np.uint8)
        keys[:, :start] = np.frombuffer(self.before, dtype=np.uint8)
        keys[:, start : start + size] = integers.astype(self.dtype).view(np.uint8).reshape(-1, size)
        keys[:, start + size :] = np.frombuffer(self.after, dtype=np.uint8)
        return keys
