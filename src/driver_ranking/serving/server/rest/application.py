"""MLServer's REST server: one form of error, strict bodies, limits, and health that clients can read."""

import socket
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from mlserver.rest import RESTServer
from mlserver.rest.endpoints import Endpoints, ModelRepositoryEndpoints
from mlserver.rest.responses import Response as MLServerResponse
from mlserver.types import RepositoryIndexRequest, RepositoryIndexResponse
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route

from driver_ranking.serving.server.data_plane import FAILED, answered
from driver_ranking.serving.server.protocol.json_body import read_ready_only
from driver_ranking.serving.server.rest.body import BodyReader, LimitedBody
from driver_ranking.serving.server.rest.docs_page import DOCS, description_path, docs_page, docs_routes
from driver_ranking.serving.server.rest.infer import InferEndpoint
from driver_ranking.serving.server.rest.limits import BodyBudget
from driver_ranking.serving.server.rest.manners import HttpManners
from driver_ranking.serving.server.rest.openapi import api_description
from driver_ranking.serving.server.rest.shortcut import InferShortcut, fits
from driver_ranking.serving.settings import ServerSettings

_STREAMS = ("/infer_stream", "/generate_stream", "/generate")  # a ranking is one answer


def _json(content: object, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> Response:
    response: Response = MLServerResponse(content, status, headers)
    return response


class RankingEndpoints(Endpoints):  # type: ignore[misc]
    """The protocol's REST endpoints."""

    async def live(self) -> Response:
        """Say that the process serves."""
        return _json({"live": await self._data_plane.live()})

    async def ready(self) -> Response:
        """Say whether requests can be answered, and if not, why."""
        ready = await self._data_plane.ready()
        problem = None if ready else await self._data_plane.problem()
        return _health({"ready": ready}, problem)

    async def model_ready(self, model_name: str, model_version: str | None = None) -> Response:
        """Say whether a model can answer, and if not, why."""
        ready = await self._data_plane.model_ready(model_name, model_version)
        problem = None if ready else await self._data_plane.problem()
        return _health({"name": model_name, "ready": ready}, problem)

    async def openapi(self) -> dict[str, Any]:
        """Describe what is served."""
        models = list(await self._data_plane._model_registry.get_models())  # noqa: SLF001 - MLServer's own class
        return api_description(models[0].name if models else "driver_ranking")

    async def docs(self) -> Response:
        """Show what is served."""
        return docs_page("driver ranking", f"{DOCS}/dataplane.json")

    async def model_docs(self, model_name: str, model_version: str | None = None) -> Response:
        """Show what is served of a model."""
        await self._data_plane.find_model(model_name, model_version)
        return docs_page(f"driver ranking: {model_name}", description_path(model_name, model_version))

    async def model_openapi(self, model_name: str, model_version: str | None = None) -> dict[str, Any]:
        """Describe what is served of a model."""
        await self._data_plane.find_model(model_name, model_version)
        return api_description(model_name)


class RankingRepositoryEndpoints(ModelRepositoryEndpoints):  # type: ignore[misc]
    """The repository API's REST endpoints."""

    async def index(self, raw_request: Request) -> RepositoryIndexResponse:
        """List the models; an empty body asks for all, as clients send it."""
        with answered():
            ready = read_ready_only(await raw_request.body())
        return await self._handlers.index(RepositoryIndexRequest(ready=ready))


def _health(state: dict[str, Any], problem: str | None) -> Response:
    """Return a health answer; the protocol wants a 4xx for no."""
    status = HTTPStatus.OK if state["ready"] else HTTPStatus.BAD_REQUEST
    return _json(state | ({"error": problem} if problem else {}), status)


class RankingRESTServer(RESTServer):  # type: ignore[misc]
    """The REST server, with one form of error and limits on bodies."""

    def __init__(self, *arguments: Any, limits: ServerSettings) -> None:  # noqa: ANN401 - MLServer's own
        """Adapt the application that MLServer makes."""
        super().__init__(*arguments)
        app = self._app
        others = [route for route in app.routes if not getattr(route, "path", "").endswith((*_STREAMS, "/infer"))]
        app.router.routes[:] = [*_infer_routes(InferEndpoint(self._data_plane)), *docs_routes(), *others]
        app.add_exception_handler(HTTPException, _http_error)
        app.add_exception_handler(RequestValidationError, _invalid)
        app.add_exception_handler(Exception, _failed)
        app.openapi = lambda: api_description("driver_ranking")
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


def _infer_routes(endpoint: InferEndpoint) -> list[Route]:
    """Return the routes of what the shortcut does not take; plain ones, as FastAPI's own parse bodies their own way."""

    async def infer(request: Request) -> Response:
        content, headers = await endpoint.answer(request.headers, await request.body(), **request.path_params)
        return Response(content, headers=headers)

    model = "/v2/models/{model_name}"
    paths = (f"{model}/infer", f"{model}/versions/{{model_version}}/infer")
    return [Route(path, infer, methods=["POST"]) for path in paths]


async def _http_error(_: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", HTTPStatus.INTERNAL_SERVER_ERROR)
    detail = str(getattr(error, "detail", FAILED))
    return _json({"error": f"{detail}."}, status, headers=getattr(error, "headers", None))


async def _invalid(_: Request, error: Exception) -> Response:
    del error  # it quotes the request
    return _json({"error": "The request can't be read."}, HTTPStatus.BAD_REQUEST)


async def _failed(_: Request, error: Exception) -> Response:
    del error  # the server logs it
    return _json({"error": FAILED}, HTTPStatus.INTERNAL_SERVER_ERROR)
