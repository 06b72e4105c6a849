"""The uvicorn server that takes REST's connections, and those of the metrics."""

import asyncio
import contextlib
import functools
import socket
from collections.abc import Iterator

import uvicorn

from driver_ranking.serving.server.rest.connection import LimitedHttpProtocol
from driver_ranking.serving.server.rest.limits import ConnectionLimits

_TICKS = 10  # of uvicorn's, in a second


class DeafServer(uvicorn.Server):
    """A uvicorn server that leaves signals to MLServer; the method that MLServer overrides for it is gone.

    It listens on the sockets that its configuration has, if it has some, and holds clients to limits.
    """

    def __init__(self, config: uvicorn.Config, limits: ConnectionLimits) -> None:
        """Set the limits."""
        config.http = functools.partial(LimitedHttpProtocol, limits=limits)  # type: ignore[assignment] # makes one as well
        super().__init__(config)

    async def on_tick(self, counter: int) -> bool:
        """Look after the connections once a second."""
        if counter % _TICKS == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, LimitedHttpProtocol):
                    connection.look_after(now)
        return await super().on_tick(counter)

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until it is stopped."""
        await super().serve(sockets or getattr(self.config, "sockets", None))

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield
