"""An online store that Feast has opened: made to answer in time, followed to a new file, its errors named."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from driver_ranking.errors import FeaturesLostError, StoreUnavailableError
from driver_ranking.redaction import without_secrets

NO_FEATURES = "The online feature store has no features."


@contextlib.contextmanager
def unavailable(online_store: object) -> Iterator[None]:
    """Turn whatever a store raises into an error that says so."""
    name = type(online_store).__name__.removesuffix("OnlineStore") or "online"
    try:
        yield
    except FeaturesLostError as error:
        message = f"{NO_FEATURES} The {name} online store can't be read: {error}"
        raise FeaturesLostError(message) from None
    except Exception as error:
        message = f"The {name} online store can't be read: {without_secrets(str(error)) or type(error).__name__}"
        if isinstance(error, sqlite3.OperationalError) and "no such table" in message:
            message = f"{NO_FEATURES} {message}; materialize"
            raise FeaturesLostError(message) from error
        raise StoreUnavailableError(message) from error


def limit_redis(online_store: Any, config: Any, timeout: float) -> None:  # noqa: ANN401 - any store
    """Let a Redis answer within the time limit or fail.

    The client waits without an end by default, and tries for three seconds to reach a server that is not there. One
    new try is kept: after the server's restart, the first use of each pooled connection finds it closed.
    """
    if not hasattr(online_store, "_parse_connection_string"):
        return
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    client = online_store._get_client(config)  # noqa: SLF001 - Feast's store takes no client of others
    if isinstance(client, redis.Redis):
        settings = client.connection_pool.connection_kwargs
        for name in ("socket_timeout", "socket_connect_timeout"):
            settings[name] = settings.get(name) or timeout
        client.set_retry(Retry(NoBackoff(), 1))


def follow_file(online_store: Any, config: Any) -> None:  # noqa: ANN401 - any store
    """Open a SQLite store's file again if another one has taken its place: the open one would never change."""
    if not hasattr(online_store, "_get_db_path"):
        return
    path = Path(online_store._get_db_path(config))  # noqa: SLF001 - Feast has no other way
    try:
        inode = path.stat().st_ino
    except FileNotFoundError:
        message = "its file is not there; materialize"  # else SQLite would make an empty one
        raise FeaturesLostError(message) from None
    if online_store._conn and inode != getattr(online_store, "driver_ranking_inode", inode):  # noqa: SLF001
        online_store._conn.close()  # noqa: SLF001 - likewise
        online_store._conn = None  # noqa: SLF001 - the store opens the new file
    online_store.driver_ranking_inode = inode
