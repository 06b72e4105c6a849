"""The parts of the OpenAPI description: what requests and answers consist of."""

import re
from typing import Any

from driver_ranking.serving.contract import Input, RankingContract
from driver_ranking.serving.server.protocol.columns import datatypes_for
from driver_ranking.serving.server.protocol.payload import MAX_ID_LENGTH, MOST_OUTPUTS
from driver_ranking.serving.server.protocol.rules import RequestRules


def ref(name: str) -> dict[str, Any]:
    """Return a reference to a part."""
    return {"$ref": f"#/components/schemas/{name}"}


def json_object(properties: dict[str, Any], required: list[str], **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Return the schema of an object."""
    return {"type": "object", "properties": properties, "required": required, **more}


def schemas(rules: RequestRules | None) -> dict[str, Any]:
    """Return all parts by name; those of requests for a model if there is one."""
    return _ALWAYS | _of_model(rules) if rules else _ALWAYS


def _of_model(rules: RequestRules) -> dict[str, Any]:
    contract = rules.contract
    parts = {_part(contract, one): _input(rules, one) for one in contract.inputs.values()}
    of_any = [ref(name) for name in parts]
    return parts | {
        "InferenceRequest": _inference_request(rules, of_any[0] if len(of_any) == 1 else {"anyOf": of_any}),
        "RequestedOutput": json_object({"name": _output_name(contract), "parameters": _NAMED_PARAMETERS}, ["name"]),
        "InferenceResponse": _INFERENCE_RESPONSE,
        "Output": _output(contract),
        "PredictionRequest": _prediction_request(rules),
        "Prediction": json_object(
            {"prediction": {"type": _VALUES[contract.candidate.datatype]["type"]}, "error": _NOTHING},
            ["prediction", "error"],
        ),
        "PredictionError": json_object({"prediction": _NOTHING, "error": _TEXT}, ["error"]),
    }


def _part(contract: RankingContract, one: Input) -> str:
    """Return how the part of an input is called; one of others can't have the name of any other part."""
    words = re.sub(r"[^0-9A-Za-z]+", " ", one.name).title().replace(" ", "")
    return f"{words}s" if one == contract.candidate else f"Input.{list(contract.inputs).index(one.name)}.{words}"


def _value(rules: RequestRules, one: Input) -> dict[str, Any]:
    value: dict[str, Any] = dict(_VALUES[one.datatype])
    if one.datatype == "BYTES":
        value["maxLength"] = rules.max_text_bytes
    return value | {"nullable": True} if one in rules.contract.request else value


def _input(rules: RequestRules, one: Input) -> dict[str, Any]:
    is_candidate = one == rules.contract.candidate
    form = "`[n]` or `[n, 1]`" if is_candidate else "`[1]` where all candidates have one value, or `[n]`"
    value = _value(rules, one)
    return json_object(
        {
            "name": {"type": "string", "enum": [one.name]},
            "datatype": {"type": "string", "enum": list(datatypes_for(one))},
            "shape": {
                "type": "array",
                "items": {"type": "integer", "minimum": 1},
                "minItems": 1,
                "maxItems": 2,
                "description": form,
            },
            "data": {
                "type": "array",
                "minItems": 1,
                "items": value,
                "description": "n ids" if is_candidate else "One value, or n",
            },
            "parameters": _NAMED_PARAMETERS,
        },
        ["name", "datatype", "shape", "data"],
    )


def _inference_request(rules: RequestRules, items: dict[str, Any]) -> dict[str, Any]:
    inputs = {"type": "array", "minItems": len(rules.required), "maxItems": len(rules.columns), "items": items}
    if len(rules.columns) > 1:
        inputs["description"] = f"Each once. {_may_be_left_out(rules.contract.optional)}"
    top_k = {
        "type": "integer",
        "minimum": 1,
        "default": 1,
        "description": "How many candidates to return, at most as many as there are ids",
    }
    return json_object(
        {
            "id": {
                "type": "string",
                "nullable": True,
                "maxLength": MAX_ID_LENGTH,
                "description": "Comes back with the answer",
            },
            "parameters": {"type": "object", "nullable": True, "properties": {"top_k": top_k}},
            "inputs": inputs,
            "outputs": {
                "type": "array",
                "nullable": True,
                "maxItems": MOST_OUTPUTS,
                "items": ref("RequestedOutput"),
                "description": f"Where it is left out, {', '.join(rules.contract.default_outputs)}",
            },
        },
        ["inputs"],
    )


def _may_be_left_out(names: tuple[str, ...]) -> str:
    return f"{', '.join(names)} may be left out: a default stands for each." if names else "None may be left out."


def _prediction_request(rules: RequestRules) -> dict[str, Any]:
    contract = rules.contract
    request_id = {"type": "string", "nullable": True, "maxLength": 128, "pattern": "^[ -~]*$"}
    candidates = {"type": "array", "minItems": 1, "items": _value(rules, contract.candidate)}
    properties: dict[str, Any] = {"request_id": request_id, rules.candidates: candidates}
    properties |= {key.name: _one_or_more(rules, key) for key in contract.keys}
    required = [rules.candidates, *(key.name for key in contract.keys)]
    if contract.request:
        features = {one.name: _one_or_more(rules, one) for one in contract.request}
        needed = [name for name in features if name in rules.required]
        optional = {} if needed else {"nullable": True}
        properties["features"] = json_object(features, needed, additionalProperties=False, **optional)
        required += ["features"] if needed else []
    closed = {"additionalProperties": False} if len(rules.columns) > 1 else {}
    return json_object(properties, required, **closed)


def _one_or_more(rules: RequestRules, one: Input) -> dict[str, Any]:
    value = _value(rules, one)
    return {"anyOf": [value, {"type": "array", "minItems": 1, "items": value}]}


def _output_name(contract: RankingContract) -> dict[str, Any]:
    return {"type": "string", "enum": list(contract.outputs)}


def _output(contract: RankingContract) -> dict[str, Any]:
    kinds = ["number", "string", "boolean"]
    return json_object(
        {
            "name": _output_name(contract),
            "datatype": {"type": "string", "enum": sorted(set(contract.outputs.values()))},
            "shape": {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 1},
            "data": {"type": "array", "items": {"anyOf": [{"type": kind, "nullable": True} for kind in kinds]}},
        },
        ["name", "datatype", "shape", "data"],
    )


_TEXT = {"type": "string"}
_NOTHING = {"nullable": True, "enum": [None]}
_NAMED_PARAMETERS = {"type": "object", "nullable": True, "additionalProperties": True}
_VALUES: dict[str, dict[str, Any]] = {
    "INT64": {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    "INT32": {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
    "FP64": {"type": "number"},
    "FP32": {"type": "number"},
    "BOOL": {"type": "boolean"},
    "BYTES": {"type": "string"},
}
_TENSOR = json_object(
    {
        "name": _TEXT,
        "datatype": _TEXT,
        "shape": {"type": "array", "items": {"type": "integer"}},
    },
    ["name", "datatype", "shape"],
)
_INFERENCE_RESPONSE = json_object(
    {
        "model_name": _TEXT,
        "model_version": {**_TEXT, "description": "The registry's number of the version that made the scores"},
        "id": {**_TEXT, "description": "The request's, if it has one"},
        "outputs": {"type": "array", "items": ref("Output")},
    },
    ["model_name", "model_version", "outputs"],
)
_ALWAYS: dict[str, Any] = {
    "Error": json_object({"error": _TEXT}, ["error"]),
    "ServerReady": json_object({"ready": {"type": "boolean"}, "error": _TEXT}, ["ready"]),
    "ModelReady": json_object({"name": _TEXT, "ready": {"type": "boolean"}, "error": _TEXT}, ["name", "ready"]),
    "ServerMetadata": json_object(
        {"name": _TEXT, "version": _TEXT, "extensions": {"type": "array", "items": _TEXT}},
        ["name", "version", "extensions"],
    ),
    "ModelMetadata": json_object(
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
    "IndexItem": json_object(
        {
            "name": _TEXT,
            "version": _TEXT,
            "state": {"type": "string", "enum": ["UNKNOWN", "READY", "UNAVAILABLE", "LOADING", "UNLOADING"]},
            "reason": _TEXT,
        },
        ["name", "state", "reason"],
    ),
}
