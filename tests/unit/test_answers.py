"""What an answer says, in every encoding, and what the API's page says of both: for a model with text keys."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from driver_ranking.errors import RequestError
from driver_ranking.model import RegisteredModel
from driver_ranking.serving.contract import Input, RankingContract
from driver_ranking.serving.query import RankingQuery
from driver_ranking.serving.server.grpc.messages import encoded
from driver_ranking.serving.server.protocol.answers import encode_answer
from driver_ranking.serving.server.protocol.binary_tensors import packed, split_body
from driver_ranking.serving.server.protocol.json_body import read_infer
from driver_ranking.serving.server.protocol.requests import RankingRequest, parse_plain, parse_request
from driver_ranking.serving.server.protocol.rules import RequestRules
from driver_ranking.serving.server.rest.openapi import api_description

if TYPE_CHECKING:
    from mlserver.types import InferenceResponse

    from driver_ranking.serving.service import Ranked

CONTRACT = RankingContract(
    Input("restaurant_id", "BYTES"),
    keys=(Input("zone", "BYTES"),),
    request=(Input("distance", "FP64"), Input("rainy", "BOOL"), Input("token", "BYTES", is_text=False)),
    features={
        "distance": "FP64",
        "weight": "FP32",
        "seats": "INT64",
        "floor": "INT32",
        "rainy": "BOOL",
        "mood": "BYTES",
    },
    optional=("rainy",),
)
RULES = RequestRules(CONTRACT, max_candidates=10, max_text_bytes=64)
VALUES: dict[str, list[Any]] = {
    "restaurant_id": ["é", "b"],
    "score": [2.5, 1.0],
    "excluded_restaurant_id": [],
    "status": ["ok", "defaulted"],
    "feature_age": [1.5, None],
    "distance": [0.1, 1e300],
    "weight": [0.5, 0.25],
    "seats": [2**53 - 1, -1],
    "floor": [1, -(2**31)],
    "rainy": [True, False],
    "mood": ["sad", ""],
}
DTYPES = {"INT64": "<i8", "INT32": "<i4", "FP64": "<f8", "FP32": "<f4", "BOOL": "?"}


@dataclass(frozen=True)
class Answer:
    """An answer of the service, by its outputs."""

    values: dict[str, list[Any]]
    model: RegisteredModel = field(default=RegisteredModel("m", "3", None, "source", "service", (), "path"))

    def output(self, name: str) -> Any:
        dtype = DTYPES.get(RULES.outputs[name])
        return np.array(self.values[name], dtype=dtype) if dtype else np.array(self.values[name], dtype=object)


def answer(**values: list[Any]) -> InferenceResponse:
    request = RankingRequest(RankingQuery(np.array(["b"], dtype=object)), 1, RULES.outputs)
    return encode_answer(cast("Ranked", Answer(VALUES | values)), request, "m")


def unpacked(datatype: str, part: bytes) -> list[Any]:
    if datatype != "BYTES":
        found = np.frombuffer(part, DTYPES[datatype]).tolist()
        return [None if value != value else value for value in found]  # noqa: PLR0124 - NaN alone does so
    texts = []
    while part:
        (size,) = struct.unpack_from("<I", part)
        texts.append(part[4 : 4 + size].decode())
        part = part[4 + size :]
    return texts


def over_json() -> dict[str, list[Any]]:
    body, _ = packed(answer().model_dump(), lambda _: False)
    return {output["name"]: output["data"] for output in json.loads(body)["outputs"]}


def over_binary() -> dict[str, list[Any]]:
    body, headers = packed(answer().model_dump(), lambda _: True)
    length = int(headers["inference-header-content-length"])
    content, rest = json.loads(body[:length]), body[length:]
    found = {}
    for output in content["outputs"]:
        size = output["parameters"]["binary_data_size"]
        found[output["name"]] = unpacked(output["datatype"], rest[:size])
        rest = rest[size:]
    return found


def over_grpc() -> dict[str, list[Any]]:
    found = {}
    for tensor in encoded(answer(), raw=False).outputs:
        ((_, held),) = tensor.contents.ListFields() or ((None, []),)
        values = [value.decode() if isinstance(value, bytes) else value for value in held]
        found[tensor.name] = [None if value != value else value for value in values]  # noqa: PLR0124 - likewise
    return found


def over_raw_grpc() -> dict[str, list[Any]]:
    message = encoded(answer(), raw=True)
    parts = zip(message.outputs, message.raw_output_contents, strict=True)
    return {tensor.name: unpacked(tensor.datatype, part) for tensor, part in parts}


@pytest.mark.parametrize("told", [over_json, over_binary, over_grpc, over_raw_grpc])
def test_all_outputs_are_told_alike(told: Any) -> None:
    assert told() == VALUES


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"mood": [b"a", b"\xff"]}, "'mood' has bytes that are not UTF-8, which JSON can't carry; ask for it with"),
        ({"distance": [1.0, np.inf]}, "'distance' has an infinite value, which JSON does not have; ask for it with"),
        ({"weight": [-np.inf]}, "'weight' has an infinite value"),
    ],
)
def test_what_json_can_not_say_is_refused_and_can_be_had_as_bytes(values: dict[str, list[Any]], expected: str) -> None:
    with pytest.raises(RequestError, match=expected):
        packed(answer(**values).model_dump(), lambda _: False)
    packed(answer(**values).model_dump(), lambda name: name in values)


# --- the description --------------------------------------------------------------------------------------------------

KNOWN = RankingQuery(
    np.array([*"abcdefg"], dtype=object),
    {"zone": np.array(["north"], dtype=object)},
    {
        "distance": np.array([1.5, np.nan, 2.0]),
        "rainy": np.array([True]),
        "token": np.array([b"t", None, b""], dtype=object),
    },
)
UNSAYABLE = RankingQuery(np.array([b"\xff"], dtype=object), KNOWN.keys, KNOWN.request)


def body(described: dict[str, Any], path: str) -> bytes:
    example = described["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"]
    return json.dumps(example).encode()


@pytest.mark.parametrize("known", [None, UNSAYABLE, RankingQuery(KNOWN.candidate[:3], KNOWN.keys, KNOWN.request)])
def test_examples_are_requests_of_the_model(known: RankingQuery | None) -> None:
    described = api_description("m", RULES, known)
    request = parse_request(read_infer(split_body({}, body(described, "/v2/models/m/infer"))).payload, RULES)
    assert request.top_k == 2
    query, request_id = parse_plain(body(described, "/inference"), RULES)
    assert request_id == "uuid-1"
    assert query.candidate.tolist() == request.query.candidate.tolist()
    assert query.candidate.tolist() == (["a", "b", "c"] if known and known is not UNSAYABLE else [*"abcde"])
    assert repr(query.request) == repr(request.query.request)


def test_the_description_tells_each_input_and_output() -> None:
    described = api_description("m", RULES)
    schemas = described["components"]["schemas"]
    inputs = schemas["InferenceRequest"]["properties"]["inputs"]
    named = [schemas[one["$ref"].rsplit("/", 1)[1]]["properties"] for one in inputs["items"]["anyOf"]]
    assert {one["name"]["enum"][0]: one["datatype"]["enum"] for one in named} == {
        "restaurant_id": ["BYTES"],
        "zone": ["BYTES"],
        "distance": ["FP64", "FP32"],
        "rainy": ["BOOL"],
        "token": ["BYTES"],
    }
    assert (inputs["minItems"], inputs["maxItems"]) == (4, 5)
    assert inputs["description"] == "Each once. rainy may be left out: a default stands for each."
    assert schemas["RequestedOutput"]["properties"]["name"]["enum"] == list(CONTRACT.outputs)
    plain = schemas["PredictionRequest"]
    assert plain["required"] == ["restaurant_ids", "zone", "features"]
    assert plain["properties"]["features"]["required"] == ["distance", "token"]
    assert list(plain["properties"]["features"]["properties"]) == ["distance", "rainy", "token"]
    assert schemas["Prediction"]["properties"]["prediction"] == {"type": "string"}


def test_without_a_model_its_requests_are_not_described() -> None:
    described = api_description("m", None)
    assert "No model is loaded" in described["info"]["description"]
    assert "/inference" not in described["paths"]
    assert "/v2/models/m/versions/{model_version}/ready" in described["paths"]
    referred = set(json.dumps(described).split('"#/components/schemas/')[1:])
    assert {one.split('"')[0] for one in referred} <= set(described["components"]["schemas"])
