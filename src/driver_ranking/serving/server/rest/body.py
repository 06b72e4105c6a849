"""REST bodies: unpacked, counted and refused where they are too large, before anything reads them."""

import json
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any

from driver_ranking.serving.fault_log import faults
from driver_ranking.serving.server.rest.limits import BodyBudget

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[..., Any]

# how many times the limit is read and thrown away, so that a client that is still sending gets the answer
_DRAINED = 16
_GZIP = 16 + zlib.MAX_WBITS
_MOST_MEMBERS = 1_024  # of one gzipped body: each costs some microseconds, however little is in it
_CHUNK = 1 << 16  # bytes that are unpacked at once: what is left of them is copied at the end of each member
_FREE = 1 << 14  # bytes of each body that count for nothing: small requests come through whatever others hold
_PLAIN, _GZIPPED = {"", "identity"}, {"gzip", "x-gzip"}


class Refused(Exception):  # noqa: N818 - a refusal is what it is
    """A body that is not taken.

    Attributes:
        status: The status of the answer.
        message: What the client is told.
        headers: What the answer says beside it.
    """

    def __init__(self, status: HTTPStatus, message: str, headers: Mapping[str, str] | None = None) -> None:
        """Say why."""
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


class BodyReader:
    """Reads whole bodies of a limited size, unpacked if they were gzipped."""

    def __init__(self, max_bytes: int, budget: BodyBudget) -> None:
        """Set the limits: of each body, and of all that are not whole yet."""
        self._max_bytes = max_bytes
        self._budget = budget

    async def read(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes | None:
        """Return a body, unpacked; None if the client leaves before its end.

        Raises:
            Refused: It is too large, or not what the headers say, or others hold all that may be held.
        """
        if _declared(headers) > self._max_bytes:
            if b"expect" not in headers:  # with it, the client sends nothing before it is told to
                await self._drain(receive)
            raise self._too_large()
        body = await self._whole(receive)
        if body is None:
            return None
        return self._unpack(body, headers.get(b"content-encoding", b"").decode("latin-1").lower())

    async def _whole(self, receive: Receive) -> bytes | None:
        parts, size, counted = [], 0, 0
        try:
            async for part in _parts(receive):
                if part is None:
                    return None
                parts.append(part)
                size += len(part)
                if size > self._max_bytes:
                    parts.clear()
                    await self._drain(receive)
                    raise self._too_large()
                if size > _FREE:
                    counted += self._take(size - _FREE - counted)
            return parts[0] if len(parts) == 1 else b"".join(parts)
        finally:
            if counted:
                self._budget.give_back(counted)

    def _take(self, size: int) -> int:
        if not self._budget.take(size):
            faults().occurred("Bodies are refused", "those that are being read hold as much as they may together")
            message = "The server holds as much of other requests as it takes. Try again later."
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, message, {"connection": "close"})
        return size

    def _unpack(self, body: bytes, encodings: str) -> bytes:
        named = [one for one in map(str.strip, encodings.split(",")) if one not in _PLAIN]
        if not named:
            return body
        if len(named) > 1 or named[0] not in _GZIPPED:
            message = "The body's Content-Encoding is not taken; send it plain or with gzip."
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message, {"accept-encoding": "gzip"})
        try:
            return b"".join(self._members(body))
        except zlib.error:
            raise Refused(HTTPStatus.BAD_REQUEST, "The body is not gzip, as its Content-Encoding says.") from None

    def _members(self, body: bytes) -> Iterator[bytes]:
        """Unpack the members of a gzipped body, which may be several, one after the other (RFC 1952, 2.2)."""
        place, size, count = 0, 0, 0
        unpacker = zlib.decompressobj(_GZIP)
        while not unpacker.eof or not _is_padding(body, place):
            if unpacker.eof:
                unpacker, count = zlib.decompressobj(_GZIP), count + 1
            if count >= _MOST_MEMBERS:
                raise Refused(HTTPStatus.BAD_REQUEST, f"The gzipped body has more than {_MOST_MEMBERS} members.")
            chunk = body[place : place + _CHUNK]
            if not chunk:
                raise Refused(HTTPStatus.BAD_REQUEST, "The gzipped body ends too early.")
            unpacked = unpacker.decompress(chunk, self._max_bytes + 1 - size)
            size += len(unpacked)
            if size > self._max_bytes:
                raise self._too_large()
            place += len(chunk) - len(unpacker.unused_data)
            yield unpacked

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

    def __init__(self, app: App, reader: BodyReader) -> None:
        """Wrap an application."""
        self._app = app
        self._reader = reader

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Read the body of a request that may have one, or refuse it."""
        if scope["type"] != "http" or scope["method"] in {"GET", "HEAD", "OPTIONS"}:
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        try:
            body = await self._reader.read(headers, receive)
        except Refused as refused:
            await answer_refused(refused, send)
            return
        if body is None:  # the client has left
            return
        kept = [pair for pair in scope["headers"] if pair[0] not in {b"content-encoding", b"content-length"}]
        length = (b"content-length", str(len(body)).encode())
        await self._app({**scope, "headers": [*kept, length]}, _once(body, receive), send)


def _declared(headers: Mapping[bytes, bytes]) -> int:
    """Return the length that the headers name; the parser has seen that they are digits, leading zeros among them."""
    return int(headers.get(b"content-length", b"0").lstrip(b"0") or b"0")


def _is_padding(body: bytes, place: int) -> bool:
    """Return whether nothing but zeros follows, which is how some programs fill up the last block."""
    return place == len(body) or (body[place] == 0 and not body[place:].strip(b"\0"))


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


async def answer_refused(refused: Refused, send: Send) -> None:
    """Answer a request that is not taken."""
    content = json.dumps({"error": refused.message}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    headers += [(name.encode(), text.encode()) for name, text in refused.headers.items()]
    await send({"type": "http.response.start", "status": refused.status.value, "headers": headers})
    await send({"type": "http.response.body", "body": content})
