"""Arrow record batches straight to the wire format of Feast's SQLite and Redis online stores.

Feast writes an online store through one protobuf message per cell and one per entity key, and one SQL statement per
cell or one Redis command object per row. What ends up in the store is much plainer: a `Value` message is a tag followed
by a payload, an entity key a few fixed headers around the key's bytes. This module builds these bytes column by column,
with NumPy and Arrow kernels, and hands them to the store's own connection:

    record batch -> EncodedBatch: keys and values as Arrow binary columns
        -> SQLite: executemany, one transaction per batch
        -> Redis: HSET commands framed by Arrow, pipelined

What is stored equals what Feast stores, byte for byte, and Feast's stores read it as their own; so it is with our own
subclass of the SQLite store and its times. `bulk_writer` gives the
writer for a store, or none, and `encode_batch` the bytes of a batch, or none; the caller then takes the store's own
`online_write_batch`. Columns other than plain scalars (lists, maps, JSON, decimals, ...) go through Feast's conversion
one column at a time, so that one list column doesn't slow its neighbours.

Beyond Feast: where Feast's route through pandas turns integers with nulls into doubles, they stay exact here (above
2**53 Feast loses digits); a null `created` timestamp, which Feast's SQLite store rejects, is stored as NULL; empty
bytes stay empty bytes, also where a whole column is empty and Feast takes it for nulls; a feature declared as double
takes integers and floats of any width, of which Feast refuses some.

Of the project, the module imports the connections and times of the two stores alone.
"""

from __future__ import annotations

import sqlite3
import struct
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from feast.infra.online_stores.helpers import _mmh3, compute_table_id, compute_versioned_name, extract_text_and_num
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import python_values_to_proto_values
from feast.value_type import ValueType
from google.protobuf.timestamp_pb2 import Timestamp

from feast_columnar.online.redis_wire import exchange_wire, redis_connection
from feast_columnar.online.sqlite_file import use_log
from feast_columnar.online.sqlite_times import Stored, stored_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from feast import FeatureView
    from feast.infra.online_stores.online_store import OnlineStore
    from feast.repo_config import RepoConfig
    from numpy.typing import NDArray

Texts: TypeAlias = "list[str | None]"

KEY_VERSION: Final = 3
"""The only layout of entity keys that is written here: Feast's present one, its default."""

REDIS_ROWS: Final = 10_000
"""Rows per Redis round trip: enough to hide the latency, few enough to keep the server answering others."""

_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5  # wire types of protocol buffers
_SHIFTS = np.arange(0, 70, 7, dtype=np.uint64)  # a varint carries 7 bits per byte, 64 bits in 10 bytes


# --- Protocol buffers by the column -----------------------------------------------------------------------------------


def _tag(field: str, wire_type: int) -> bytes:
    return bytes([Value.DESCRIPTOR.fields_by_name[field].number << 3 | wire_type])


def _ragged(rows: NDArray[np.uint8], lengths: NDArray[np.int64]) -> pa.BinaryArray:
    """The first `lengths[i]` bytes of each row of a byte matrix, as a binary column."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    used = rows[np.arange(rows.shape[1]) < lengths[:, None]]
    return pa.BinaryArray.from_buffers(pa.binary(), len(lengths), [None, pa.py_buffer(offsets), pa.py_buffer(used)])


def _prefixed(prefix: bytes, rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    head = np.broadcast_to(np.frombuffer(prefix, dtype=np.uint8), (len(rows), len(prefix)))
    return np.concatenate([head, rows], axis=1)


def _fixed(prefix: bytes, numbers: NDArray[Any], valid: NDArray[np.bool_]) -> pa.BinaryArray:
    """Each number's little-endian bytes after the prefix; nothing where it isn't valid."""
    little = np.ascontiguousarray(numbers, dtype=numbers.dtype.newbyteorder("<"))
    rows = _prefixed(prefix, little.view(np.uint8).reshape(len(little), little.itemsize))
    return _ragged(rows, valid * rows.shape[1])


def _varint(prefix: bytes, numbers: NDArray[np.int64], valid: NDArray[np.bool_]) -> pa.BinaryArray:
    """Each number as a protobuf varint (negatives in two's complement) after the prefix; nothing where not valid."""
    groups = numbers.astype(np.uint64)[:, None] >> _SHIFTS
    lengths = np.maximum(np.count_nonzero(groups, axis=1), 1)
    more = np.arange(len(_SHIFTS)) < lengths[:, None] - 1
    rows = (groups & np.uint64(0x7F)).astype(np.uint8) | (more * np.uint8(0x80))
    return _ragged(_prefixed(prefix, rows), valid * (lengths + len(prefix)))


def _join(*parts: pa.BinaryArray | bytes) -> pa.BinaryArray:
    """Row-wise concatenation; bytes stand for a column of equal values."""
    binaries = [pa.scalar(part) if isinstance(part, bytes) else part for part in parts]
    return pc.binary_join_element_wise(*binaries, pa.scalar(b""))


def _all(rows: int) -> NDArray[np.bool_]:
    return np.ones(rows, dtype=np.bool_)


def _delimited(prefix: bytes, data: pa.BinaryArray) -> pa.BinaryArray:
    """Length and bytes after the prefix, as protobuf frames strings; nothing for nulls."""
    lengths = pc.binary_length(data).fill_null(0).to_numpy().astype(np.int64)
    framed = _join(_varint(prefix, lengths, _all(len(data))), data)  # null where the data is
    return framed.fill_null(b"")


def _timestamps(micros: NDArray[np.int64]) -> pa.BinaryArray:
    """Serialized `google.protobuf.Timestamp` messages, which leave out fields that are zero."""
    seconds, rest = np.divmod(micros, 1_000_000)
    nanos = rest * 1_000
    return _join(_varint(b"\x08", seconds, seconds != 0), _varint(b"\x10", nanos, nanos != 0))


# --- Feature columns --------------------------------------------------------------------------------------------------


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
            return _varint(self.tag, self.values, self.valid)
        return _fixed(self.tag, self.values, self.valid)

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
        return _delimited(self.tag, self.values.cast(pa.binary()))

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
        return _varint(self.tag, self.seconds, _all(len(self.seconds)))

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
    return Moments(tag, _seconds(array))


def _seconds(array: pa.Array) -> NDArray[np.int64]:
    times: NDArray[Any] = array.to_numpy(zero_copy_only=False).astype("datetime64[s]")
    return times.astype(np.int64)


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
    ValueType.DOUBLE: _Scalar("double_val", _FIXED64, _is_number, pa.float64(), _floats),
    ValueType.FLOAT: _Scalar("float_val", _FIXED32, pa.types.is_float32, None, _floats),
    ValueType.INT64: _Scalar("int64_val", _VARINT, pa.types.is_integer, pa.int64(), _integers),
    ValueType.INT32: _Scalar("int32_val", _VARINT, pa.types.is_integer, pa.int32(), _integers),
    ValueType.BOOL: _Scalar("bool_val", _VARINT, pa.types.is_boolean, None, _booleans),
    ValueType.STRING: _Scalar("string_val", _DELIMITED, _is_string, pa.string(), _strings),
    ValueType.BYTES: _Scalar("bytes_val", _DELIMITED, _is_bytes, pa.binary(), _strings),
    ValueType.UNIX_TIMESTAMP: _Scalar("unix_timestamp_val", _VARINT, pa.types.is_timestamp, None, _moments),
}


def _objects(array: pa.Array) -> Any:  # noqa: ANN401 - what Feast's conversion takes: a list or an array of anything
    # NumPy has no integers with nulls: one null would make doubles of them all, in the batches that have one.
    return array.to_pylist() if pa.types.is_integer(array.type) else array.to_numpy(zero_copy_only=False)


def _decoded(array: pa.Array) -> pa.Array:
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


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
    plain = _decoded(array)
    scalar = _SCALARS.get(value_type)
    fitting = scalar.cast(plain) if scalar else None
    if scalar and fitting is not None:
        return scalar.encode(fitting)
    return Messages(python_values_to_proto_values(_objects(plain), value_type))


# --- Entity keys ------------------------------------------------------------------------------------------------------


def _u32(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}I", *numbers)


def _key_part(array: pa.Array, value_type: ValueType) -> pa.BinaryArray:
    """One value of the entity key: its type, its length and its bytes."""
    kind, rows = _u32(value_type.value), _all(len(array))
    if value_type is ValueType.INT32:
        return _fixed(kind + _u32(4), array.to_numpy(), rows)
    if value_type is ValueType.INT64:
        return _fixed(kind + _u32(8), array.to_numpy(), rows)
    if value_type is ValueType.UNIX_TIMESTAMP:
        return _fixed(kind + _u32(8), _seconds(array), rows)
    data = array.cast(pa.binary())
    return _join(_fixed(kind, pc.binary_length(data).to_numpy(), rows), data)


_KEY_TYPES: Final = frozenset(
    {ValueType.INT32, ValueType.INT64, ValueType.UNIX_TIMESTAMP, ValueType.STRING, ValueType.BYTES}
)


def _key_column(array: pa.Array, value_type: ValueType) -> pa.BinaryArray | None:
    if value_type not in _KEY_TYPES or array.null_count:
        return None
    fitting = _SCALARS[value_type].cast(_decoded(array))
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
    if any(part is None for part in parts):
        return None
    spelled = [name.encode() for name in names]
    head = b"".join(_u32(ValueType.STRING.value, len(name)) + name for name in spelled)
    return _join(_u32(len(names)) + head, *parts)


# --- Batches ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EncodedBatch:
    """Rows ready to be stored: `n` keys, `n` values per feature, `n` event times, and `n` created times if any.

    Times are UTC, `datetime64[us]`; a created time may be NaT.
    """

    keys: pa.BinaryArray
    columns: Mapping[str, Column]
    event_times: NDArray[np.datetime64]
    created_times: NDArray[np.datetime64] | None


@dataclass(frozen=True)
class Layout:
    """Which columns of a record batch mean what, in the names of the feature view.

    Attributes:
        features: Declared type of each feature, in the view's order.
        join_keys: Declared type of each join key.
        event_time: The column of event timestamps.
        created_time: The column of created timestamps, if the source has one.
    """

    features: Mapping[str, ValueType]
    join_keys: Mapping[str, ValueType]
    event_time: str
    created_time: str | None

    @classmethod
    def of(cls, view: FeatureView, event_time: str, created_time: str | None) -> Layout:
        """The layout of a feature view whose timestamps are in these columns."""
        return cls(
            features={field.name: field.dtype.to_value_type() for field in view.features},
            join_keys={field.name: field.dtype.to_value_type() for field in view.entity_columns},
            event_time=event_time,
            created_time=created_time or None,  # Feast says "" as well
        )


def _times(batch: pa.RecordBatch, name: str) -> NDArray[np.datetime64]:
    times: NDArray[np.datetime64] = batch.column(name).to_numpy(zero_copy_only=False).astype("datetime64[us]")
    return times


def _has_plain_times(batch: pa.RecordBatch, layout: Layout) -> bool:
    names = [name for name in (layout.event_time, layout.created_time) if name is not None]
    plain = all(pa.types.is_timestamp(batch.column(name).type) for name in names)
    return plain and not batch.column(layout.event_time).null_count


def encode_batch(batch: pa.RecordBatch, layout: Layout) -> EncodedBatch | None:
    """A record batch, ready to be stored.

    Args:
        batch: Any number of rows; has every column that the layout names.
        layout: What its columns mean.

    Returns:
        The encoded rows, or None if keys or times are such that only Feast's own code may judge them.

    Raises:
        AssertionError, TypeError, ValueError: From Feast, if feature values don't fit the declared type.
    """
    keys = encode_keys(batch, layout.join_keys) if _has_plain_times(batch, layout) else None
    if keys is None:
        return None
    return EncodedBatch(
        keys=keys,
        columns={name: encode_column(batch.column(name), kind) for name, kind in layout.features.items()},
        event_times=_times(batch, layout.event_time),
        created_times=_times(batch, layout.created_time) if layout.created_time else None,
    )


# --- Stores -----------------------------------------------------------------------------------------------------------


class BulkWriter(Protocol):
    """Writes encoded batches to one feature view of an online store."""

    def write(self, batch: EncodedBatch) -> None:
        """Store the rows; writing them again changes nothing."""
        ...


Epochs: TypeAlias = "Callable[[NDArray[np.datetime64]], list[Any]]"


@dataclass(frozen=True)
class SqliteWriter:
    """Upserts into the table of a feature view, one transaction per batch.

    Like Feast's store, it overwrites whatever is there, newer or not.

    Attributes:
        writing: Gives the connection for a transaction.
        table: The table.
        stored: What the store keeps for times in UTC; None for none.
    """

    writing: Callable[[], AbstractContextManager[Any]]
    table: str
    stored: Epochs

    def write(self, batch: EncodedBatch) -> None:
        """Upsert the rows in one transaction.

        Raises:
            sqlite3.Error: The batch is rolled back then.
        """
        rows = _sqlite_rows(batch, self.stored)
        with self.writing() as connection, connection:
            connection.executemany(self._upsert(), rows)

    def _upsert(self) -> str:
        quoted = self.table.replace('"', '""')
        columns = ("value", "value_text", "event_ts", "created_ts")
        update = ", ".join(f"{column} = excluded.{column}" for column in columns)
        return (
            f'INSERT INTO "{quoted}" (entity_key, feature_name, {", ".join(columns)}) '
            f"VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (entity_key, feature_name) DO UPDATE SET {update}"
        )


def _sqlite_rows(batch: EncodedBatch, stored: Epochs) -> Iterator[tuple[object, ...]]:
    """The rows of the table, in the order of the keys: neighbours share pages of its indexes."""
    order = pc.sort_indices(batch.keys)
    rows = order.to_numpy()
    keys = batch.keys.take(order).to_pylist()
    events = _each_once(batch.event_times[rows], stored)
    created = [None] * len(keys) if batch.created_times is None else _each_once(batch.created_times[rows], stored)
    cells = [
        zip(keys, repeat(name), column.wire().take(order).to_pylist(), _take(column.texts(), rows), events, created)
        for name, column in batch.columns.items()
    ]
    return chain.from_iterable(zip(*cells, strict=True))


def _take(texts: Texts, rows: NDArray[np.int64]) -> Texts:
    taken: Texts = np.array(texts, dtype=object)[rows].tolist()
    return taken


def _each_once(times: NDArray[np.datetime64], stored: Epochs) -> list[Any]:
    """What is stored for each time; each distinct one is worked out once."""
    moments, places = np.unique(times, return_inverse=True)
    adapted: list[Any] = np.array(stored(moments), dtype=object)[places].tolist()
    return adapted


def _stock_epochs(times: NDArray[np.datetime64]) -> list[int | None]:
    """What `sqlite3` makes of Feast's naive UTC timestamps: by Feast's adapter, which reads them as local time."""
    return [None if one is None else sqlite3.adapt(one, sqlite3.PrepareProtocol) for one in times.tolist()]


def _epochs(times: NDArray[np.datetime64]) -> list[Stored | None]:
    """What `SharedSqliteOnlineStore` keeps."""
    missing = np.isnat(times).tolist()
    micros = times.astype(np.int64).tolist()
    return [None if none else stored_time(one) for one, none in zip(micros, missing, strict=True)]


@dataclass(frozen=True)
class RedisWriter:
    """Sets hash fields by pipelined HSET, after Feast's check of the stored timestamp.

    Like Feast's store, it skips rows that aren't newer than what is stored, unless `check` is off.

    Attributes:
        client: A client of one Redis server.
        project: The suffix of each key.
        view: The name of the feature view in field names.
        ttl: Seconds until a written key expires; 0 for never.
        check: Whether to read the stored timestamps first.
    """

    client: Any
    project: str
    view: str
    ttl: int
    check: bool

    def write(self, batch: EncodedBatch) -> None:
        """Set the rows, some thousands per round trip.

        Raises:
            redis.RedisError: Rows up to that point are written.
        """
        keys = _join(batch.keys, self.project.encode())
        micros = batch.event_times.astype(np.int64)
        fields = self._fields(batch, micros)
        for start in range(0, len(keys), REDIS_ROWS):
            rows = slice(start, start + REDIS_ROWS)
            self._write_rows(keys[rows], micros[rows], {name: values[rows] for name, values in fields.items()})

    @property
    def _time_field(self) -> bytes:
        return f"_ts:{self.view}".encode()

    def _fields(self, batch: EncodedBatch, micros: NDArray[np.int64]) -> dict[bytes, pa.BinaryArray]:
        features = {_mmh3(f"{self.view}:{name}"): column.wire() for name, column in batch.columns.items()}
        return {self._time_field: _timestamps(micros), **features}

    def _write_rows(
        self, keys: pa.BinaryArray, micros: NDArray[np.int64], fields: Mapping[bytes, pa.BinaryArray]
    ) -> None:
        with redis_connection(self.client) as connection:
            if self.check:
                newer = pa.array(self._newer(connection, keys, micros))
                keys, fields = keys.filter(newer), {name: values.filter(newer) for name, values in fields.items()}
            pairs = [part for name, values in fields.items() for part in (name, values)]
            commands = _command(b"HSET", keys, *pairs)
            if self.ttl:
                commands = _join(commands, _command(b"EXPIRE", keys, str(self.ttl).encode()))
            exchange(connection, commands, replies=len(keys) * (2 if self.ttl else 1))

    def _newer(self, connection: Any, keys: pa.BinaryArray, micros: NDArray[np.int64]) -> list[bool]:  # noqa: ANN401
        """Whether each row is newer than the store, and than the rows of the same key before it."""
        stored = exchange(connection, _command(b"HMGET", keys, self._time_field), replies=len(keys))
        latest: dict[bytes, int] = {}
        newer = []
        for key, (seen,), moment in zip(keys.to_pylist(), stored, (micros * 1_000).tolist(), strict=True):
            newest = max(_nanos(seen) if seen else 0, latest.get(key, 0))
            newer.append(not newest or moment > newest)  # 1970-01-01 counts as nothing stored, as in Feast
            if newer[-1]:
                latest[key] = moment
        return newer


@lru_cache(maxsize=4096)  # many drivers share an event time
def _nanos(message: bytes) -> int:
    timestamp = Timestamp.FromString(message)
    return int(timestamp.seconds) * 1_000_000_000 + int(timestamp.nanos)


def _command(*words: pa.BinaryArray | bytes) -> pa.BinaryArray:
    """A Redis command per row, in the Redis protocol's framing."""
    framed = [part for word in words for part in _bulk_string(word)]
    return _join(b"*%d\r\n" % len(words), *framed)


def _bulk_string(word: pa.BinaryArray | bytes) -> list[pa.BinaryArray | bytes]:
    if isinstance(word, bytes):
        return [b"$%d\r\n%b\r\n" % (len(word), word)]
    return [b"$", pc.binary_length(word).cast(pa.string()).cast(pa.binary()), b"\r\n", word, b"\r\n"]


def exchange(connection: Any, commands: pa.BinaryArray, replies: int) -> list[Any]:  # noqa: ANN401 - as above
    """Send all commands, then read all replies, see `exchange_wire`.

    Args:
        connection: A connection of redis-py.
        commands: Framed for the wire.
        replies: How many the commands together have.
    """
    return exchange_wire(connection, b"".join(commands.to_pylist()), replies)


def _sqlite_table(config: RepoConfig, view: FeatureView) -> str | None:
    options = config.online_store
    if options.vector_enabled or options.enable_openai_compatible_store:  # further columns, filled by Feast alone
        return None
    table: str = compute_table_id(config.project, view, config.registry.enable_online_feature_view_versioning)
    return table


def _stock_sqlite_writer(store: Any, config: RepoConfig, view: FeatureView) -> BulkWriter | None:  # noqa: ANN401 - not imported
    table = _sqlite_table(config, view)
    if table is None:
        return None
    connection = store._get_conn(config)  # noqa: SLF001 - the store's own connection and its settings
    use_log(connection)
    return SqliteWriter(partial(nullcontext, connection), table, _stock_epochs)


def _sqlite_writer(store: Any, config: RepoConfig, view: FeatureView) -> BulkWriter | None:  # noqa: ANN401 - not imported
    table = _sqlite_table(config, view)
    return SqliteWriter(partial(store.writing, config), table, _epochs) if table else None


def _redis_writer(store: Any, config: RepoConfig, view: FeatureView) -> BulkWriter | None:  # noqa: ANN401 - not imported
    options = config.online_store
    if options.redis_type != "redis":  # a cluster's keys go to many servers
        return None
    return RedisWriter(
        client=store._get_client(options),  # noqa: SLF001 - as above
        project=config.project,
        view=compute_versioned_name(view, config.registry.enable_online_feature_view_versioning),
        ttl=options.key_ttl_seconds or 0,
        check=not options.skip_dedup,
    )


# By where the store's write is defined: subclasses that keep it are served, those with their own are left alone, and
# neither store has to be imported (redis is an extra of Feast).
_WRITERS: Final[Mapping[tuple[str, str], Callable[[Any, RepoConfig, FeatureView], BulkWriter | None]]] = {
    ("feast_columnar.online.sqlite_store", "SharedSqliteOnlineStore.online_write_batch"): _sqlite_writer,
    ("feast.infra.online_stores.sqlite", "SqliteOnlineStore.online_write_batch"): _stock_sqlite_writer,
    ("feast.infra.online_stores.redis", "RedisOnlineStore.online_write_batch"): _redis_writer,
}


def bulk_writer(store: OnlineStore, config: RepoConfig, view: FeatureView) -> BulkWriter | None:
    """The fast writer for a feature view in a store.

    Args:
        store: The configured online store.
        config: The feature repo's configuration.
        view: The feature view to write.

    Returns:
        A writer, or None if the store, one of its options or the view needs the store's own `online_write_batch`.
    """
    if config.entity_key_serialization_version != KEY_VERSION or any(field.vector_index for field in view.features):
        return None
    write = type(store).online_write_batch
    make = _WRITERS.get((write.__module__, write.__qualname__))
    return make(store, config, view) if make else None
