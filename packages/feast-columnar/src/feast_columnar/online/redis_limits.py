"""A Redis that answers in time or fails."""

from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry


def limit_redis(online_store: Any, config: Any, timeout: float) -> None:  # noqa: ANN401 - Feast's store and its settings
    """Let a Redis answer within the time limit or fail.

    The client waits without an end by default, and tries for three seconds to reach a server that is not there. One
    new try is kept: after the server's restart, the first use of each pooled connection finds it closed.
    """
    client = online_store._get_client(config)  # noqa: SLF001 - Feast's store takes no client of others
    if isinstance(client, redis.Redis):
        settings = client.connection_pool.connection_kwargs
        for name in ("socket_timeout", "socket_connect_timeout"):
            settings[name] = settings.get(name) or timeout
        client.set_retry(Retry(NoBackoff(), 1))
