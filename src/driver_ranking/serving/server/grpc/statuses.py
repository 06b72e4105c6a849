"""Errors as gRPC tells them: a status for each kind, with a message for the client."""

import functools
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import grpc
from mlserver.errors import MLServerError

from driver_ranking.serving.metrics import count_failure
from driver_ranking.serving.server.failures import answered
from driver_ranking.serving.server.grpc.counting import UNREADABLE

_MOST_DETAILS = 1_000
_NO_MESSAGE = "The message can't be read: it is not one of this method."
_CODES = {
    HTTPStatus.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    HTTPStatus.CONFLICT: grpc.StatusCode.FAILED_PRECONDITION,
    HTTPStatus.UNPROCESSABLE_ENTITY: grpc.StatusCode.FAILED_PRECONDITION,
    HTTPStatus.SERVICE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
}

Method = Callable[[Any, Any, Any], Awaitable[Any]]


def _require_message(request: object) -> None:
    if request is UNREADABLE:
        raise MLServerError(_NO_MESSAGE, HTTPStatus.BAD_REQUEST)


def aborting(method: Method) -> Method:
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


def _code(status: int) -> grpc.StatusCode:
    """Return the code for an HTTP status; what is not in the table is the caller's fault or the server's."""
    otherwise = (
        grpc.StatusCode.INTERNAL if status >= HTTPStatus.INTERNAL_SERVER_ERROR else grpc.StatusCode.INVALID_ARGUMENT
    )
    return _CODES.get(HTTPStatus(status), otherwise)
