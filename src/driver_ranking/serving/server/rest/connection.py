"""One HTTP connection, as uvicorn speaks it by httptools, with limits and without upgrades.

What this mends, as of uvicorn 0.54 and httptools 0.9:

- an offer to upgrade, ``Upgrade: h2c`` of Java's and curl's clients, made the parser drop the body; it is ignored, as
  RFC 9110, 7.8 lets a server do
- headers, URLs, trailers and chunk extensions of any size were kept
- a client could take for ever to send a request or to read an answer, and hold as many connections as there are files
- what is no HTTP was answered in plain text, with a line in the log each time
"""

import asyncio
import json
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from driver_ranking.serving.fault_log import faults
from driver_ranking.serving.metrics import count_failure
from driver_ranking.serving.server.rest.limits import ConnectionLimits

_LINGER = 1.0  # seconds in which a refused client can read why, while what it still sends is thrown away
_HOP_BY_HOP = {b"upgrade", b"http2-settings"}
_TOO_MUCH = "Requests with too much beside their body are refused"

Clock = Callable[[], float]


class LimitedHttpProtocol(HttpToolsProtocol):
    """A connection whose client is held to limits."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: ConnectionLimits,
    ) -> None:
        """Make a connection, as uvicorn does.

        Args:
            config: uvicorn's.
            server_state: uvicorn's.
            app_state: uvicorn's.
            _loop: uvicorn's.
            limits: What the client is held to.
        """
        super().__init__(config, server_state, app_state, _loop)
        self._limits = limits
        self._idle_bytes = 0  # since the last byte of a body, or the last end of a request
        self._header_count = 0
        self._refused = False
        self._asked = False  # whether a byte has come yet
        self._waits_since: float | None = None  # for the rest of a request
        self._stuck_since: float | None = None  # with an answer that the client does not read
        self._silent_since = 0.0

    # --- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Take a connection, or one in the place of another that is idle, or refuse it."""
        super().connection_made(transport)
        self._waits_since = self._silent_since = self.loop.time()
        if len(self.connections) > self._limits.connections and not self._make_room():
            message = "The server has as many connections as it takes. Try again later."
            self.refuse(HTTPStatus.SERVICE_UNAVAILABLE, message, "Connections are refused")

    def _make_room(self) -> bool:
        """End the connection that has been silent for longest; those that ask for something are left alone."""
        silent = [one for one in self._others() if one.is_silent]
        if silent:
            min(silent, key=lambda one: one.silent_since).leave()
        return bool(silent)

    def _others(self) -> "Iterable[LimitedHttpProtocol]":
        return (one for one in self.connections if isinstance(one, LimitedHttpProtocol) and one is not self)

    @property
    def is_silent(self) -> bool:
        """Return whether nothing is asked for and nothing answered."""
        if self._refused or self.transport.is_closing():
            return False
        cycle: Any = self.cycle  # none before the first request
        return not self._asked or bool(cycle and cycle.response_complete and self._waits_since is None)

    @property
    def silent_since(self) -> float:
        """Return when the client was heard last, in the loop's time."""
        return self._silent_since

    def leave(self) -> None:
        """End the connection without an answer; its place is free at once."""
        faults().occurred("Idle connections are closed", "there are as many as the server takes")
        self.connections.discard(self)
        self.transport.close()

    # --- what the client sends

    def data_received(self, data: bytes) -> None:
        """Read what has come, within the limits."""
        if self._refused:
            return
        self._asked = True
        self._unset_keepalive_if_required()
        self._idle_bytes += len(data)
        self._feed(data)
        if self._idle_bytes > self._limits.header_bytes and not self._refused:
            self._refuse_head()

    def _feed(self, data: bytes) -> None:
        while data and not self._refused and self.parser is not None:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as offered:
                data = data[offered.args[0] :]
                self._ignore_upgrade()
            except httptools.HttpParserError as error:
                self._refuse_unparsed(error)
                return
            else:
                return

    def _refuse_unparsed(self, error: httptools.HttpParserError) -> None:
        cause = error.__context__  # what one of the methods below has raised
        if isinstance(cause, _LimitError):
            self.refuse(cause.status, str(cause), _TOO_MUCH)
        else:
            self.send_400_response("The request is not HTTP/1.1 as RFC 9112 has it.")

    def _ignore_upgrade(self) -> None:
        """Read the head again without the offer, by a new parser: this one has taken the body for another protocol."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        if method == b"CONNECT":
            self.refuse(HTTPStatus.METHOD_NOT_ALLOWED, "The server is no proxy.", "Requests to a proxy are refused")
            return
        lines = [method + b" " + self.url + b" HTTP/" + version]
        lines += [name + b": " + text for name, text in _without_upgrade(self.headers)]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self.parser.feed_data(b"\r\n".join(lines) + b"\r\n\r\n")

    # --- what the parser tells

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._header_count = 0
        self._waits_since = self.loop.time()

    def on_url(self, url: bytes) -> None:
        """Take a part of the URL."""
        super().on_url(url)
        if len(self.url) > self._limits.url_bytes:
            message = f"The URL is longer than {self._limits.url_bytes} bytes, which is the most that is taken."
            raise _LimitError(HTTPStatus.REQUEST_URI_TOO_LONG, message)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header or, after the body, a trailer."""
        self._header_count += 1
        if self._header_count > self._limits.header_count:
            message = f"The request has more than {self._limits.header_count} headers, which is the most that is taken."
            raise _LimitError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, message)
        cycle: Any = self.cycle  # none before the first request
        if cycle is None or cycle.scope is not self.scope:  # a trailer is nothing that is asked for
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the request, unless its head is read again."""
        if self.parser.should_upgrade():
            return
        most = self._limits.header_bytes
        if self._idle_bytes > most and len(self.url) + _size(self.headers) > most:
            raise _LimitError(*self._head_too_large())
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._idle_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the request."""
        if self.parser.should_upgrade():
            return
        self._idle_bytes = 0
        self._waits_since = None
        super().on_message_complete()

    def _should_upgrade(self) -> bool:
        return False

    def on_response_complete(self) -> None:
        """Go on after an answer."""
        self._silent_since = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Note since when the client does not read."""
        self._stuck_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Note that it reads again."""
        self._stuck_since = None
        super().resume_writing()

    # --- what is refused

    def look_after(self, now: float) -> None:
        """End what takes too long. To be called now and then.

        Args:
            now: The loop's time.
        """
        most = self._limits.request_seconds
        if self._stuck_since is not None and now - self._stuck_since > most:
            faults().occurred("Answers are not read", f"a client took longer than {most:g} s; its connection is cut")
            self.transport.abort()
        elif self._refused or self.flow.read_paused or self._waits_since is None or now - self._waits_since <= most:
            return
        elif self._asked:
            message = f"The request did not come within {most:g} s."
            self.refuse(HTTPStatus.REQUEST_TIMEOUT, message, "Requests come too slowly")
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP."""
        self.refuse(HTTPStatus.BAD_REQUEST, msg, "What is no HTTP is refused")

    def _head_too_large(self) -> tuple[HTTPStatus, str]:
        message = f"The headers have more than {self._limits.header_bytes} bytes, which is the most that is taken."
        return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, message

    def _refuse_head(self) -> None:
        status, message = self._head_too_large()
        self.refuse(status, message, _TOO_MUCH)

    def refuse(self, status: HTTPStatus, message: str, kind: str) -> None:
        """Answer an error, unless an answer is on its way, and end the connection once that can have been read."""
        faults().occurred(kind, message)
        self._refused = True
        self._waits_since = None
        cycle: Any = self.cycle  # none before the first request
        busy = bool(cycle and not cycle.response_complete)
        answering = busy and (cycle.response_started or bool(self.pipeline))
        answered = bool(cycle and not busy and cycle.scope is self.scope)
        if busy:  # who waits for the rest of the body is told that it won't come
            cycle.disconnected, cycle.waiting_for_100_continue = True, False
            cycle.message_event.set()
        self.pipeline.clear()
        if answering or answered:
            self.transport.close()
            return
        count_failure(status)
        self.flow.resume_reading()
        self.transport.write(_error_answer(status, message))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(_LINGER, self.transport.close)


class _LimitError(Exception):
    """What has come is over a limit."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        """Keep the status of the answer."""
        super().__init__(message)
        self.status = status


def _without_upgrade(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the headers without an offer to upgrade."""
    kept = []
    for name, text in headers:
        if name == b"connection":
            tokens = [token.strip() for token in text.split(b",")]
            left = b", ".join(token for token in tokens if token.lower() not in _HOP_BY_HOP)
            kept += [(name, left)] if left else []
        elif name not in _HOP_BY_HOP:
            kept.append((name, text))
    return kept


def _size(headers: list[tuple[bytes, bytes]]) -> int:
    return sum(len(name) + len(text) for name, text in headers)


def _error_answer(status: HTTPStatus, message: str) -> bytes:
    content = json.dumps({"error": message}).encode()
    length = str(len(content)).encode()
    head = b"content-type: application/json\r\ncontent-length: " + length + b"\r\nconnection: close\r\n\r\n"
    return STATUS_LINE[status] + head + content
