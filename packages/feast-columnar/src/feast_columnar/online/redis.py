"""Redis's layout, as Feast has it, written and read by the column.

A hash for each entity of a project: its key is the serialized entity key and the project's name; it has a field for
each feature, named by a hash of the view's name and the feature's, and one for each view's event time. The framing is
that of the Redis protocol: commands are made in bulk, sent at once, and not taken through a command object each.

`redis_wire` has the connections that these commands go over, `redis_link` one for an event loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from feast.infra.key_encoding_utils import deserialize_entity_key, serialize_entity_key
from feast.infra.online_stores.helpers import _mmh3, compute_versioned_name

from feast_columnar.online.keys import KEY_VERSION, KeyBytes
from feast_columnar.online.redis_wire import exchange_wire, redis_connection
from feast_columnar.online.times import timestamp_micros, timestamp_nanos, timestamps
from feast_columnar.online.views import view_rows
from feast_columnar.online.wire import join

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from feast import FeatureView
    from feast.repo_config import RepoConfig
    from numpy.typing import NDArray
    from redis import Redis

    from feast_columnar.online.batches import EncodedBatch
    from feast_columnar.online.redis_link import RedisLink
    from feast_columnar.online.values import FixedWidth
    from feast_columnar.online.view_keys import ViewKeys
    from feast_columnar.online.views import ViewRead, ViewRows

REDIS_ROWS: Final = 10_000
"""Rows per Redis round trip: enough to hide the latency, few enough to keep the server answering others."""

_ONE_SERVER = "redis"  # the other types' keys are on many servers


# --- Names ------------------------------------------------------------------------------------------------------------


def _view_name(config: RepoConfig, view: FeatureView) -> str:
    """The name of a feature view in names of fields."""
    name: str = compute_versioned_name(view, config.registry.enable_online_feature_view_versioning)
    return name


def _key_suffix(project: str) -> bytes:
    """What a hash's key has after the serialized entity key."""
    return project.encode()


def _feature_field(view_name: str, feature: str) -> bytes:
    field: bytes = _mmh3(f"{view_name}:{feature}")
    return field


def _time_field(view_name: str) -> bytes:
    return f"_ts:{view_name}".encode()


# --- Framing ----------------------------------------------------------------------------------------------------------


def _commands(*words: pa.BinaryArray | bytes) -> pa.BinaryArray:
    """A command per row."""
    framed = [part for word in words for part in _bulk_strings(word)]
    return join(_head(len(words)), *framed)


def _bulk_strings(word: pa.BinaryArray | bytes) -> list[pa.BinaryArray | bytes]:
    if isinstance(word, bytes):
        return [_bulk_string(word)]
    return [b"$", pc.binary_length(word).cast(pa.string()).cast(pa.binary()), b"\r\n", word, b"\r\n"]


def _bulk_string(word: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(word), word)


def _head(words: int) -> bytes:
    return b"*%d\r\n" % words


# --- Writing ----------------------------------------------------------------------------------------------------------


def exchange(connection: Any, commands: pa.BinaryArray, replies: int) -> list[Any]:  # noqa: ANN401 - redis is an extra of Feast
    """Send all commands, then read all replies, see `exchange_wire`.

    Args:
        connection: A connection of redis-py.
        commands: Framed for the wire.
        replies: How many the commands together have.
    """
    return exchange_wire(connection, b"".join(commands.to_pylist()), replies)


@dataclass(frozen=True)
class RedisWriter:
    """Sets hash fields by pipelined HSET, after Feast's check of the stored timestamp.

    Like Feast's store, it skips rows that aren't newer than what is stored, unless `check` is off.

    Attributes:
        client: A client of one Redis server.
        project: The name of the project, the suffix of each key.
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
        keys = join(batch.keys, _key_suffix(self.project))
        micros = batch.event_times.astype(np.int64)
        fields = self._fields(batch, micros)
        for start in range(0, len(keys), REDIS_ROWS):
            rows = slice(start, start + REDIS_ROWS)
            self._write_rows(keys[rows], micros[rows], {name: values[rows] for name, values in fields.items()})

    def _fields(self, batch: EncodedBatch, micros: NDArray[np.int64]) -> dict[bytes, pa.BinaryArray]:
        features = {_feature_field(self.view, name): column.wire() for name, column in batch.columns.items()}
        return {_time_field(self.view): timestamps(micros), **features}

    def _write_rows(
        self, keys: pa.BinaryArray, micros: NDArray[np.int64], fields: Mapping[bytes, pa.BinaryArray]
    ) -> None:
        with redis_connection(self.client) as connection:
            if self.check:
                newer = pa.array(self._newer(connection, keys, micros))
                keys, fields = keys.filter(newer), {name: values.filter(newer) for name, values in fields.items()}
            pairs = [part for name, values in fields.items() for part in (name, values)]
            commands = _commands(b"HSET", keys, *pairs)
            if self.ttl:
                commands = join(commands, _commands(b"EXPIRE", keys, str(self.ttl).encode()))
            exchange(connection, commands, replies=len(keys) * (2 if self.ttl else 1))

    def _newer(self, connection: Any, keys: pa.BinaryArray, micros: NDArray[np.int64]) -> list[bool]:  # noqa: ANN401 - as above
        """Whether each row is newer than the store, and than the rows of the same key before it."""
        stored = exchange(connection, _commands(b"HMGET", keys, _time_field(self.view)), replies=len(keys))
        latest: dict[bytes, int] = {}
        newer = []
        for key, (seen,), moment in zip(keys.to_pylist(), stored, (micros * 1_000).tolist(), strict=True):
            newest = max(timestamp_nanos(seen) if seen else 0, latest.get(key, 0))
            newer.append(not newest or moment > newest)  # 1970-01-01 counts as nothing stored, as in Feast
            if newer[-1]:
                latest[key] = moment
        return newer


def redis_writer(store: Any, config: RepoConfig, view: FeatureView) -> RedisWriter | None:  # noqa: ANN401 - as above
    """What writes a view to Feast's Redis store; None for one whose keys go to many servers."""
    options = config.online_store
    if options.redis_type != _ONE_SERVER:
        return None
    return RedisWriter(
        client=store._get_client(options),  # noqa: SLF001 - the store's own connections and their settings
        project=config.project,
        view=_view_name(config, view),
        ttl=options.key_ttl_seconds or 0,
        check=not options.skip_dedup,
    )


# --- Reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RedisView:
    """A view and the commands that read it.

    Attributes:
        read: The view.
        key: The layout of the hashes' keys where they are one integer.
        commands: That of the commands, which differ in the key's own bytes alone, as the keys do; likewise.
        suffix: What a hash's key has after the entity key.
        fields: The fields that are read, of the features and last of the event time.
        widths: How each feature that is a number is stored.
    """

    read: ViewRead
    key: KeyBytes | None
    commands: KeyBytes | None
    suffix: bytes
    fields: tuple[bytes, ...]
    widths: tuple[FixedWidth | None, ...]

    def wire(self, keys: ViewKeys) -> bytes:
        """Return the commands that read the rows of some keys."""
        if self.commands is not None:
            return self.commands.rows(keys.integers).tobytes()
        before = _head(2 + len(self.fields)) + _bulk_string(b"HMGET")
        after = self.suffix + b"\r\n" + b"".join(map(_bulk_string, self.fields))
        packed, more = keys.packed(), len(self.suffix)
        heads = {size: b"%b$%d\r\n" % (before, size + more) for size in set(map(len, packed))}  # few: keys are alike
        return b"".join([heads[len(key)] + key + after for key in packed])


@dataclass(frozen=True)
class RedisSource:
    """Reads the hashes of all keys and views in one round trip.

    Attributes:
        client: The store's client, of redis-py.
        link: A connection that an event loop can read.
        views: The views.
    """

    client: Any
    link: RedisLink
    views: tuple[RedisView, ...]

    def read(self, keys: Sequence[ViewKeys]) -> list[ViewRows]:
        """Read all views."""
        with redis_connection(self.client) as connection:
            replies = exchange_wire(connection, self._wire(keys), sum(map(len, keys)), keep_errors_of_keys=True)
        return self._rows(replies, keys)

    async def read_in_loop(self, keys: Sequence[ViewKeys]) -> list[ViewRows]:
        """Read all views over the link.

        Raises:
            LinkLostError: The link did not work; it is closed.
            TimeoutError: There was no answer in time.
        """
        return self._rows(await self.link.exchange(self._wire(keys), sum(map(len, keys))), keys)

    def _wire(self, keys: Sequence[ViewKeys]) -> bytes:
        return b"".join(view.wire(asked) for view, asked in zip(self.views, keys, strict=True))

    def _rows(self, replies: list[Any], keys: Sequence[ViewKeys]) -> list[ViewRows]:
        found, start = [], 0
        for view, asked in zip(self.views, keys, strict=True):
            rows = replies[start : start + len(asked)]
            found.append(view_rows(rows, view.widths, timestamp_micros, view.read.others))
            start += len(asked)
        return found


def redis_source(config: RepoConfig, online_store: Any, views: tuple[ViewRead, ...]) -> RedisSource | None:  # noqa: ANN401 - as above
    """Return what reads views of Feast's Redis store; None for one with an option that is not known here."""
    options = config.online_store
    if options.redis_type != _ONE_SERVER or options.client != "redis":
        return None
    from feast_columnar.online.redis_link import RedisLink

    client = online_store._get_client(options)  # noqa: SLF001 - the store's own connections and their settings
    return RedisSource(client, RedisLink(client), tuple(_redis_view(config, read) for read in views))


def _redis_view(config: RepoConfig, read: ViewRead) -> RedisView:
    name = _view_name(config, read.view)
    fields = (*(_feature_field(name, feature) for feature in read.names), _time_field(name))
    key, project = read.key.layout(), _key_suffix(config.project)
    if key is None:
        return RedisView(read, None, None, project, fields, read.fixed_widths())
    suffix = key.after + project
    length = len(key.before) + np.dtype(key.dtype).itemsize + len(suffix)
    before = _head(2 + len(fields)) + _bulk_string(b"HMGET") + b"$%d\r\n" % length + key.before
    after = suffix + b"\r\n" + b"".join(map(_bulk_string, fields))
    named = KeyBytes(key.before, suffix, key.dtype)
    return RedisView(read, named, KeyBytes(before, after, key.dtype), project, fields, read.fixed_widths())


# --- Contents ---------------------------------------------------------------------------------------------------------


def redis_has(store: Any, config: RepoConfig, view: FeatureView) -> bool | None:  # noqa: ANN401 - as above
    """Tell whether a Redis store has any row of a view; None if its user may read keys, but not look for them.

    Raises:
        redis.RedisError: The store can't be read.
    """
    from redis import ResponseError

    from feast_columnar.online.redis_scan import KEYS_A_SCAN, escaped

    client = store._get_client(config.online_store)  # noqa: SLF001 - Feast has no other way
    suffix = _key_suffix(config.project)
    pattern = b"*" + escaped(suffix)
    written, version = _time_field(_view_name(config, view)), config.entity_key_serialization_version
    try:
        found = client.scan_iter(match=pattern, count=KEYS_A_SCAN)
        while keys := list(islice(found, KEYS_A_SCAN)):
            if any(is_key_of(suffix, key, version) for key in having(client, keys, written)):
                return True
    except ResponseError:
        return None
    return False


def having(client: Redis, keys: list[bytes], field: bytes) -> list[bytes]:
    """Return the keys that are hashes with a field."""
    with client.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.hexists(key, field)  # type: ignore[arg-type] # keys are bytes here
        answers = pipeline.execute(raise_on_error=False)  # a key may be of another type
    return [key for key, answer in zip(keys, answers, strict=True) if answer is True]


def is_key_of(project: bytes, key: bytes, version: int = KEY_VERSION) -> bool:
    """Tell whether a key is of a project, by its suffix: that of `old_rides` ends like one of `rides`."""
    entity = key.removesuffix(project)
    try:
        return bool(serialize_entity_key(deserialize_entity_key(entity, version), version) == entity)
    except Exception:  # noqa: BLE001 - whatever Feast makes of bytes that are no key
        return False
