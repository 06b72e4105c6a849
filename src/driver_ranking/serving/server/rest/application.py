"""MLServer's REST server and the ways through it: the shortcut, or the application with its middleware and routes."""

import socket
from typing import Any

from fastapi import Request, Response
from mlserver.handlers import DataPlane
from mlserver.rest import RESTServer
from starlette.middleware import Middleware
from starlette.routing import Route

from driver_ranking.serving.server.rest.answers import answer_errors, json_answer
from driver_ranking.serving.server.rest.body import BodyReader, LimitedBody
from driver_ranking.serving.server.rest.docs_page import docs_routes
from driver_ranking.serving.server.rest.endpoints import describe
from driver_ranking.serving.server.rest.infer import InferEndpoint
from driver_ranking.serving.server.rest.limits import BodyBudget
from driver_ranking.serving.server.rest.manners import HttpManners
from driver_ranking.serving.server.rest.shortcut import InferShortcut, fits
from driver_ranking.serving.settings import ServerSettings

_STREAMS = ("/infer_stream", "/generate_stream", "/generate")  # a ranking is one answer


class RankingRESTServer(RESTServer):  # type: ignore[misc]
    """The REST server, with one form of error and limits on bodies."""

    def __init__(self, *arguments: Any, limits: ServerSettings) -> None:  # noqa: ANN401 - MLServer's own
        """Adapt the application that MLServer makes."""
        super().__init__(*arguments)
        app = self._app
        others = [route for route in app.routes if not getattr(route, "path", "").endswith((*_STREAMS, "/infer"))]
        ours = [*_infer_routes(InferEndpoint(self._data_plane)), *docs_routes(), _description_route(self._data_plane)]
        app.router.routes[:] = [*ours, *others]
        answer_errors(app)
        # innermost, so that what it refuses is counted as well
        self._bodies = BodyReader(limits.max_body_bytes, BodyBudget(limits.max_unread_bytes))
        app.user_middleware.append(Middleware(LimitedBody, reader=self._bodies))
        self._limits = limits

    def _get_config(self) -> Any:  # noqa: ANN401 - uvicorn's, with one attribute more
        config: Any = super()._get_config()
        config.app = HttpManners(self._app, self._settings)
        if fits(self._settings):
            config.app = InferShortcut(config.app, self._settings, InferEndpoint(self._data_plane), self._bodies)
        if self._limits.reuse_port:
            config.sockets = [_shared_socket(self._settings.host, self._settings.http_port)]  # see DeafServer
        return config


def _shared_socket(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    shared = socket.socket(family, socket.SOCK_STREAM)
    shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    shared.bind((host, port))
    return shared


def _description_route(data_plane: DataPlane) -> Route:
    """Return the route at which tools look for a description first."""

    async def description(_: Request) -> Response:
        return json_answer(await describe(data_plane))

    return Route("/openapi.json", description)


def _infer_routes(endpoint: InferEndpoint) -> list[Route]:
    """Return the routes of what the shortcut does not take; plain ones, as FastAPI's own parse bodies their own way."""

    async def infer(request: Request) -> Response:
        content, headers = await endpoint.answer(request.headers, await request.body(), **request.path_params)
        return Response(content, headers=headers)

    model = "/v2/models/{model_name}"
    paths = (f"{model}/infer", f"{model}/versions/{{model_version}}/infer")
    return [Route(path, infer, methods=["POST"]) for path in paths]
