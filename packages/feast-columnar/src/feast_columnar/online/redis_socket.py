"""Bytes over a connected socket for an event loop, with TLS or without.

The event loop's own functions take no socket with TLS, and its streams none that has shaken hands already. TLS on a
socket that does not block says itself what it waits for.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import TypeVar

T = TypeVar("T")

_CHUNK = 1 << 16  # bytes that are received at once


async def send_all(connected: socket.socket, data: bytes) -> None:
    """Send all of some bytes.

    Args:
        connected: The socket, which does not block.
        data: The bytes.

    Raises:
        OSError: The connection is lost.
    """
    if not isinstance(connected, ssl.SSLSocket):
        await asyncio.get_running_loop().sock_sendall(connected, data)
        return
    view = memoryview(data)
    while view:
        sent = await _tls(connected, partial(connected.send, view))
        view = view[sent:]


async def receive(connected: socket.socket) -> bytes:
    """Receive some bytes; none where the other end has closed.

    Args:
        connected: The socket, which does not block.

    Raises:
        OSError: The connection is lost.
    """
    if not isinstance(connected, ssl.SSLSocket):
        return await asyncio.get_running_loop().sock_recv(connected, _CHUNK)
    return await _tls(connected, partial(connected.recv, _CHUNK))


async def _tls(connected: ssl.SSLSocket, step: Callable[[], T]) -> T:
    """Do one thing once TLS can."""
    loop, number = asyncio.get_running_loop(), connected.fileno()
    while True:
        try:
            return step()
        except ssl.SSLWantReadError:
            watch, forget = loop.add_reader, loop.remove_reader
        except ssl.SSLWantWriteError:
            watch, forget = loop.add_writer, loop.remove_writer
        turn = loop.create_future()
        watch(number, _wake, turn)
        try:
            await turn
        finally:
            forget(number)


def _wake(turn: "asyncio.Future[None]") -> None:
    if not turn.done():
        turn.set_result(None)
