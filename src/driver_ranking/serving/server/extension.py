"""MLServer's own parts, replaced where it has no place for what users of the protocol expect.

MLServer makes its data plane and its servers from names in its modules. ``extend_mlserver`` puts subclasses there,
before they are used. What they mend, as of MLServer 1.7.1:

- the environment overrides settings.json
- health has the bodies that clients read, and is about what can be answered, not only about what is loaded
- every error of REST has the body ``{"error": ...}``, and no error carries a text that was not written for clients
- types are checked strictly, sizes, connections and times are limited, and gRPC has status codes for it
- the registry's version is the version
- loading a model again swaps it within the runtime; what can't be loaded leaves the old one in place
- the OpenAPI page shows what is served, without a network
- gRPC has its own health service and reflection
- signals reach MLServer alone, which stops its servers in order; uvicorn would take them as well, and end the process
  in the middle of that
"""

import asyncio
import contextlib
import functools
import importlib
import logging
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import mlserver.grpc.server
import mlserver.metrics.server
import mlserver.rest.app
import mlserver.rest.server
import mlserver.server
import uvicorn
from mlserver.server import MLServer
from mlserver.settings import ModelSettings, Settings

from driver_ranking.errors import SettingError
from driver_ranking.serving.server.data_plane import RankingDataPlane, RankingRepositoryHandlers
from driver_ranking.serving.server.ending import end_of_process, end_of_process_within
from driver_ranking.serving.server.grpc.counting import CountingInterceptor
from driver_ranking.serving.server.grpc.health import RankingGRPCServer
from driver_ranking.serving.server.grpc.servicer import RankingServicer
from driver_ranking.serving.server.rest.application import (
    RankingEndpoints,
    RankingRepositoryEndpoints,
    RankingRESTServer,
)
from driver_ranking.serving.server.rest.connection import LimitedHttpProtocol
from driver_ranking.serving.server.rest.limits import ConnectionLimits
from driver_ranking.serving.server.workable import require_workable
from driver_ranking.serving.settings import ServerSettings

logger = logging.getLogger("mlserver.driver_ranking")

_MONITORING = 64  # connections to the metrics
_TICKS = 10  # of uvicorn's, in a second
_GIVEN_AS_ARGUMENTS = {"model_repository_root", "model_repository_implementation"}
_STOPS_WITHIN = 25.0  # seconds, less than Kubernetes waits


def extend_mlserver(settings: ServerSettings) -> None:
    """Put the classes of this project in the place of MLServer's, for servers that are made from now on."""
    # by its name: the package's attribute `main` is the function in it
    command: Any = importlib.import_module("mlserver.cli.main")
    command.MLServer = EnvironmentFirstServer
    mlserver.server.DataPlane = RankingDataPlane
    mlserver.server.ModelRepositoryHandlers = RankingRepositoryHandlers
    mlserver.server.RESTServer = functools.partial(RankingRESTServer, limits=settings)
    mlserver.rest.app.Endpoints = RankingEndpoints
    mlserver.rest.app.ModelRepositoryEndpoints = RankingRepositoryEndpoints
    limits = ConnectionLimits.of(settings)
    mlserver.rest.server._NoSignalServer = functools.partial(DeafServer, limits=limits)  # noqa: SLF001 - what it is meant to be
    few = replace(limits, connections=min(limits.connections, _MONITORING))
    mlserver.metrics.server._NoSignalServer = functools.partial(DeafServer, limits=few)  # noqa: SLF001 - likewise
    mlserver.grpc.server.InferenceServicer = RankingServicer
    mlserver.grpc.server.PromServerInterceptor = CountingInterceptor
    mlserver.server.GRPCServer = RankingGRPCServer


def _nothing() -> None:
    """Stand in for what models of other classes don't have."""


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


class EnvironmentFirstServer(MLServer):  # type: ignore[misc]
    """MLServer, with ``MLSERVER_*`` over settings.json."""

    def __init__(self, settings: Settings) -> None:
        """Override the settings that the environment names."""
        environment = Settings()
        for name in environment.model_fields_set - _GIVEN_AS_ARGUMENTS:
            setattr(settings, name, getattr(environment, name))
        self._failed = False
        try:
            require_workable(settings)
        except SettingError as error:
            logger.error("The server can't start: %s", error)  # noqa: TRY400 - the message says all
            sys.exit(1)
        super().__init__(settings)

    async def start(self, models_settings: list[ModelSettings]) -> None:
        """Serve until it is stopped.

        Raises:
            SystemExit: It stopped because the model's settings can't be used; MLServer would exit as if all were well.
        """
        await super().start(models_settings)
        end_of_process(failed=self._failed)
        if self._failed:
            sys.exit(1)

    async def stop(self, sig: int | None = None) -> None:
        """Stop; without a signal it is MLServer itself that gives up."""
        self._failed = sig is None
        end_of_process_within(_STOPS_WITHIN, failed=self._failed)
        for model in await self._model_registry.get_models():
            getattr(model, "stop", _nothing)()
        await super().stop(sig)
