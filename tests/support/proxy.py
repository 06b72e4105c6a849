"""A TCP proxy that makes a server slow."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK = 1 << 16


class SlowProxy:
    """Passes on what is sent to a port, and what comes back after a delay that can be changed at any time.

    Attributes:
        delay: How long answers are kept back, in seconds.
    """

    def __init__(self, port: int, target_port: int) -> None:
        self.port = port
        self.delay = 0.0
        self._target_port = target_port
        self._loop = asyncio.new_event_loop()
        self._listening = threading.Event()
        self._stopped: asyncio.Event = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    def start(self) -> None:
        """Listen, in a thread."""
        self._thread.start()
        assert self._listening.wait(timeout=10)

    def stop(self) -> None:
        """Close all connections and end the thread."""
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(timeout=10)
        self._loop.close()

    async def _serve(self) -> None:
        connections: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._connect(reader, writer))
            connections.add(task)
            task.add_done_callback(connections.discard)

        server = await asyncio.start_server(accept, "127.0.0.1", self.port)
        self._listening.set()
        await self._stopped.wait()
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError), contextlib.closing(writer):
            target_reader, target_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
            with contextlib.closing(target_writer):
                directions = {
                    asyncio.create_task(self._pass_on(reader, target_writer, slow=False)),
                    asyncio.create_task(self._pass_on(target_reader, writer, slow=True)),
                }
                try:
                    await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for direction in directions:
                        direction.cancel()
                    await asyncio.gather(*directions, return_exceptions=True)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, slow: bool) -> None:
        while data := await reader.read(_CHUNK):
            if slow and self.delay:
                await asyncio.sleep(self.delay)
            writer.write(data)
            await writer.drain()


@contextlib.contextmanager
def slow_proxy(port: int, target_port: int) -> Iterator[SlowProxy]:
    """Run a proxy that listens on a port; without delay at first."""
    proxy = SlowProxy(port, target_port)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
