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

import functools
import importlib
from dataclasses import replace
from typing import Any

import mlserver.grpc.server
import mlserver.metrics.server
import mlserver.rest.app
import mlserver.rest.server
import mlserver.server

from driver_ranking.serving.server.data_plane import RankingDataPlane
from driver_ranking.serving.server.grpc.counting import CountingInterceptor
from driver_ranking.serving.server.grpc.server import RankingGRPCServer
from driver_ranking.serving.server.grpc.servicer import RankingServicer
from driver_ranking.serving.server.process import EnvironmentFirstServer
from driver_ranking.serving.server.repository_handlers import RankingRepositoryHandlers
from driver_ranking.serving.server.rest.application import RankingRESTServer
from driver_ranking.serving.server.rest.endpoints import RankingEndpoints, RankingRepositoryEndpoints
from driver_ranking.serving.server.rest.limits import ConnectionLimits
from driver_ranking.serving.server.rest.listener import DeafServer
from driver_ranking.serving.settings import ServerSettings

_MONITORING = 64  # connections to the metrics


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
