"""MLServer's gRPC server, with the health and the reflection that others' tools ask for."""

from typing import Any

from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server
from grpc_reflection.v1alpha import reflection
from mlserver.grpc.server import GRPCServer

from driver_ranking.serving.server.grpc.health import HEALTH_SERVICE, PROTOCOL_SERVICES, RankingHealth


class RankingGRPCServer(GRPCServer):  # type: ignore[misc]
    """The gRPC server, with health and reflection."""

    def _create_server(self) -> Any:  # noqa: ANN401 - gRPC's, not typed
        server = super()._create_server()
        self._health = RankingHealth(self._data_plane)
        add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection((*PROTOCOL_SERVICES, HEALTH_SERVICE, reflection.SERVICE_NAME), server)
        return server

    async def stop(self, sig: int | None = None) -> None:
        """Stop; who watches the health would otherwise be waited for."""
        self._health.stop()
        await super().stop(sig)
