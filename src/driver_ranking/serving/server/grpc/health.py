"""``grpc.health.v1``, which Kubernetes, load balancers and grpcurl ask for, beside the protocol's own health.

The health of the server as a whole (``""``) and of each of its services is the readiness that REST and the protocol
tell. The service ``liveness`` is for probes that restart what does not serve: it serves as long as the process does.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1.health_pb2_grpc import HealthServicer
from mlserver.grpc import dataplane_pb2, model_repository_pb2
from mlserver.handlers import DataPlane

LIVENESS = "liveness"

_SERVING, _NOT_SERVING, _UNKNOWN = (
    pb.HealthCheckResponse.SERVING,
    pb.HealthCheckResponse.NOT_SERVING,
    pb.HealthCheckResponse.SERVICE_UNKNOWN,
)
_INTERVAL = 0.2  # seconds between two looks for somebody who watches
HEALTH_SERVICE = pb.DESCRIPTOR.services_by_name["Health"].full_name
PROTOCOL_SERVICES = (
    dataplane_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name,
    model_repository_pb2.DESCRIPTOR.services_by_name["ModelRepositoryService"].full_name,
)
_BY_READINESS = {"", "readiness", *PROTOCOL_SERVICES}


class RankingHealth(HealthServicer):  # type: ignore[misc]
    """Tells readiness as gRPC's own health service does."""

    def __init__(self, data_plane: DataPlane) -> None:
        """Ask a data plane."""
        self._data_plane = data_plane
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Tell all who watch that there is nothing served any more, and let them go."""
        self._stopping.set()

    async def Check(self, request: pb.HealthCheckRequest, context: Any) -> pb.HealthCheckResponse:  # noqa: ANN401, N802 - gRPC's
        """Tell the health of a service."""
        status = await self._status(request.service)
        if status == _UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, "There is no such service.")
        return pb.HealthCheckResponse(status=status)

    async def Watch(  # noqa: N802 - gRPC's
        self,
        request: pb.HealthCheckRequest,
        _: Any,  # noqa: ANN401 - gRPC's types
    ) -> AsyncIterator[pb.HealthCheckResponse]:
        """Tell the health of a service, and again whenever it changes."""
        told, goes_on = None, True
        while goes_on:
            goes_on = not self._stopping.is_set()
            status = await self._status(request.service)
            if status != told:
                told = status
                yield pb.HealthCheckResponse(status=status)
            if goes_on:
                await self._pause()

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), _INTERVAL)

    async def _status(self, service: str) -> int:
        if service in {LIVENESS, HEALTH_SERVICE}:
            return int(_SERVING)
        if service not in _BY_READINESS:
            return int(_UNKNOWN)
        ready = not self._stopping.is_set() and await self._data_plane.ready()
        return int(_SERVING if ready else _NOT_SERVING)
