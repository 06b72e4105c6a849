"""Rows of an online store as arrays: from Redis and SQLite by the layout that Feast writes, from others through Feast.

A store's ``online_read`` makes one protobuf object per driver for the key and one per value, which is most of what an
online read costs. Redis and SQLite are read here without: keys are made in bulk, all of a request's commands go out at
once, and values are decoded by the column. What is read equals what ``online_read`` gives. A store that is configured
in a way that isn't known here, or a subclass with a read of its own, is read through its ``online_read``.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from feast_columnar.online.cells import (
    FixedWidth,
    UnreadableError,
    ViewRows,
    apart,
    fixed_width,
    numbers,
    stored_time,
    view_rows,
)
from feast_columnar.online.redis_wire import exchange_wire, redis_connection
from feast_columnar.online.stock import Row, entity_key, microseconds, rows_apart

if TYPE_CHECKING:
    from feast import FeatureView, RepoConfig
    from feast.infra.online_stores.online_store import OnlineStore

    from feast_columnar.online.redis_link import RedisLink

KEY_VERSION = 3  # the one layout of keys that is known here


@dataclass(frozen=True)
class ViewRead:
    """What is read of one feature view.

    Attributes:
        view: The feature view, projected as the service wants it.
        join_key: Name of its one join key, in the store.
        value_field: The field of Feast's value message that holds a key, ``int64_val`` or ``int32_val``.
        ttl: In microseconds; None for no limit.
        features: Names of the features to read.
        columns: Where each of them goes in the model's columns.
    """

    view: "FeatureView"
    join_key: str
    value_field: str
    ttl: int | None
    features: tuple[str, ...]
    columns: tuple[int, ...]


class Source(Protocol):
    """Reads some feature views of a store."""

    @property
    def views(self) -> Sequence[Any]:
        """Return the views, in the order of what is read."""
        ...

    def read(self, driver_id: NDArray[np.int64]) -> list[ViewRows]:
        """Return the rows of int64 ``[n]`` drivers, view by view; ids must be ones that the views' keys can have."""
        ...


def open_source(config: "RepoConfig", online_store: "OnlineStore", views: tuple[ViewRead, ...]) -> Source:
    """Return the fastest correct way to read some views of a store."""
    read = type(online_store).online_read
    make = _SOURCES.get((read.__module__, read.__qualname__))
    direct = (
        make(config, online_store, views) if make and config.entity_key_serialization_version == KEY_VERSION else None
    )
    return direct or StockSource(config, online_store, views)


# --- any store, through Feast -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StockSource:
    """Reads through the store's ``online_read``."""

    config: "RepoConfig"
    online_store: "OnlineStore"
    views: tuple[ViewRead, ...]

    def read(self, driver_id: NDArray[np.int64]) -> list[ViewRows]:
        """Read view by view."""
        return [self._read_view(read, driver_id) for read in self.views]

    def _read_view(self, read: ViewRead, driver_id: NDArray[np.int64]) -> ViewRows:
        keys = [entity_key(read.join_key, read.value_field, one) for one in driver_id.tolist()]

        def rows_of(some: list[Any]) -> list[Row]:
            # a list of its own each time: the Redis store appends to it
            return self.online_store.online_read(self.config, read.view, some, list(read.features))

        return apart([_decoded_row(row, read.features) for row in rows_apart(rows_of, keys)], len(read.features))


def _decoded_row(row: Row | None, names: Sequence[str]) -> tuple[int, list[float]] | None:
    """Return the time and the numbers of a row; None if it can't be read."""
    try:
        return None if row is None else (microseconds(row[0]), numbers(row[1], names))
    except UnreadableError:
        return None


def _widths(read: ViewRead) -> tuple[FixedWidth | None, ...]:
    dtypes = {field.name: field.dtype for field in read.view.features}
    return tuple(fixed_width(dtypes.get(name)) for name in read.features)


@dataclass(frozen=True)
class KeyBytes:
    """Feast's serialized entity keys, which differ in the driver's bytes alone.

    Attributes:
        before: What comes before the driver.
        after: What comes after it.
        dtype: How the driver is stored, ``<i8`` or ``<i4``.
    """

    before: bytes
    after: bytes
    dtype: str

    def rows(self, driver_id: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the keys as uint8 ``[n, length]``."""
        size = np.dtype(self.dtype).itemsize
        start = len(self.before)
        keys = np.empty((len(driver_id), start + size + len(self.after)), dtype=np.uint8)
        keys[:, :start] = np.frombuffer(self.before, dtype=np.uint8)
        keys[:, start : start + size] = driver_id.astype(self.dtype).view(np.uint8).reshape(-1, size)
        keys[:, start + size :] = np.frombuffer(self.after, dtype=np.uint8)
        return keys


def _key_bytes(read: ViewRead) -> KeyBytes:
    """Take the layout from Feast's own serialization of a key."""
    from feast.infra.key_encoding_utils import serialize_entity_key

    code, dtype = ("<q", "<i8") if read.value_field == "int64_val" else ("<i", "<i4")
    sample = 0x0102_0304
    key = serialize_entity_key(
        entity_key(read.join_key, read.value_field, sample), entity_key_serialization_version=KEY_VERSION
    )
    before, after = key.split(struct.pack(code, sample))
    return KeyBytes(before, after, dtype)


# --- Redis ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _RedisView:
    read: ViewRead
    key: KeyBytes
    commands: KeyBytes
    widths: tuple[FixedWidth | None, ...]


@dataclass(frozen=True)
class RedisSource:
    """Reads the hashes of all drivers and views in one round trip.

    Attributes:
        client: The store's client, of redis-py.
        link: A connection that an event loop can read.
        views: The views.
    """

    client: Any
    link: "RedisLink"
    views: tuple[_RedisView, ...]

    def read(self, driver_id: NDArray[np.int64]) -> list[ViewRows]:
        """Read all views."""
        with redis_connection(self.client) as connection:
            count = len(driver_id) * len(self.views)
            replies = exchange_wire(connection, self._wire(driver_id), count, keep_errors_of_keys=True)
        return self._rows(replies, len(driver_id))

    async def read_in_loop(self, driver_id: NDArray[np.int64]) -> list[ViewRows]:
        """Read all views over the link.

        Raises:
            LinkLostError: The link did not work; it is closed.
            TimeoutError: There was no answer in time.
        """
        replies = await self.link.exchange(self._wire(driver_id), len(driver_id) * len(self.views))
        return self._rows(replies, len(driver_id))

    def _wire(self, driver_id: NDArray[np.int64]) -> bytes:
        return b"".join(view.commands.rows(driver_id).tobytes() for view in self.views)

    def _rows(self, replies: list[Any], count: int) -> list[ViewRows]:
        return [
            _redis_rows(view, replies[place * count : (place + 1) * count]) for place, view in enumerate(self.views)
        ]


def _redis_rows(view: _RedisView, replies: list[Any]) -> ViewRows:
    return view_rows(replies, view.widths, stored_time)


def _redis_source(config: "RepoConfig", online_store: Any, views: tuple[ViewRead, ...]) -> Source | None:  # noqa: ANN401 - not imported: redis is an extra of Feast
    options = config.online_store
    if options.redis_type != "redis" or options.client != "redis":  # a cluster's keys are on many servers
        return None
    from feast_columnar.online.redis_link import RedisLink

    client = online_store._get_client(options)  # noqa: SLF001 - the store's own connections and their settings
    return RedisSource(client, RedisLink(client), tuple(_redis_view(config, read) for read in views))


def _redis_view(config: "RepoConfig", read: ViewRead) -> _RedisView:
    from feast.infra.online_stores.helpers import _mmh3, compute_versioned_name

    name = compute_versioned_name(read.view, config.registry.enable_online_feature_view_versioning)
    fields = [*(_mmh3(f"{name}:{feature}") for feature in read.features), f"_ts:{name}".encode()]
    key = _key_bytes(read)
    suffix = key.after + config.project.encode()
    length = len(key.before) + np.dtype(key.dtype).itemsize + len(suffix)
    before = b"*%d\r\n$5\r\nHMGET\r\n$%d\r\n%b" % (2 + len(fields), length, key.before)
    after = suffix + b"\r\n" + b"".join(b"$%d\r\n%b\r\n" % (len(field), field) for field in fields)
    named = KeyBytes(key.before, suffix, key.dtype)
    return _RedisView(read, named, KeyBytes(before, after, key.dtype), _widths(read))


# --- SQLite -----------------------------------------------------------------------------------------------------------


def _sqlite_source(config: "RepoConfig", online_store: Any, views: tuple[ViewRead, ...]) -> Source:  # noqa: ANN401 - as above
    from feast_columnar.online.sqlite import open_sqlite_source

    return open_sqlite_source(config, online_store, views)


# By where the store's read is defined: subclasses that keep it are read directly, those with their own are left alone.
_SOURCES: Mapping[tuple[str, str], Callable[["RepoConfig", Any, tuple[ViewRead, ...]], Source | None]] = {
    ("feast.infra.online_stores.redis", "RedisOnlineStore.online_read"): _redis_source,
    ("feast.infra.online_stores.sqlite", "SqliteOnlineStore.online_read"): _sqlite_source,
}
