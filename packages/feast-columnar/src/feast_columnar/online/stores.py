"""What writes and reads a configured online store: Redis and SQLite by their layouts, others through Feast.

A store's own ``online_write_batch`` and ``online_read`` make one protobuf object for each key and one for each value,
which is most of what they cost. Redis and SQLite are written and read here without, by the column. What is stored
equals what Feast stores, and what is read what ``online_read`` gives. A store that is configured in a way that isn't
known here, or a subclass with a write or read of its own, is left to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from feast_columnar.online.keys import KEY_VERSION
from feast_columnar.online.redis import redis_has, redis_source, redis_writer
from feast_columnar.online.sqlite import shared_sqlite_writer, sqlite_has, sqlite_source, stock_sqlite_writer
from feast_columnar.online.stock import StockSource

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from feast import FeatureView
    from feast.infra.online_stores.online_store import OnlineStore
    from feast.repo_config import RepoConfig

    from feast_columnar.online.batches import BulkWriter
    from feast_columnar.online.views import Source, ViewRead

_REDIS: Final = "feast.infra.online_stores.redis"
_SQLITE: Final = "feast.infra.online_stores.sqlite"

# By where the store's write or read is defined: subclasses that keep it are served, those with their own are left
# alone, and no store has to be imported (redis is an extra of Feast).
_WRITERS: Final[Mapping[tuple[str, str], Callable[[Any, RepoConfig, FeatureView], BulkWriter | None]]] = {
    ("feast_columnar.online.sqlite_store", "SharedSqliteOnlineStore.online_write_batch"): shared_sqlite_writer,
    (_SQLITE, "SqliteOnlineStore.online_write_batch"): stock_sqlite_writer,
    (_REDIS, "RedisOnlineStore.online_write_batch"): redis_writer,
    ("feast_columnar.online.redis_store", "SecretRedisOnlineStore.online_write_batch"): redis_writer,
}
_SOURCES: Final[Mapping[tuple[str, str], Callable[[RepoConfig, Any, tuple[ViewRead, ...]], Source | None]]] = {
    (_SQLITE, "SqliteOnlineStore.online_read"): sqlite_source,
    (_REDIS, "RedisOnlineStore.online_read"): redis_source,
}

# By class, whatever a subclass does in its own way: where its rows are is the same.
_CONTENTS: Final[Mapping[tuple[str, str], Callable[[Any, RepoConfig, FeatureView], bool | None]]] = {
    (_SQLITE, "SqliteOnlineStore"): sqlite_has,
    (_REDIS, "RedisOnlineStore"): redis_has,
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


def open_source(config: RepoConfig, online_store: OnlineStore, views: tuple[ViewRead, ...]) -> Source:
    """Return the fastest correct way to read some views of a store."""
    read = type(online_store).online_read
    make = _SOURCES.get((read.__module__, read.__qualname__))
    direct = (
        make(config, online_store, views) if make and config.entity_key_serialization_version == KEY_VERSION else None
    )
    return direct or StockSource(config, online_store, views)


def has_features(store: OnlineStore, config: RepoConfig, view: FeatureView) -> bool | None:
    """Tell whether an online store has any row of a feature view.

    Of a SQLite store one row is read. A Redis is gone through until a key with the view's features is found: all of it
    if there is none.

    Returns:
        None for a store of which it can't be told.

    Raises:
        Exception: The store can't be read; the store's own.
    """
    for one in type(store).__mro__:
        has = _CONTENTS.get((one.__module__, one.__qualname__))
        if has:
            return has(store, config, view)
    return None
