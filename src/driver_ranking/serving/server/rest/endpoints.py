"""The protocol's REST endpoints but for inference: health, models, and the pages that show what is served."""

from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from mlserver.handlers import DataPlane
from mlserver.model import MLModel
from mlserver.rest.endpoints import Endpoints, ModelRepositoryEndpoints
from mlserver.types import RepositoryIndexRequest, RepositoryIndexResponse

from driver_ranking.serving.server.failures import answered
from driver_ranking.serving.server.protocol.json_body import read_ready_only
from driver_ranking.serving.server.rest.answers import json_answer
from driver_ranking.serving.server.rest.docs_page import DOCS, description_path, docs_page
from driver_ranking.serving.server.rest.openapi import api_description


class RankingEndpoints(Endpoints):  # type: ignore[misc]
    """The protocol's REST endpoints."""

    async def live(self) -> Response:
        """Say that the process serves."""
        return json_answer({"live": await self._data_plane.live()})

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
        return await describe(self._data_plane)

    async def docs(self) -> Response:
        """Show what is served."""
        return docs_page("driver ranking", f"{DOCS}/dataplane.json")

    async def model_docs(self, model_name: str, model_version: str | None = None) -> Response:
        """Show what is served of a model."""
        await self._data_plane.find_model(model_name, model_version)
        return docs_page(f"driver ranking: {model_name}", description_path(model_name, model_version))

    async def model_openapi(self, model_name: str, model_version: str | None = None) -> dict[str, Any]:
        """Describe what is served of a model."""
        return _described(model_name, await self._data_plane.find_model(model_name, model_version))


class RankingRepositoryEndpoints(ModelRepositoryEndpoints):  # type: ignore[misc]
    """The repository API's REST endpoints."""

    async def index(self, raw_request: Request) -> RepositoryIndexResponse:
        """List the models; an empty body asks for all, as clients send it."""
        with answered():
            ready = read_ready_only(await raw_request.body())
        return await self._handlers.index(RepositoryIndexRequest(ready=ready))


async def describe(data_plane: DataPlane) -> dict[str, Any]:
    """Describe what is served: the first model, as long as there is one."""
    models = list(await data_plane._model_registry.get_models())  # noqa: SLF001 - MLServer's own class
    return _described(models[0].name, models[0]) if models else api_description("driver_ranking", None)


def _described(name: str, model: MLModel) -> dict[str, Any]:
    return api_description(name, getattr(model, "rules", None), getattr(model, "example", None))


def _health(state: dict[str, Any], problem: str | None) -> Response:
    """Return a health answer; the protocol wants a 4xx for no."""
    status = HTTPStatus.OK if state["ready"] else HTTPStatus.BAD_REQUEST
    return json_answer(state | ({"error": problem} if problem else {}), status)
