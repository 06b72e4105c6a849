"""The keys of a feature view's rows: how they are made of a request's, and what a store is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.value_type import ValueType

from feast_columnar.online.keys import KeyBytes, packed_keys
from feast_columnar.online.times import whole_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_INT32 = np.iinfo(np.int32)
_INTEGER_FIELDS: Final = {ValueType.INT64: "int64_val", ValueType.INT32: "int32_val"}
_FIELDS: Final = {
    **_INTEGER_FIELDS,
    ValueType.FLOAT: "double_val",  # what comes with a request is not rounded: Feast takes it as it is
    ValueType.DOUBLE: "double_val",
    ValueType.BOOL: "bool_val",
    ValueType.STRING: "string_val",
    ValueType.BYTES: "bytes_val",
    ValueType.UNIX_TIMESTAMP: "unix_timestamp_val",
}
_MANY: Final = 32  # rows, from which on it is worth a look whether they ask for keys repeatedly
_STAND_IN: Final = pa.array([DUMMY_ENTITY_VAL])  # the key of views that have none


@dataclass(frozen=True)
class KeyColumn:
    """One of a view's join keys.

    Attributes:
        stored: Its name in the store.
        asked: What requests call it.
        value_type: Its type.
    """

    stored: str
    asked: str
    value_type: ValueType


@dataclass(frozen=True)
class ViewKey:
    """How a feature view's rows are keyed.

    Attributes:
        columns: Its join keys; the one that stands for none, of a view without an entity.
    """

    columns: tuple[KeyColumn, ...]

    @cached_property
    def asked(self) -> dict[str, ValueType]:
        """Return what requests have to say, with the types."""
        return {one.asked: one.value_type for one in self.columns if one.stored != DUMMY_ENTITY_ID}

    @cached_property
    def stored(self) -> dict[str, ValueType]:
        """Return the names in the store, with the types."""
        return {one.stored: one.value_type for one in self.columns}

    def layout(self) -> KeyBytes | None:
        """Return the layout of the keys where they are one integer; None where they are not."""
        if len(self.columns) != 1 or self.columns[0].value_type not in _INTEGER_FIELDS:
            return None
        return KeyBytes.of(self.columns[0].stored, _INTEGER_FIELDS[self.columns[0].value_type])

    def keys_of(self, asked: Mapping[str, Any]) -> ViewKeys:
        """Return the keys that a request asks for: one where it has one value of each, however many rows it has.

        Of many rows each key is there once. Integers that are all that is asked for are left as they are: who asks for
        many of them has each once already, as a rule.

        Args:
            asked: By name int64 ``[n]`` or ``[1]`` for integers, an Arrow array of n or 1 for other types.
        """
        columns: list[Any] = []
        known: NDArray[np.bool_] | None = None
        for one in self.columns:
            column = asked.get(one.asked, _STAND_IN)
            if one.value_type is ValueType.INT32:
                fitting = np.clip(column, _INT32.min, _INT32.max)
                known = (fitting == column) if known is None else known & (fitting == column)
                column = fitting.astype(np.int32)
            columns.append(column)
        if len(columns) > 1:
            count = next((len(column) for column in columns if len(column) != 1), 1)
            columns = [_repeated(column, count) for column in columns]
            known = known if known is None else np.broadcast_to(known, count)
        if len(columns[0]) < _MANY or (len(asked) == 1 and isinstance(columns[0], np.ndarray)):
            return ViewKeys(self, tuple(columns), known)
        distinct, places = _each_once(columns)
        return ViewKeys(self, tuple(distinct), known, places)

    def some_key(self) -> ViewKeys:
        """Return one key that a store can be asked for; that of all rows where a view has no entity."""
        return self.keys_of({name: _SOME.get(kind, _SOME_INTEGER) for name, kind in self.asked.items()})


_SOME_INTEGER: Final = np.zeros(1, dtype=np.int64)
_SOME: Final[dict[ValueType, pa.Array]] = {
    ValueType.STRING: pa.array([""]),
    ValueType.BYTES: pa.array([b""]),
    ValueType.UNIX_TIMESTAMP: pa.array([0], pa.timestamp("s")),
}


@dataclass(frozen=True)
class ViewKeys:
    """Keys of one view's rows.

    Attributes:
        key: How they are made.
        columns: A column for each join key, all of one length: int64 arrays of integers, else Arrow's.
        known: bool, which rows ask for a key that the view can have at all; None for all. What it can't have stands as
            another key.
        places: intp ``[n]``, which of the keys each row asks for; None where each asks for its own, or all for the one.
    """

    key: ViewKey
    columns: tuple[Any, ...]
    known: NDArray[np.bool_] | None = None
    places: NDArray[np.intp] | None = None

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.columns[0])

    @property
    def integers(self) -> NDArray[np.int64]:
        """Return them where they are one integer."""
        integers: NDArray[np.int64] = self.columns[0]
        return integers

    def packed(self) -> list[bytes]:
        """Return Feast's serialized entity keys."""
        names = self.key.stored
        return packed_keys(dict(zip(names, self.columns, strict=True)), names)

    def messages(self) -> list[EntityKey]:
        """Return Feast's entity keys."""
        names = list(self.key.stored)
        values = [
            value_messages(column, one.value_type) for column, one in zip(self.columns, self.key.columns, strict=True)
        ]
        return [EntityKey(join_keys=names, entity_values=row) for row in zip(*values, strict=True)]


def value_messages(column: Any, value_type: ValueType) -> list[Value]:  # noqa: ANN401 - an array of NumPy's or Arrow's
    """Return Feast's messages of a column of scalars; empty ones for nulls and for NaN, as Feast has it."""
    field = _FIELDS[value_type]
    if value_type is ValueType.UNIX_TIMESTAMP:
        column = pa.array(whole_seconds(column), mask=column.is_null().to_numpy(zero_copy_only=False))
    # NaN is the one value that is not itself
    return [Value() if one is None or one != one else Value(**{field: one}) for one in column.tolist()]  # noqa: PLR0124


def _each_once(columns: list[Any]) -> tuple[list[Any], NDArray[np.intp] | None]:
    """Return rows with each that is repeated once, and which of them each row was; None where none is."""
    codes, distinct = _numbered(columns[0])
    for column in columns[1:]:
        more, size = _numbered(column)
        codes, distinct = _numbered(codes * size + more)
    if distinct == len(codes):
        return columns, None
    rows = np.empty(distinct, dtype=np.intp)
    rows[codes] = np.arange(len(codes))  # any of those that are equal
    return [column.take(rows) for column in columns], codes


def _numbered(column: Any) -> tuple[NDArray[np.intp], int]:  # noqa: ANN401 - as above
    """Return a number for each value, equal for equal ones, from 0 on, and how many there are."""
    if isinstance(column, np.ndarray):
        distinct, codes = np.unique(column, return_inverse=True)
        return codes, len(distinct)
    encoded = column.dictionary_encode()
    return encoded.indices.to_numpy().astype(np.intp), len(encoded.dictionary)


def _repeated(column: Any, count: int) -> Any:  # noqa: ANN401 - as above
    """Return a column of some length, of one that has that length or one value."""
    return column if len(column) == count else column.take(np.zeros(count, dtype=np.int64))
