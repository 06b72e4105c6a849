"""MLServer's metrics of gRPC calls, for every kind of call, and the failures that no method hears of."""

import functools
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from google.protobuf.message import DecodeError
from mlserver.grpc.interceptors import PromServerInterceptor

from driver_ranking.serving.metrics import count_failure

_OURS = "/inference."
_WATCH = "/grpc.health.v1.Health/Watch"

UNREADABLE = object()  # in the place of a message that is none

Continuation = Callable[[Any], Awaitable[Any]]


class CountingInterceptor(PromServerInterceptor):  # type: ignore[misc]
    """Counts calls as MLServer does, and those that fail before they reach a method.

    Methods are wrapped once, where MLServer would do so for each call. Its wrapper would await the stream of answers of
    a call that watches, which can't be.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - MLServer's own
        """Wrap nothing yet."""
        super().__init__(*arguments, **options)
        self._wrapped: dict[str, tuple[Any, Any]] = {}

    async def intercept_service(self, continuation: Continuation, handler_call_details: Any) -> Any:  # noqa: ANN401 - gRPC's
        """Return what answers a call; None where there is no such method."""
        handler = await continuation(handler_call_details)
        if handler is None:
            count_failure(HTTPStatus.NOT_FOUND)
            return None
        method = handler_call_details.method
        before, wrapped = self._wrapped.get(method, (None, None))
        if before is not handler:
            wrapped = await self._wrap(handler, handler_call_details)
            self._wrapped[method] = handler, wrapped
        return wrapped

    async def _wrap(self, handler: Any, details: Any) -> Any:  # noqa: ANN401 - gRPC's types
        if details.method == _WATCH:
            return handler
        reading = handler
        if details.method.startswith(_OURS):
            reading = handler._replace(request_deserializer=functools.partial(_read, handler.request_deserializer))

        async def found(_: object) -> Any:  # noqa: ANN401 - likewise
            return reading

        return await super().intercept_service(found, details)


def _read(deserialize: Callable[[bytes], object], message: bytes) -> object:
    """Return a message, or ``UNREADABLE``: gRPC's own answer would name a class, and nobody would count it."""
    try:
        return deserialize(message)
    except DecodeError:
        return UNREADABLE
