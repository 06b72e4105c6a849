"""The OpenAPI description of what is served."""

from importlib.metadata import version
from typing import Any

from driver_ranking.serving.query import RankingQuery
from driver_ranking.serving.server.protocol.rules import RequestRules
from driver_ranking.serving.server.rest.examples import infer_example, plain_example
from driver_ranking.serving.server.rest.schemas import json_object, ref, schemas


def _json(schema: dict[str, Any], description: str, example: object = None) -> dict[str, Any]:
    media: dict[str, Any] = {"schema": schema}
    if example is not None:
        media["example"] = example
    return {"description": description, "content": {"application/json": media}}


def _body(schema: dict[str, Any], example: object) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}


def _errors(schema: str, *statuses: int) -> dict[str, Any]:
    meanings = {
        400: "The request can't be answered as it is",
        404: "There is no such model or version",
        405: "Not with this method",
        409: "The version can't be served; the one before goes on",
        413: "The request is larger than the service takes",
        415: "The body is not JSON",
        422: "Nothing of the request can be ranked: none has all features",
        500: "The service failed",
        503: "Not now: no model is loaded, the online store can't be read, or too many requests wait",
    }
    return {str(status): _json(ref(schema), meanings[status]) for status in statuses}


def api_description(model: str, rules: RequestRules | None, example: RankingQuery | None = None) -> dict[str, Any]:
    """Return the description of a model's API.

    Args:
        model: Its name.
        rules: What its requests are held against; None while there is no model, whose requests are left out then.
        example: A request that it can answer, if one is known.
    """
    what = (
        f"{rules.noun.capitalize()} in, the best of them out" if rules else "No model is loaded; reload the page later"
    )
    return {
        "openapi": "3.0.3",
        "info": {
            "title": f"driver ranking: {model}",
            "version": version("driver-ranking"),
            "description": f"{what}. The V2 inference protocol, and one plain endpoint.",
        },
        "paths": _paths(model) | (_ranking_paths(model, rules, example) if rules else {}),
        "components": {"schemas": schemas(rules)},
    }


def _ranking_paths(model: str, rules: RequestRules, example: RankingQuery | None) -> dict[str, Any]:
    path = f"/v2/models/{model}"
    body = infer_example(rules.contract, example)
    return {
        f"{path}/infer": {"post": _infer("infer", model, rules, body)},
        f"{path}/versions/{{model_version}}/infer": {
            "parameters": [_VERSION],
            "post": _infer("infer-version", model, rules, body),
        },
        "/inference": {"post": _inference(rules, plain_example(rules.contract, example))},
    }


_EXPLAINED = (
    "What explains them comes if it is asked for: `status`, `feature_age` in seconds, and each feature by its name, as "
    "the model saw it."
)
_VERSION = {"name": "model_version", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _paths(model: str) -> dict[str, Any]:
    base = f"/v2/models/{model}"
    versioned = f"{base}/versions/{{model_version}}"
    paths = {
        "/v2/health/live": {"get": _live()},
        "/v2/health/ready": {"get": _ready("server-ready", "Whether requests can be answered", "ServerReady")},
        "/v2": {"get": _read("server-metadata", "Name, version and extensions of the server", "ServerMetadata")},
        base: {"get": _read("model-metadata", "What the model takes and gives", "ModelMetadata", 404)},
        f"{base}/ready": {"get": _ready("model-ready", "Whether the model can answer", "ModelReady", 404)},
        "/v2/repository/index": {"post": _index()},
        f"/v2/repository/models/{model}/load": {"post": _load()},
    }
    of_version = {
        versioned: {"get": _read("version-metadata", "What the version takes and gives", "ModelMetadata", 404)},
        f"{versioned}/ready": {"get": _ready("version-ready", "Whether the version can answer", "ModelReady", 404)},
    }
    return paths | {path: {"parameters": [_VERSION], **spec} for path, spec in of_version.items()}


def _live() -> dict[str, Any]:
    answer = _json(json_object({"live": {"type": "boolean"}}, ["live"]), "It does")
    return {"operationId": "server-live", "summary": "Whether the process serves", "responses": {"200": answer}}


def _ready(operation: str, summary: str, schema: str, *errors: int) -> dict[str, Any]:
    answers = {"200": _json(ref(schema), "Yes"), "400": _json(ref(schema), "No, and why")}
    return {"operationId": operation, "summary": summary, "responses": answers | _errors("Error", *errors)}


def _read(operation: str, summary: str, schema: str, *errors: int) -> dict[str, Any]:
    answers = {"200": _json(ref(schema), "OK")} | _errors("Error", *errors)
    return {"operationId": operation, "summary": summary, "responses": answers}


def _infer(operation: str, model: str, rules: RequestRules, example: dict[str, Any]) -> dict[str, Any]:
    contract = rules.contract
    return {
        "operationId": operation,
        "summary": f"Rank {rules.noun} with {model}",
        "description": (
            f"The outputs `{contract.candidate.name}` and `score` have the best `top_k`, best first. One without all "
            f"features, or with none that are recent enough, is left out of them and named in `{contract.excluded}`. "
            f"{_EXPLAINED}"
        ),
        "requestBody": _body(ref("InferenceRequest"), example),
        "responses": {"200": _json(ref("InferenceResponse"), "The ranking")}
        | _errors("Error", 400, 404, 413, 415, 422, 500, 503),
    }


def _inference(rules: RequestRules, example: dict[str, Any]) -> dict[str, Any]:
    header = {"X-Request-ID": {"description": "The request's `request_id`", "schema": {"type": "string"}}}
    answer = _json(ref("Prediction"), "The best one") | {"headers": header}
    return {
        "operationId": "inference",
        "summary": f"The best of some {rules.noun}",
        "requestBody": _body(ref("PredictionRequest"), example),
        "responses": {"200": answer} | _errors("PredictionError", 400, 422, 500, 503) | _errors("Error", 413, 415),
    }


def _index() -> dict[str, Any]:
    return {
        "operationId": "repository-index",
        "summary": "The models, their versions and states",
        "requestBody": _body(json_object({"ready": {"type": "boolean", "nullable": True}}, []), {})
        | {"required": False},
        "responses": {"200": _json({"type": "array", "items": ref("IndexItem")}, "OK")}
        | _errors("Error", 400, 413, 415),
    }


def _load() -> dict[str, Any]:
    return {
        "operationId": "repository-load",
        "summary": "Serve the version that the alias names now",
        "responses": {"200": {"description": "It is served"}} | _errors("Error", 404, 409, 500, 503),
    }
