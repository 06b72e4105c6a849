"""REST bodies: unpacked, counted and refused where they are too large, before anything reads them."""

import json
import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[..., Any]

# how many times the limit is read and thrown away, so that a client that is still sending gets the answer
_DRAINED = 16
_GZIP = 16 + zlib.MAX_WBITS


class Refused(Exception):  # noqa: N818 - a refusal is what it is
    """A body that is not taken.

    Attributes:
        status: The status of the answer.
        message: What the client is told.
    """

    def __init__(self, status: HTTPStatus, message: str) -> None:
        """Say why."""
        super().__init__(message)
        self.status = status
        self.message = message


class BodyReader:
    """Reads whole bodies of a limited size, unpacked if they were gzipped."""

    def __init__(self, max_bytes: int) -> None:
        """Set the limit."""
        self._max_bytes = max_bytes

    async def read(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes | None:
        """Return a body, unpacked; None if the client leaves before its end.

        Raises:
            Refused: It is too large, or not what the headers say.
        """
        if int(headers.get(b"content-length", b"0")) > self._max_bytes:
            if b"expect" not in headers:  # with it, the client sends nothing before it is told to
                await self._drain(receive)
            raise self._too_large()
        parts, size = [], 0
        async for part in _parts(receive):
            if part is None:
                return None
            parts.append(part)
            size += len(part)
            if size > self._max_bytes:
                await self._drain(receive)
                raise self._too_large()
        return self._unpack(b"".join(parts), headers.get(b"content-encoding", b"identity").decode("latin-1").lower())

    def _unpack(self, body: bytes, encoding: str) -> bytes:
        if encoding in {"", "identity"}:
            return body
        if encoding not in {"gzip", "x-gzip"}:
            message = "The body's Content-Encoding is not taken; send it plain or with gzip."
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message)
        unpacker = zlib.decompressobj(_GZIP)
        try:
            unpacked = unpacker.decompress(body, self._max_bytes + 1)
        except zlib.error:
            raise Refused(HTTPStatus.BAD_REQUEST, "The body is not gzip, as its Content-Encoding says.") from None
        if len(unpacked) > self._max_bytes:
            raise self._too_large()
        if not unpacker.eof:
            raise Refused(HTTPStatus.BAD_REQUEST, "The gzipped body ends too early.")
        return unpacked

    async def _drain(self, receive: Receive) -> None:
        left = self._max_bytes * _DRAINED
        async for part in _parts(receive):
            left -= len(part or b"")
            if part is None or left < 0:
                return

    def _too_large(self) -> Refused:
        message = f"The body is larger than {self._max_bytes} bytes, which is the most that is taken."
        return Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)


class LimitedBody:
    """ASGI middleware that hands on bodies as ``BodyReader`` reads them."""

    def __init__(self, app: App, max_bytes: int) -> None:
        """Wrap an application."""
        self._app = app
        self._reader = BodyReader(max_bytes)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Read the body of a request that may have one, or refuse it."""
        if scope["type"] != "http" or scope["method"] in {"GET", "HEAD", "OPTIONS"}:
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        try:
            body = await self._reader.read(headers, receive)
        except Refused as refused:
            await _answer(refused, send)
            return
        if body is None:  # the client has left
            return
        kept = [pair for pair in scope["headers"] if pair[0] not in {b"content-encoding", b"content-length"}]
        length = (b"content-length", str(len(body)).encode())
        await self._app({**scope, "headers": [*kept, length]}, _once(body, receive), send)


async def _parts(receive: Receive) -> Any:  # noqa: ANN401 - an async generator of bytes, None where the client leaves
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            yield None
            return
        yield message.get("body", b"")
        more = message.get("more_body", False)


def _once(body: bytes, receive: Receive) -> Receive:
    """Return a receiver of one message with the body, and of what comes after it."""
    left = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return left.pop() if left else await receive()

    return next_message


async def _answer(refused: Refused, send: Send) -> None:
    content = json.dumps({"error": refused.message}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": refused.status.value, "headers": headers})
    await send({"type": "http.response.body", "body": content})
