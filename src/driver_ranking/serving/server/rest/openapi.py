"""The OpenAPI description of what is served."""

from functools import cache
from importlib.metadata import version
from typing import Any

_IDS = [1001, 1002, 1003, 1004, 1005]


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(schema: dict[str, Any], description: str, example: object = None) -> dict[str, Any]:
    media: dict[str, Any] = {"schema": schema}
    if example is not None:
        media["example"] = example
    return {"description": description, "content": {"application/json": media}}


def _body(schema: dict[str, Any], example: object) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}


def _object(properties: dict[str, Any], required: list[str], **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {"type": "object", "properties": properties, "required": required, **more}


def _errors(schema: str, *statuses: int) -> dict[str, Any]:
    meanings = {
        400: "The request can't be answered as it is",
        404: "There is no such model or version",
        405: "Not with this method",
        409: "The version can't be served; the one before goes on",
        413: "The request is larger than the service takes",
        415: "The body is not JSON",
        422: "No driver of the request has all features",
        500: "The service failed",
        503: "Not now: no model is loaded, the online store can't be read, or too many requests wait",
    }
    return {str(status): _json(_ref(schema), meanings[status]) for status in statuses}


@cache
def api_description(model: str) -> dict[str, Any]:
    """Return the description, with a model's name filled in."""
    return {
        "openapi": "3.0.3",
        "info": {
            "title": f"driver ranking: {model}",
            "version": version("driver-ranking"),
            "description": "Driver ids in, the best drivers out. The V2 inference protocol, and one plain endpoint.",
        },
        "paths": _paths(model),
        "components": {"schemas": _SCHEMAS},
    }


def _paths(model: str) -> dict[str, Any]:
    base = f"/v2/models/{model}"
    versioned = f"{base}/versions/{{model_version}}"
    paths = {
        "/v2/health/live": {"get": _live()},
        "/v2/health/ready": {"get": _ready("server-ready", "Whether requests can be answered", "ServerReady")},
        "/v2": {"get": _read("server-metadata", "Name, version and extensions of the server", "ServerMetadata")},
        f"{base}/infer": {"post": _infer("infer", model)},
        base: {"get": _read("model-metadata", "What the model takes and gives", "ModelMetadata", 404)},
        f"{base}/ready": {"get": _ready("model-ready", "Whether the model can answer", "ModelReady", 404)},
        "/inference": {"post": _inference()},
        "/v2/repository/index": {"post": _index()},
        f"/v2/repository/models/{model}/load": {"post": _load()},
    }
    of_version = {
        f"{versioned}/infer": {"post": _infer("infer-version", model)},
        versioned: {"get": _read("version-metadata", "What the version takes and gives", "ModelMetadata", 404)},
        f"{versioned}/ready": {"get": _ready("version-ready", "Whether the version can answer", "ModelReady", 404)},
    }
    parameter = {"name": "model_version", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    return paths | {path: {"parameters": [parameter], **spec} for path, spec in of_version.items()}


def _live() -> dict[str, Any]:
    answer = _json(_object({"live": {"type": "boolean"}}, ["live"]), "It does")
    return {"operationId": "server-live", "summary": "Whether the process serves", "responses": {"200": answer}}


def _ready(operation: str, summary: str, schema: str, *errors: int) -> dict[str, Any]:
    answers = {"200": _json(_ref(schema), "Yes"), "400": _json(_ref(schema), "No, and why")}
    return {"operationId": operation, "summary": summary, "responses": answers | _errors("Error", *errors)}


def _read(operation: str, summary: str, schema: str, *errors: int) -> dict[str, Any]:
    answers = {"200": _json(_ref(schema), "OK")} | _errors("Error", *errors)
    return {"operationId": operation, "summary": summary, "responses": answers}


def _infer(operation: str, model: str) -> dict[str, Any]:
    example = {
        "inputs": [{"name": "driver_id", "shape": [len(_IDS)], "datatype": "INT64", "data": _IDS}],
        "parameters": {"top_k": 2},
    }
    return {
        "operationId": operation,
        "summary": f"Rank drivers with {model}",
        "description": (
            "The outputs `driver_id` and `score` have the best `top_k` drivers, best first. A driver without features, "
            "or with none that are recent enough, is left out of them and named in `excluded_driver_id`."
        ),
        "requestBody": _body(_ref("InferenceRequest"), example),
        "responses": {"200": _json(_ref("InferenceResponse"), "The ranking")}
        | _errors("Error", 400, 404, 413, 415, 422, 500, 503),
    }


def _inference() -> dict[str, Any]:
    header = {"X-Request-ID": {"description": "The request's `request_id`", "schema": {"type": "string"}}}
    example = {"request_id": "uuid-1", "driver_ids": _IDS}
    answer = _json(_ref("Prediction"), "The best driver") | {"headers": header}
    return {
        "operationId": "inference",
        "summary": "The best of some drivers",
        "requestBody": _body(_ref("PredictionRequest"), example),
        "responses": {"200": answer} | _errors("PredictionError", 400, 422, 500, 503) | _errors("Error", 413, 415),
    }


def _index() -> dict[str, Any]:
    return {
        "operationId": "repository-index",
        "summary": "The models, their versions and states",
        "requestBody": _body(_object({"ready": {"type": "boolean", "nullable": True}}, []), {}) | {"required": False},
        "responses": {"200": _json({"type": "array", "items": _ref("IndexItem")}, "OK")}
        | _errors("Error", 400, 413, 415),
    }


def _load() -> dict[str, Any]:
    return {
        "operationId": "repository-load",
        "summary": "Serve the version that the alias names now",
        "responses": {"200": {"description": "It is served"}} | _errors("Error", 404, 409, 500, 503),
    }


_TEXT = {"type": "string"}
_NOTHING = {"nullable": True, "enum": [None]}
_OUTPUT_NAME = {"type": "string", "enum": ["driver_id", "score", "excluded_driver_id"]}
_NAMED_PARAMETERS = {"type": "object", "nullable": True, "additionalProperties": True}
_ID = {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}
_TENSOR = _object(
    {
        "name": _TEXT,
        "datatype": _TEXT,
        "shape": {"type": "array", "items": {"type": "integer"}},
    },
    ["name", "datatype", "shape"],
)
_SCHEMAS: dict[str, Any] = {
    "InferenceRequest": _object(
        {
            "id": {"type": "string", "nullable": True, "maxLength": 256, "description": "Comes back with the answer"},
            "parameters": {
                "type": "object",
                "nullable": True,
                "properties": {
                    "top_k": {
                        "type": "integer",
                        "minimum": 1,
                        "default": 1,
                        "description": "How many drivers to return, at most as many as there are ids",
                    }
                },
            },
            "inputs": {"type": "array", "minItems": 1, "maxItems": 1, "items": _ref("DriverIds")},
            "outputs": {
                "type": "array",
                "nullable": True,
                "maxItems": 100,
                "items": _ref("RequestedOutput"),
                "description": "All of them where it is left out",
            },
        },
        ["inputs"],
    ),
    "DriverIds": _object(
        {
            "name": {"type": "string", "enum": ["driver_id"]},
            "datatype": {"type": "string", "enum": ["INT64"]},
            "shape": {
                "type": "array",
                "items": {"type": "integer", "minimum": 1},
                "minItems": 1,
                "maxItems": 2,
                "description": "`[n]` or `[n, 1]`",
            },
            "data": {"type": "array", "minItems": 1, "items": _ID, "description": "n ids"},
            "parameters": _NAMED_PARAMETERS,
        },
        ["name", "datatype", "shape", "data"],
    ),
    "RequestedOutput": _object(
        {
            "name": _OUTPUT_NAME,
            "parameters": _NAMED_PARAMETERS,
        },
        ["name"],
    ),
    "InferenceResponse": _object(
        {
            "model_name": _TEXT,
            "model_version": {**_TEXT, "description": "The registry's number of the version that made the scores"},
            "id": {**_TEXT, "description": "The request's, if it has one"},
            "outputs": {"type": "array", "items": _ref("Output")},
        },
        ["model_name", "model_version", "outputs"],
    ),
    "Output": _object(
        {
            "name": _OUTPUT_NAME,
            "datatype": {"type": "string", "enum": ["INT64", "FP64"]},
            "shape": {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 1},
            "data": {"type": "array", "items": {"type": "number"}},
        },
        ["name", "datatype", "shape", "data"],
    ),
    "Error": _object({"error": _TEXT}, ["error"]),
    "ServerReady": _object({"ready": {"type": "boolean"}, "error": _TEXT}, ["ready"]),
    "ModelReady": _object({"name": _TEXT, "ready": {"type": "boolean"}, "error": _TEXT}, ["name", "ready"]),
    "ServerMetadata": _object(
        {"name": _TEXT, "version": _TEXT, "extensions": {"type": "array", "items": _TEXT}},
        ["name", "version", "extensions"],
    ),
    "ModelMetadata": _object(
        {
            "name": _TEXT,
            "versions": {"type": "array", "items": _TEXT},
            "platform": _TEXT,
            "inputs": {"type": "array", "items": _TENSOR},
            "outputs": {"type": "array", "items": _TENSOR},
            "parameters": _NAMED_PARAMETERS,
        },
        ["name", "versions", "platform", "inputs", "outputs"],
    ),
    "PredictionRequest": _object(
        {
            "request_id": {"type": "string", "nullable": True, "maxLength": 128, "pattern": "^[ -~]*$"},
            "driver_ids": {"type": "array", "minItems": 1, "items": _ID},
        },
        ["driver_ids"],
    ),
    "Prediction": _object({"prediction": {"type": "integer"}, "error": _NOTHING}, ["prediction", "error"]),
    "PredictionError": _object({"prediction": _NOTHING, "error": _TEXT}, ["error"]),
    "IndexItem": _object(
        {
            "name": _TEXT,
            "version": _TEXT,
            "state": {"type": "string", "enum": ["UNKNOWN", "READY", "UNAVAILABLE", "LOADING", "UNLOADING"]},
            "reason": _TEXT,
        },
        ["name", "state", "reason"],
    ),
}
