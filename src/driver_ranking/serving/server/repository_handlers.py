"""MLServer's repository handlers: what is loaded and unloaded, by the runtime that is there."""

import asyncio
import contextlib
from http import HTTPStatus

from mlserver.errors import MLServerError, ModelNotFound
from mlserver.handlers import ModelRepositoryHandlers
from mlserver.model import MLModel
from mlserver.registry import MultiModelRegistry
from mlserver.repository import ModelRepository
from mlserver.settings import ModelSettings
from mlserver.types import RepositoryIndexResponseItem, State

from driver_ranking.serving.server.failures import FAILED, answered


class RankingRepositoryHandlers(ModelRepositoryHandlers):  # type: ignore[misc]
    """Loads within the runtime that is there, so that nothing is taken away before the new version is known to work."""

    def __init__(self, repository: ModelRepository, model_registry: MultiModelRegistry) -> None:
        """Load nothing yet."""
        super().__init__(repository, model_registry)
        self._registering = asyncio.Lock()

    async def load(self, name: str) -> bool:
        """Load a model, anew if it is loaded."""
        with answered():
            settings = (await self._repository.find(name))[0]
            async with self._registering:
                model = await self._registered(settings)
            if model is not None:
                await model.reload(settings)
            return True

    async def _registered(self, settings: ModelSettings) -> MLModel | None:
        """Return the model with which the server knows this name; None if it is loaded here, for the first time."""
        try:
            return await self._model_registry.get_model(settings.name)
        except ModelNotFound:
            model = await self._model_registry.load(settings)
            if not model.ready:
                raise MLServerError(model.problem or FAILED, HTTPStatus.CONFLICT) from None
            return None

    async def unload(self, name: str) -> bool:
        """Take a model out of service. It stays registered, with its routes, so that they say why nothing is there."""
        with answered():
            await (await self._model_registry.get_model(name)).take_out()
            return True

    async def _get_state(self, model_settings: ModelSettings) -> State:
        with contextlib.suppress(ModelNotFound):
            if getattr(await self._model_registry.get_model(model_settings.name), "unloaded", False):
                return State.UNAVAILABLE
        return await super()._get_state(model_settings)

    async def _to_item(self, model_settings: ModelSettings) -> RepositoryIndexResponseItem:
        item = await super()._to_item(model_settings)
        try:
            model = await self._model_registry.get_model(model_settings.name)
        except ModelNotFound:
            item.reason = "unloaded"
            return item
        item.version = getattr(model, "served_version", None)
        item.reason = getattr(model, "problem", None) or ""
        return item
