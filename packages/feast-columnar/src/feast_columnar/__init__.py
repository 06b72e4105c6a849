"""Feast in columns: point-in-time joins, materialization and online reads that hold arrays instead of rows.

What ``__all__`` names is what the library promises, with ``feast_columnar.errors``,
``feast_columnar.materialization.ranges`` and what ``open_ledger`` gives; the rest is its own affair. A store or the
engine is plugged into ``feature_store.yaml`` by its name here, ``type: feast_columnar.AsofOfflineStore`` for example.
Each name is imported when it is first asked for: ``import feast_columnar`` alone loads nothing, neither Feast nor
DuckDB, Spark or Redis.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from feast_columnar.ledger.settings import LedgerConfig, open_ledger
    from feast_columnar.materialization.engine import StreamingComputeEngine, StreamingComputeEngineConfig
    from feast_columnar.offline.store import (
        AsofOfflineStore,
        AsofOfflineStoreConfig,
        EntityRows,
        Feature,
        JoinKey,
        ViewJoin,
        point_in_time_sql,
    )
    from feast_columnar.online.reader import open_reader
    from feast_columnar.online.redis_store import SecretRedisOnlineStore, SecretRedisOnlineStoreConfig
    from feast_columnar.online.sqlite_store import SharedSqliteOnlineStore, SharedSqliteOnlineStoreConfig
    from feast_columnar.spark.store import SparkAsofOfflineStore, SparkAsofOfflineStoreConfig

_MODULES = {
    "AsofOfflineStore": "offline.store",
    "AsofOfflineStoreConfig": "offline.store",
    "EntityRows": "offline.store",
    "Feature": "offline.store",
    "JoinKey": "offline.store",
    "LedgerConfig": "ledger.settings",
    "SecretRedisOnlineStore": "online.redis_store",
    "SecretRedisOnlineStoreConfig": "online.redis_store",
    "SharedSqliteOnlineStore": "online.sqlite_store",
    "SharedSqliteOnlineStoreConfig": "online.sqlite_store",
    "SparkAsofOfflineStore": "spark.store",
    "SparkAsofOfflineStoreConfig": "spark.store",
    "StreamingComputeEngine": "materialization.engine",
    "StreamingComputeEngineConfig": "materialization.engine",
    "ViewJoin": "offline.store",
    "open_ledger": "ledger.settings",
    "open_reader": "online.reader",
    "point_in_time_sql": "offline.store",
}

__all__ = [
    "AsofOfflineStore",
    "AsofOfflineStoreConfig",
    "EntityRows",
    "Feature",
    "JoinKey",
    "LedgerConfig",
    "SecretRedisOnlineStore",
    "SecretRedisOnlineStoreConfig",
    "SharedSqliteOnlineStore",
    "SharedSqliteOnlineStoreConfig",
    "SparkAsofOfflineStore",
    "SparkAsofOfflineStoreConfig",
    "StreamingComputeEngine",
    "StreamingComputeEngineConfig",
    "ViewJoin",
    "open_ledger",
    "open_reader",
    "point_in_time_sql",
]


if not TYPE_CHECKING:  # pragma: no branch - for what checks types, the names are those above and no others

    def __getattr__(name: str) -> object:
        """Import a public name from where it is.

        Raises:
            AttributeError: There is none of that name.
        """
        if name not in _MODULES:
            message = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(message)
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return __all__
