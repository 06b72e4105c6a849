"""MLServer's gRPC service: its methods."""

from collections.abc import AsyncIterator
from typing import Any

from mlserver.grpc import dataplane_pb2 as pb
from mlserver.grpc.converters import ModelMetadataResponseConverter
from mlserver.grpc.servicers import InferenceServicer
from mlserver.grpc.utils import to_headers, to_metadata
from mlserver.types import RepositoryIndexRequest, State
from mlserver.utils import extract_headers, insert_headers

from driver_ranking.serving.server.grpc.messages import decoded, encoded
from driver_ranking.serving.server.grpc.statuses import aborting
from driver_ranking.serving.server.protocol.headers import sendable_headers


class RankingServicer(InferenceServicer):  # type: ignore[misc]
    """The protocol's gRPC service."""

    @aborting
    async def ModelReady(self, request: pb.ModelReadyRequest, _: Any) -> pb.ModelReadyResponse:  # noqa: ANN401, N802 - gRPC's
        """Say whether a model can answer."""
        return pb.ModelReadyResponse(ready=await self._data_plane.model_ready(request.name, request.version))

    @aborting
    async def ModelMetadata(self, request: pb.ModelMetadataRequest, _: Any) -> pb.ModelMetadataResponse:  # noqa: ANN401, N802 - gRPC's
        """Say what a model takes and gives."""
        metadata = await self._data_plane.model_metadata(request.name, request.version)
        return ModelMetadataResponseConverter.from_types(metadata)

    @aborting
    async def ModelInfer(self, request: pb.ModelInferRequest, context: Any) -> pb.ModelInferResponse:  # noqa: ANN401, N802 - gRPC's
        """Answer a request."""
        message, headers = await self._answer(request, context)
        context.set_trailing_metadata(to_metadata(headers))
        return message

    async def ModelStreamInfer(  # noqa: N802 - gRPC's
        self,
        requests_stream: AsyncIterator[pb.ModelInferRequest],
        context: Any,  # noqa: ANN401 - gRPC's types
    ) -> AsyncIterator[pb.ModelInferResponse]:
        """Answer each request of a stream in turn; the first that can't be answered ends it, with its status.

        The answers have no place for an error. Headers of single answers are not sent: a stream has them once.
        """
        answer = aborting(type(self)._answer)  # noqa: SLF001 - its own
        async for request in requests_stream:
            message, _ = await answer(self, request, context)
            yield message

    async def _answer(
        self,
        request: pb.ModelInferRequest,
        context: Any,  # noqa: ANN401 - gRPC's types
    ) -> tuple[pb.ModelInferResponse, dict[str, str]]:
        payload = insert_headers(decoded(request), to_headers(context))
        result = await self._data_plane.infer(payload=payload, name=request.model_name, version=request.model_version)
        headers = sendable_headers(extract_headers(result))
        if result.parameters is not None and not result.parameters.model_dump():
            result.parameters = None
        return encoded(result, raw=bool(request.raw_input_contents)), headers

    @aborting
    async def RepositoryIndex(  # noqa: N802 - gRPC's
        self,
        request: pb.RepositoryIndexRequest,
        _: Any,  # noqa: ANN401 - gRPC's types
    ) -> pb.RepositoryIndexResponse:
        """List the models; MLServer's own converter names their states otherwise than REST does."""
        index = await self._model_repository_handlers.index(RepositoryIndexRequest(ready=request.ready))
        return pb.RepositoryIndexResponse(
            models=[
                pb.RepositoryIndexResponse.ModelIndex(
                    name=item.name, version=item.version or "", state=State(item.state).value, reason=item.reason
                )
                for item in index
            ]
        )

    @aborting
    async def RepositoryModelLoad(  # noqa: N802 - gRPC's
        self,
        request: pb.RepositoryModelLoadRequest,
        _: Any,  # noqa: ANN401 - gRPC's types
    ) -> pb.RepositoryModelLoadResponse:
        """Load a model, anew if it is loaded."""
        await self._model_repository_handlers.load(_named(request))
        return pb.RepositoryModelLoadResponse()

    @aborting
    async def RepositoryModelUnload(  # noqa: N802 - gRPC's
        self,
        request: pb.RepositoryModelUnloadRequest,
        _: Any,  # noqa: ANN401 - gRPC's types
    ) -> pb.RepositoryModelUnloadResponse:
        """Take a model out of service."""
        await self._model_repository_handlers.unload(_named(request))
        return pb.RepositoryModelUnloadResponse()


def _named(request: Any) -> str:  # noqa: ANN401 - a request to load or unload
    """Return the model's name; KServe's description of the protocol gives it the number of Triton's repository name."""
    return str(request.model_name or request.repository_name)
