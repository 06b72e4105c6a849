"""The one REST path that has to be fast, answered before the application's middleware and routes are gone through.

What they do for other paths is done here as well: bodies are unpacked and limited, large answers compressed, requests
counted. They would take longer than all that is done for a small request.
"""

import gzip
import re
import time
from collections.abc import Mapping, MutableMapping
from http import HTTPStatus
from typing import Any

from mlserver.codecs.json import encode_to_json_bytes
from mlserver.errors import MLServerError
from mlserver.settings import Settings
from starlette_exporter import PrometheusMiddleware

from driver_ranking.serving.fault_log import log_failure
from driver_ranking.serving.metrics import count_failure
from driver_ranking.serving.server.failures import FAILED
from driver_ranking.serving.server.rest.body import App, BodyReader, Receive, Refused, Send
from driver_ranking.serving.server.rest.infer import InferEndpoint
from driver_ranking.serving.server.rest.manners import accepts_gzip

_PATH = re.compile(r"/v2/models/(?P<model_name>[^/]+)(?:/versions/(?P<model_version>[^/]+))?/infer")
_MODEL = "/v2/models/{model_name}"
_COMPRESSED_FROM = 500  # bytes, as by the middleware

Headers = dict[str, str]


def fits(settings: Settings) -> bool:
    """Tell whether there is nothing configured that only the application does."""
    return not (settings.root_path or settings.cors_settings or settings.tracing_server)


class InferShortcut:
    """ASGI application before another one."""

    def __init__(self, app: App, settings: Settings, endpoint: InferEndpoint, bodies: BodyReader) -> None:
        """Stand before an application.

        Args:
            app: What answers all other requests.
            settings: The server's.
            endpoint: What answers these.
            bodies: What reads their bodies.
        """
        self._app = app
        self._compresses = settings.gzip_enabled
        self._endpoint = endpoint
        self._bodies = bodies
        self._counts = _Counts(settings) if settings.metrics_endpoint else None

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer a request to infer, hand on all others."""
        match = _PATH.fullmatch(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if match is None:
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        raw = dict(scope["headers"])
        status, content, headers = await self._answer(raw, receive, match.groupdict())
        if content is None:  # the client has left
            return
        if self._compresses:
            headers["vary"] = "Accept-Encoding"
            if len(content) >= _COMPRESSED_FROM and accepts_gzip(raw.get(b"accept-encoding", b"")):
                content = gzip.compress(content)
                headers["content-encoding"] = "gzip"
        headers = {"content-type": "application/json", **headers, "content-length": str(len(content))}
        sent = [(name.encode("latin-1"), text.encode("latin-1")) for name, text in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": sent})
        await send({"type": "http.response.body", "body": content})
        if status >= HTTPStatus.BAD_REQUEST:
            count_failure(status)
        if self._counts:
            versioned = match["model_version"] is not None
            self._counts.add(status, versioned=versioned, seconds=time.perf_counter() - start)

    async def _answer(
        self, raw: Mapping[bytes, bytes], receive: Receive, named: dict[str, Any]
    ) -> tuple[int, bytes | None, Headers]:
        try:
            body = await self._bodies.read(raw, receive)
            if body is None:
                return HTTPStatus.OK, None, {}
            headers = {name.decode("latin-1"): text.decode("latin-1") for name, text in raw.items()}
            content, extra = await self._endpoint.answer(headers, body, **named)
        except Refused as refused:
            return refused.status, encode_to_json_bytes({"error": refused.message}), refused.headers
        except MLServerError as error:
            return error.status_code, encode_to_json_bytes({"error": str(error)}), {}
        except Exception as error:  # noqa: BLE001 - the log says what it was, the client that it failed
            log_failure(error)
            return HTTPStatus.INTERNAL_SERVER_ERROR, encode_to_json_bytes({"error": FAILED}), {}
        return HTTPStatus.OK, content, extra


class _Counts:
    """MLServer's metrics of REST requests, which its middleware would keep."""

    def __init__(self, settings: Settings) -> None:
        """Take the metrics that the middleware has too."""
        middleware = PrometheusMiddleware(_nothing, app_name="mlserver", prefix=settings.metrics_rest_server_prefix)
        self._requests, self._seconds = middleware.request_count, middleware.request_time
        self._known: dict[tuple[int, bool], tuple[Any, Any]] = {}

    def add(self, status: int, *, versioned: bool, seconds: float) -> None:
        """Count an answer."""
        known = self._known.get((status, versioned))
        if known is None:
            path = f"{_MODEL}/versions/{{model_version}}/infer" if versioned else f"{_MODEL}/infer"
            labels = ("POST", path, status, "mlserver")
            known = self._known[status, versioned] = (self._requests.labels(*labels), self._seconds.labels(*labels))
        requests, times = known
        requests.inc()
        times.observe(seconds)


async def _nothing(scope: object, receive: object, send: object) -> None:
    """Be the application that the middleware wants."""
