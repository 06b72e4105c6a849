"""MLServer's gRPC service, with a status for each kind of error."""

import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from typing import Any

import grpc
import numpy as np
from mlserver.errors import MLServerError
from mlserver.grpc import dataplane_pb2 as pb
from mlserver.grpc.converters import ModelInferResponseConverter, ModelMetadataResponseConverter
from mlserver.grpc.servicers import InferenceServicer
from mlserver.grpc.utils import to_headers, to_metadata
from mlserver.types import InferenceResponse, RepositoryIndexRequest, State
from mlserver.utils import extract_headers, insert_headers

from driver_ranking.serving.metrics import count_failure
from driver_ranking.serving.server.data_plane import answered
from driver_ranking.serving.server.grpc.counting import UNREADABLE
from driver_ranking.serving.server.grpc.messages import decoded
from driver_ranking.serving.server.protocol.requests import sendable_headers

_MOST_DETAILS = 1_000
_NO_MESSAGE = "The message can't be read: it is not one of this method."
_FIELDS = {"INT64": ("int64_contents", "<i8"), "FP64": ("fp64_contents", "<f8")}
_CODES = {
    HTTPStatus.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    HTTPStatus.CONFLICT: grpc.StatusCode.FAILED_PRECONDITION,
    HTTPStatus.UNPROCESSABLE_ENTITY: grpc.StatusCode.FAILED_PRECONDITION,
    HTTPStatus.SERVICE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
}

Method = Callable[[Any, Any, Any], Awaitable[Any]]


def _code(status: int) -> grpc.StatusCode:
    """Return the code for an HTTP status; what is not in the table is the caller's fault or the server's."""
    otherwise = (
        grpc.StatusCode.INTERNAL if status >= HTTPStatus.INTERNAL_SERVER_ERROR else grpc.StatusCode.INVALID_ARGUMENT
    )
    return _CODES.get(HTTPStatus(status), otherwise)


def _named(request: Any) -> str:  # noqa: ANN401 - a request to load or unload
    """Return the model's name; KServe's description of the protocol gives it the number of Triton's repository name."""
    return str(request.model_name or request.repository_name)


def _require_message(request: object) -> None:
    if request is UNREADABLE:
        raise MLServerError(_NO_MESSAGE, HTTPStatus.BAD_REQUEST)


def _aborting(method: Method) -> Method:
    """Answer errors with gRPC's status; MLServer would log each with a traceback, or send it."""

    @functools.wraps(method)
    async def call(self: object, request: object, context: Any) -> Any:  # noqa: ANN401 - gRPC's types
        try:
            with answered():
                _require_message(request)
                return await method(self, request, context)
        except MLServerError as error:
            count_failure(error.status_code)
            # it is sent in a header, of which clients take some KiB; it may name what the client made up
            await context.abort(_code(error.status_code), str(error)[:_MOST_DETAILS])

    return call


def encoded(answer: InferenceResponse, *, raw: bool) -> pb.ModelInferResponse:
    """Return an answer as a message, its tensors raw if the request's were."""
    if answer.parameters is not None or any(output.datatype not in _FIELDS for output in answer.outputs):
        return ModelInferResponseConverter.from_types(answer, use_raw=raw)
    message = pb.ModelInferResponse(
        model_name=answer.model_name, model_version=answer.model_version or "", id=answer.id or ""
    )
    for output in answer.outputs:
        field, dtype = _FIELDS[output.datatype]
        tensor = message.outputs.add(name=output.name, datatype=output.datatype, shape=output.shape)
        if raw:
            message.raw_output_contents.append(np.array(output.data.root, dtype).tobytes())
        else:
            getattr(tensor.contents, field).extend(output.data.root)
    return message


class RankingServicer(InferenceServicer):  # type: ignore[misc]
    """The protocol's gRPC service."""

    @_aborting
    async def ModelReady(self, request: pb.ModelReadyRequest, _: Any) -> pb.ModelReadyResponse:  # noqa: ANN401, N802 - gRPC's
        """Say whether a model can answer."""
        return pb.ModelReadyResponse(ready=await self._data_plane.model_ready(request.name, request.version))

    @_aborting
    async def ModelMetadata(self, request: pb.ModelMetadataRequest, _: Any) -> pb.ModelMetadataResponse:  # noqa: ANN401, N802 - gRPC's
        """Say what a model takes and gives."""
        metadata = await self._data_plane.model_metadata(request.name, request.version)
        return ModelMetadataResponseConverter.from_types(metadata)

    @_aborting
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
        answer = _aborting(type(self)._answer)  # noqa: SLF001 - its own
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

    @_aborting
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

    @_aborting
    async def RepositoryModelLoad(  # noqa: N802 - gRPC's
        self,
        request: pb.RepositoryModelLoadRequest,
        _: Any,  # noqa: ANN401 - gRPC's types
    ) -> pb.RepositoryModelLoadResponse:
        """Load a model, anew if it is loaded."""
        await self._model_repository_handlers.load(_named(request))
        return pb.RepositoryModelLoadResponse()

    @_aborting
    async def RepositoryModelUnload(  # noqa: N802 - gRPC's
        self,
        request: pb.RepositoryModelUnloadRequest,
        _: Any,  # noqa: ANN401 - gRPC's types
    ) -> pb.RepositoryModelUnloadResponse:
        """Take a model out of service."""
        await self._model_repository_handlers.unload(_named(request))
        return pb.RepositoryModelUnloadResponse()
