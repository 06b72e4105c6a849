"""MLServer's data plane and repository handlers, by the registry's versions and with errors written for clients."""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus

from mlserver.context import model_context
from mlserver.errors import MLServerError, ModelNotFound
from mlserver.handlers import DataPlane, ModelRepositoryHandlers
from mlserver.model import MLModel
from mlserver.registry import MultiModelRegistry
from mlserver.repository import ModelRepository
from mlserver.settings import ModelSettings, Settings
from mlserver.types import (
    InferenceRequest,
    InferenceResponse,
    MetadataModelResponse,
    MetadataServerResponse,
    RepositoryIndexResponseItem,
    State,
)
from prometheus_client import Counter, Summary

from driver_ranking.errors import DriverRankingError
from driver_ranking.serving.fault_log import log_failure
from driver_ranking.serving.loading import NO_MODEL
from driver_ranking.serving.server.protocol.binary_tensors import EXTENSION

FAILED = "The server failed. Its log says why."


@contextlib.contextmanager
def answered() -> Iterator[None]:
    """Let no error pass that has a text not written for clients."""
    try:
        yield
    except MLServerError:
        raise
    except DriverRankingError as error:
        log_failure(error)
        raise MLServerError(error.public_message, error.status) from error
    except Exception as error:
        log_failure(error)
        raise MLServerError(FAILED, HTTPStatus.INTERNAL_SERVER_ERROR) from error


def _available(model: MLModel) -> bool:
    return bool(getattr(model, "available", model.ready))


@dataclass(frozen=True)
class _Counted:
    """MLServer's metrics of one version."""

    duration: Summary
    failures: Counter
    successes: Counter


class RankingDataPlane(DataPlane):  # type: ignore[misc]
    """Finds models by the registry's version, and is ready when they can answer."""

    def __init__(self, settings: Settings, model_registry: MultiModelRegistry) -> None:
        """Count nothing yet."""
        super().__init__(settings, model_registry)
        self._counted: dict[tuple[str, str | None], _Counted] = {}

    async def metadata(self) -> MetadataServerResponse:
        """Return what the server is; what it speaks does not depend on what the settings list."""
        metadata: MetadataServerResponse = await super().metadata()
        metadata.extensions = list(dict.fromkeys([EXTENSION, *metadata.extensions]))
        return metadata

    async def ready(self) -> bool:
        """Return whether there are models and all can answer; MLServer takes none at all for ready."""
        models = list(await self._model_registry.get_models())
        return bool(models) and all(_available(model) for model in models)

    async def problem(self) -> str | None:
        """Return why it is not ready, where that is known."""
        models = await self._model_registry.get_models()
        problems = [getattr(model, "problem", None) for model in models]
        return next(filter(None, problems), None if problems else NO_MODEL)

    async def find_model(self, name: str, version: str | None = None) -> MLModel:
        """Return a model, by its own name and the version that it serves.

        Raises:
            ModelNotFound: There is none.
        """
        model = await self._model_registry.get_model(name)
        if version and version != getattr(model, "served_version", model.version):
            raise ModelNotFound(name, version)
        return model

    async def model_ready(self, name: str, version: str | None = None) -> bool:
        """Return whether a model can answer."""
        return _available(await self.find_model(name, version))

    async def model_metadata(self, name: str, version: str | None = None) -> MetadataModelResponse:
        """Return what a model takes and gives."""
        with answered():
            model = await self.find_model(name, version)
            if getattr(model, "unloaded", False):
                raise MLServerError(model.problem or FAILED, HTTPStatus.NOT_FOUND)
            return await model.metadata()

    async def infer(self, payload: InferenceRequest, name: str, version: str | None = None) -> InferenceResponse:
        """Answer a request. Answers are not cached: features change."""
        with answered():
            model = await self.find_model(name, version)
            # found before anything is counted: the labels of metrics must not be what clients make up
            labels = name, getattr(model, "served_version", model.version)
            counted = self._counted.get(labels) or self._counted.setdefault(labels, self._labelled(*labels))
            self._inference_middleware.request_middleware(payload, model.settings)
            with counted.duration.time(), counted.failures.count_exceptions(), model_context(model.settings):
                answer: InferenceResponse = await model.predict(payload)
            counted.successes.inc()
            answer.id = payload.id  # of an answer to a request without one, the protocol says that it has none
            self._inference_middleware.response_middleware(answer, model.settings)
            return answer

    def _labelled(self, model: str, version: str | None) -> _Counted:
        metrics = (self._ModelInferRequestDuration, self._ModelInferRequestFailure, self._ModelInferRequestSuccess)
        return _Counted(*(metric.labels(model=model, version=version) for metric in metrics))


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
