"""Commands that are framed already, over the connections of a redis-py client."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class LinkLostError(Exception):
    """The connection gave no replies, or a reply that is an error."""


@contextmanager
def redis_connection(client: Any) -> Iterator[Any]:  # noqa: ANN401 - redis is an optional dependency of Feast
    """A connection of the client's pool; dropped if anything fails, as replies may be left in it."""
    connection = client.connection_pool.get_connection()
    try:
        yield connection
    except BaseException:
        connection.disconnect()
        raise
    finally:
        client.connection_pool.release(connection)


def exchange_wire(connection: Any, wire: bytes, replies: int, *, keep_errors_of_keys: bool = False) -> list[Any]:  # noqa: ANN401 - as above
    """Send all commands, then read all replies; on a lost connection again, by the client's own retry rule.

    Sending twice is safe: the commands are idempotent.

    Args:
        connection: A connection of redis-py.
        wire: The commands, framed.
        replies: How many they have.
        keep_errors_of_keys: Whether an error that one key alone has is returned as its reply.

    Returns:
        The replies, undecoded.

    Raises:
        redis.RedisError: The connection is lost for good, or the server refuses a command.
    """

    def talk() -> list[Any]:
        connection.send_packed_command([wire])
        if keep_errors_of_keys:
            return [_reply(connection) for _ in range(replies)]
        return [connection.read_response(disable_decoding=True) for _ in range(replies)]

    return list(connection.retry.call_with_retry(talk, lambda _: connection.disconnect()))


def _reply(connection: Any) -> Any:  # noqa: ANN401 - as above
    from redis import ResponseError

    try:
        return connection.read_response(disable_decoding=True)
    except ResponseError as error:
        if not is_of_key(error):
            raise
        return error


def is_of_key(error: Exception) -> bool:
    """Tell whether a reply that is an error is about what one key holds, and about nothing else."""
    return str(error).startswith("WRONGTYPE")
