"""One connection to Redis for an event loop, beside the connections of a redis-py client.

Reading in a thread costs an event loop more than the read itself: two hand-overs, and a fight for the interpreter in
between. redis-py makes the connection: address, credentials, database and time limits are its matter. Whatever goes
wrong is left to it as well: the link closes, and the caller reads through the client, which tries again or says what
is wrong.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import hiredis

from feast_columnar.online.redis_socket import receive, send_all
from feast_columnar.online.redis_wire import LinkLostError, is_of_key

if TYPE_CHECKING:
    import socket


class RedisLink:
    """A connection for one event loop: ``connect`` opens it, whatever goes wrong closes it."""

    def __init__(self, client: Any) -> None:  # noqa: ANN401 - redis is an optional dependency of Feast
        """Connect to nothing yet.

        Args:
            client: A client of redis-py.
        """
        self._pool = client.connection_pool
        self._socket: socket.socket | None = None
        self._reader = hiredis.Reader()
        self._busy = False
        self._connecting = threading.Lock()
        self._unwanted = threading.Event()

    @property
    def is_open(self) -> bool:
        """Return whether ``exchange`` can be tried."""
        return self._socket is not None

    def connect(self) -> None:
        """Open the link, unless it is open, or can't be. Blocks: for a thread, while nothing is exchanged."""
        with self._connecting:  # the thread of a read that was given up may still be at it
            if self._unwanted.is_set() or self.is_open:
                return
            taken = self._connected_socket()
            if taken is not None:
                taken.setblocking(False)  # noqa: FBT003 - the standard library's
                self._socket, self._reader = taken, hiredis.Reader()
                if self._unwanted.is_set():  # since just now
                    self._disconnect()

    def _connected_socket(self) -> socket.socket | None:
        """Return a socket past the handshake; None if there is none."""
        from redis import RedisError

        connection = self._pool.connection_class(**self._pool.connection_kwargs)
        try:
            connection.connect()
        except (RedisError, OSError):
            return None
        made: socket.socket = connection._sock  # noqa: SLF001 - redis-py has no other way to give it away
        connection._sock = None  # noqa: SLF001 - it would close it
        return made

    async def exchange(self, wire: bytes, replies: int) -> list[list[Any]]:
        """Send all commands, then return all replies, undecoded.

        An error that is of one key alone stands for its reply.

        Args:
            wire: The commands, framed, each of which answers with an array.
            replies: How many they are.

        Raises:
            LinkLostError: It did not work, and the link is closed; or another exchange is on its way, and goes on.
            TimeoutError: There was no answer within the client's `socket_timeout`; the link is closed.
        """
        if self._socket is None or self._busy:  # whose reply is whose could not be told
            raise LinkLostError
        self._busy, well = True, False
        try:
            async with asyncio.timeout(self._pool.connection_kwargs.get("socket_timeout")):
                found = await self._talk(self._socket, wire, replies)
            well = True
        except TimeoutError:
            raise
        except (OSError, hiredis.HiredisError) as error:
            raise LinkLostError from error
        finally:
            self._busy = False
            if self._unwanted.is_set() or not well:  # replies may be on their way
                self._disconnect()
        return found

    async def _talk(self, connected: socket.socket, wire: bytes, replies: int) -> list[list[Any]]:
        await send_all(connected, wire)
        found: list[list[Any]] = []
        while len(found) < replies:
            data = await receive(connected)
            if not data:
                raise ConnectionResetError
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False:  # False: there is more to come
                if type(reply) is list or _stands_for_one(reply):
                    found.append(reply)
        return found

    def close(self) -> None:
        """Close for good, once the exchange that is on its way has ended."""
        self._unwanted.set()
        if not self._busy:
            self._disconnect()

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _stands_for_one(reply: Any) -> bool:  # noqa: ANN401 - whatever hiredis makes
    """Tell whether what is no plain array is a reply all the same; the newer protocol has messages that are none.

    Raises:
        hiredis.ReplyError: The server refuses the command.
    """
    if isinstance(reply, hiredis.ReplyError) and not is_of_key(reply):
        raise reply
    return not isinstance(reply, hiredis.PushNotification)
