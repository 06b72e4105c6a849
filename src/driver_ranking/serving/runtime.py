"""The MLServer runtime: decodes, calls the ranking service, encodes. The name that model-settings.json gives."""

import os
from collections.abc import Mapping
from pathlib import Path

from fastapi import Request, Response
from mlserver.handlers import custom_handler
from mlserver.settings import ModelSettings
from mlserver.types import InferenceRequest, InferenceResponse, MetadataModelResponse, MetadataTensor, Parameters
from mlserver_mlflow import MLflowRuntime

from driver_ranking.errors import DriverRankingError, NotReadyError, UnloadedError
from driver_ranking.feature_store.repo import FeatureRepo
from driver_ranking.serving.champion import ChampionLoader
from driver_ranking.serving.fault_log import log_failure
from driver_ranking.serving.loading import NO_MODEL
from driver_ranking.serving.prediction_log.trace import trace_id_of
from driver_ranking.serving.query import RankingQuery
from driver_ranking.serving.server.failures import protocol_error
from driver_ranking.serving.server.protocol.answers import encode_answer
from driver_ranking.serving.server.protocol.binary_tensors import in_json
from driver_ranking.serving.server.protocol.headers import require_json
from driver_ranking.serving.server.protocol.requests import parse_plain, parse_request
from driver_ranking.serving.server.protocol.rules import RequestRules
from driver_ranking.serving.server.rest.plain import PREDICTION, plain_answer, plain_error
from driver_ranking.serving.server.workable import require_workable_model
from driver_ranking.serving.service import RankingService
from driver_ranking.serving.settings import RuntimeSettings, registry_location, runtime_settings


class DriverRankingRuntime(MLflowRuntime):  # type: ignore[misc]
    """Ranks: keys in, features from the online store and the request, the best candidates out.

    Of MLflow's own server it keeps ``/ping``, ``/health`` and ``/version``; ``/invocations`` would take features.
    """

    invocations = None

    def __init__(self, settings: ModelSettings) -> None:
        """Read the settings; nothing is loaded yet."""
        super().__init__(settings)
        self._service: RankingService | None = None
        self._rules: RequestRules | None = None

    @property
    def rules(self) -> RequestRules | None:
        """Return what requests are held against: the contract of the model that is served; None while there is none."""
        contract = self._service.contract if self._service else None
        if self._service is None or contract is None:
            return None
        if self._rules is None or self._rules.contract is not contract:
            settings = self._service.settings
            self._rules = RequestRules(contract, settings.max_driver_ids, settings.max_text_bytes)
        return self._rules

    @property
    def example(self) -> RankingQuery | None:
        """Return a request that can be answered; None if none is known."""
        return self._service.example if self._service else None

    def _required_rules(self) -> RequestRules:
        rules = self.rules
        if rules is None:
            raise (UnloadedError if self.unloaded else NotReadyError)(self.problem or NO_MODEL)
        return rules

    def _serving(self) -> RankingService:
        if self._service is None:
            raise NotReadyError(NO_MODEL)
        return self._service

    @property
    def available(self) -> bool:
        """Return whether requests can be answered now: the model is loaded and its features can be read."""
        return self._service is not None and self._service.ready

    @property
    def problem(self) -> str | None:
        """Return why they can't, fit for a client."""
        return self._service.problem if self._service else NO_MODEL

    @property
    def served_version(self) -> str | None:
        """Return the registry's version of the model that is served; MLServer's own is a setting."""
        model = self._service.model if self._service else None
        return model.version if model else None

    async def load(self) -> bool:
        """Load the champion and return whether there is one; where there is none, it is looked for again and again."""
        settings, loader = _configured(self.settings)
        self._service = RankingService(loader, settings)
        return await self._service.start()

    async def reload(self, settings: ModelSettings) -> None:
        """Swap in the version that is named now.

        Raises:
            MLServerError: It can't be served; the one before goes on.
        """
        try:
            _, loader = _configured(settings)
            await self._serving().reload(loader)
        except DriverRankingError as error:
            raise protocol_error(error) from error
        self.ready = True

    @property
    def unloaded(self) -> bool:
        """Return whether the model was taken out of service, and is to be loaded before it serves again."""
        return self._service is not None and self._service.unloaded

    async def take_out(self) -> None:
        """Take the model out of service, and keep all else: what is asked of it is answered with the reason."""
        await self._serving().unload()
        self.ready = False

    def stop(self) -> None:
        """Give up what is being loaded: the process is about to end."""
        if self._service:
            self._service.stop()

    async def finish(self) -> None:
        """Write what is left of the prediction log: all requests are answered, and the process is about to end."""
        if self._service:
            await self._service.finish_log()

    async def unload(self) -> bool:
        """Stop serving."""
        if self._service:
            await self._service.close()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer a V2 request.

        Raises:
            MLServerError: It can't be answered; with the protocol's status and a message for the client.
        """
        try:
            service = self._serving()
            request = parse_request(payload, self._required_rules())
            trace_id = trace_id_of(payload.parameters.headers if payload.parameters else None)
            answer = await service.rank(request.query, request.top_k, payload.id, trace_id)
            encoded = encode_answer(answer, request, self.name)
        except DriverRankingError as error:
            raise protocol_error(error) from error
        service.log(answer)
        return encoded

    @custom_handler(rest_path="/inference")  # type: ignore[untyped-decorator] # MLServer is not typed
    async def inference(self, request: Request) -> Response:
        """Answer ``{"request_id", "driver_ids"}``, and what else the model needs, with ``{"prediction", "error"}``."""
        request_id = None
        try:
            service = self._serving()
            require_json(request.headers)
            query, request_id = parse_plain(await request.body(), self._required_rules())
            answer = await service.rank(query, 1, request_id, trace_id_of(request.headers))
            best = in_json(PREDICTION, answer.ranking.candidate[:1].tolist())[0]
            service.log(answer)
        except DriverRankingError as error:
            log_failure(error)
            return plain_error(error, request_id)
        return plain_answer(best, request_id)

    async def metadata(self) -> MetadataModelResponse:
        """Return what the model takes and gives; its parameters name the features behind it."""
        model, rules = self._service.model if self._service else None, self.rules
        described: dict[str, str] = {}
        if model and rules:
            described = {
                "feature_service": model.feature_service,
                "features": ",".join(model.feature_names),
                "candidate_key": rules.contract.candidate.name,
                "optional_inputs": ",".join(rules.contract.optional),
            }
        inputs = {one.name: one.datatype for one in rules.contract.inputs.values()} if rules else {}
        return MetadataModelResponse(
            name=self.name,
            platform=self.settings.platform or "mlflow_pyfunc",
            versions=[model.version] if model else [],
            inputs=_tensors(inputs),
            outputs=_tensors(rules.outputs if rules else {}),
            parameters=Parameters(**described),
        )


def _tensors(datatypes: Mapping[str, str]) -> list[MetadataTensor]:
    return [MetadataTensor(name=name, datatype=datatype, shape=[-1]) for name, datatype in datatypes.items()]


def _configured(settings: ModelSettings) -> tuple[RuntimeSettings, ChampionLoader]:
    require_workable_model(settings)
    folder = Path(settings._source or ".").absolute().parent  # noqa: SLF001 - where MLServer keeps the file's path
    parameters = settings.parameters
    ours = runtime_settings(parameters.extra if parameters else None, folder)
    uri = (parameters and parameters.uri) or "models:/driver_ranking@champion"
    location, version = registry_location(uri, ours.registry_path, os.environ.get("MLFLOW_TRACKING_URI"))
    repo = FeatureRepo(ours.feature_repo)
    return ours, ChampionLoader(location, version, repo, ours.online_read_timeout, ours.predict_timeout)
