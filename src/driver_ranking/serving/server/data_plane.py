"""MLServer's data plane, where REST and gRPC meet: by the registry's versions, with errors written for clients."""

from dataclasses import dataclass
from http import HTTPStatus

from mlserver.context import model_context
from mlserver.errors import MLServerError, ModelNotFound
from mlserver.handlers import DataPlane
from mlserver.model import MLModel
from mlserver.registry import MultiModelRegistry
from mlserver.settings import Settings
from mlserver.types import (
    InferenceRequest,
    InferenceResponse,
    MetadataModelResponse,
    MetadataServerResponse,
)
from prometheus_client import Counter, Summary

from driver_ranking.serving.loading import NO_MODEL
from driver_ranking.serving.server.failures import FAILED, answered
from driver_ranking.serving.server.protocol.binary_tensors import EXTENSION


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
