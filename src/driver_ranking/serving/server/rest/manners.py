"""What clients of HTTP expect of every path: HEAD, encodings, and no orders taken from foreign web pages."""

import ipaddress
import re
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from mlserver.settings import Settings

from driver_ranking.serving.fault_log import faults
from driver_ranking.serving.metrics import count_failure
from driver_ranking.serving.server.rest.body import App, Message, Receive, Refused, Send, answer_refused

Scope = MutableMapping[str, Any]

_REPOSITORY = "/v2/repository/"
# tritonclient.http.aio says that it takes gzip, and can't read it of metadata and the index
_NEVER_GZIPPED = re.compile(r"/v2(/models/[^/]+(/versions/[^/]+)?)?|/v2/repository/index")
_SAFE = {"GET", "HEAD", "OPTIONS"}
VARY = (b"vary", b"Accept-Encoding")


@lru_cache(maxsize=256)
def accepts_gzip(accepted: bytes) -> bool:
    """Tell whether a client would rather have an answer gzipped, by the quality values of RFC 9110, 12.5.3.

    Args:
        accepted: The header ``Accept-Encoding``.
    """
    quality = dict(map(_quality, accepted.decode("latin-1").lower().split(",")))
    gzipped = quality.get("gzip", quality.get("x-gzip", quality.get("*", 0.0)))
    return gzipped > 0 and gzipped >= quality.get("identity", 0.0)


def _quality(item: str) -> tuple[str, float]:
    name, *parameters = (part.strip() for part in item.split(";"))
    given = [value for key, _, value in (one.partition("=") for one in parameters) if key.strip() == "q"]
    try:
        return name, float(given[0]) if given else 1.0
    except ValueError:
        return name, 0.0


class HttpManners:
    """ASGI application before another one; the path that has to be fast has no use for it."""

    def __init__(self, app: App, settings: Settings) -> None:
        """Stand before an application."""
        self._app = app
        self._compresses = settings.gzip_enabled
        self._origins = _Origins(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on, as a client meant it, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = self._watched(send)
        headers = dict(scope["headers"])
        if scope["path"].startswith(_REPOSITORY) and scope["method"] not in _SAFE and self._origins.refuse(headers):
            await _forbid(send)
            return
        # the server leaves out the body of an answer to HEAD by the request's own scope
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        await self._app({**scope, "method": method, "headers": _with_one_encoding(scope, headers)}, receive, send)

    def _watched(self, send: Send) -> Send:
        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                if message["status"] >= HTTPStatus.BAD_REQUEST:
                    count_failure(message["status"])
                if self._compresses and not any(name.lower() == VARY[0] for name, _ in message.get("headers", ())):
                    message = {**message, "headers": [*message.get("headers", ()), VARY]}
            await send(message)

        return watched


def _with_one_encoding(scope: Scope, headers: Mapping[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    """Return the headers with gzip as the accepted encoding or none: MLServer's middleware reads no quality values."""
    accepted = headers.get(b"accept-encoding")
    if accepted is None:
        return list(scope["headers"])
    kept = [pair for pair in scope["headers"] if pair[0] != b"accept-encoding"]
    compresses = accepts_gzip(accepted) and not _NEVER_GZIPPED.fullmatch(scope["path"])
    return [*kept, (b"accept-encoding", b"gzip")] if compresses else kept


class _Origins:
    """Tells requests of the service's own pages, and of programs, from those of web pages from elsewhere."""

    def __init__(self, settings: Settings) -> None:
        """Take what is configured for CORS as allowed."""
        cors = settings.cors_settings
        self._allowed = set((cors and cors.allow_origins) or ())
        self._pattern = re.compile(cors.allow_origin_regex) if cors and cors.allow_origin_regex else None
        self._on_loopback = _is_loopback(settings.host)

    def refuse(self, headers: Mapping[bytes, bytes]) -> bool:
        """Return whether a browser sends a request for a page that is none of the service's.

        Browsers name the page's origin with each POST; a page whose name was bound to this machine's address for the
        purpose has the name in Host as well, so a service that listens on loopback answers to its own names only.
        """
        origin = headers.get(b"origin", b"").decode("latin-1")
        if not origin:
            return headers.get(b"sec-fetch-site", b"none") not in {b"none", b"same-origin"}
        if {"*", origin} & self._allowed or (self._pattern and self._pattern.fullmatch(origin)):
            return False
        host = headers.get(b"host", b"").decode("latin-1")
        same = _place(origin) is not None and _place(origin) == _place(f"//{host}")
        return not same or (self._on_loopback and not _is_loopback(urlsplit(f"//{host}").hostname or ""))


def _place(url: str) -> str | None:
    """Return host and port of an origin; None for what is none."""
    try:
        parts = urlsplit(url)
        place = f"{parts.hostname}:{parts.port or ''}"
    except ValueError:
        return None
    return place if parts.hostname else None


def _is_loopback(host: str) -> bool:
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


async def _forbid(send: Send) -> None:
    message = "The repository takes no orders from web pages of elsewhere."
    faults().occurred("Orders of foreign web pages are refused", message)
    await answer_refused(Refused(HTTPStatus.FORBIDDEN, message), send)
