"""What a request may say for a model with text keys and request features: the same in every encoding."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from mlserver.grpc import dataplane_pb2 as pb

from driver_ranking.errors import RequestError, TooManyDriversError
from driver_ranking.serving.contract import Input, RankingContract
from driver_ranking.serving.server.grpc.messages import decoded
from driver_ranking.serving.server.protocol.binary_tensors import split_body
from driver_ranking.serving.server.protocol.json_body import read_infer
from driver_ranking.serving.server.protocol.requests import RankingRequest, parse_plain, parse_request
from driver_ranking.serving.server.protocol.rules import RequestRules

if TYPE_CHECKING:
    from collections.abc import Callable

    from driver_ranking.serving.query import RankingQuery

CONTRACT = RankingContract(
    Input("restaurant_id", "BYTES"),
    keys=(Input("zone", "BYTES"),),
    request=(
        Input("distance", "FP64"),
        Input("weight", "FP32"),
        Input("seats", "INT64"),
        Input("floor", "INT32"),
        Input("rainy", "BOOL"),
        Input("mood", "BYTES"),
    ),
    features={"distance": "FP64", "seats": "INT64", "rating": "FP64"},
    optional=("distance", "weight", "seats", "floor", "rainy", "mood"),
)
RULES = RequestRules(CONTRACT, max_candidates=4, max_text_bytes=6)
ALL_NEEDED = RequestRules(replace(CONTRACT, optional=("weight",)), max_candidates=4, max_text_bytes=6)
LARGE = 2**53


@dataclass(frozen=True)
class Given:
    """An input, however it is sent."""

    name: str
    datatype: str
    values: list[Any]
    shape: list[int] | None = None

    @property
    def sizes(self) -> list[int]:
        return [len(self.values)] if self.shape is None else self.shape


DTYPES = {"INT64": "<i8", "INT32": "<i4", "FP64": "<f8", "FP32": "<f4", "BOOL": "?"}
FIELDS = {
    "INT64": "int64_contents",
    "INT32": "int_contents",
    "FP64": "fp64_contents",
    "FP32": "fp32_contents",
    "BOOL": "bool_contents",
    "BYTES": "bytes_contents",
}


def as_bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


def raw(one: Given) -> bytes:
    if one.datatype == "BYTES":
        return b"".join(struct.pack("<I", len(value)) + value for value in map(as_bytes, one.values))
    return np.array(one.values, DTYPES[one.datatype]).tobytes()


def over_json(*inputs: Given, rules: RequestRules = RULES, **more: Any) -> RankingRequest:
    tensors = [{"name": one.name, "datatype": one.datatype, "shape": one.sizes, "data": one.values} for one in inputs]
    body = json.dumps({"inputs": tensors, **more}).encode()
    return parse_request(read_infer(split_body({}, body)).payload, rules)


def over_binary(*inputs: Given, rules: RequestRules = RULES, **more: Any) -> RankingRequest:
    parts = [raw(one) for one in inputs]
    tensors = [
        {
            "name": one.name,
            "datatype": one.datatype,
            "shape": one.sizes,
            "parameters": {"binary_data_size": len(part)},
        }
        for one, part in zip(inputs, parts, strict=True)
    ]
    head = json.dumps({"inputs": tensors, **more}).encode()
    split = split_body({"inference-header-content-length": str(len(head))}, head + b"".join(parts))
    return parse_request(read_infer(split).payload, rules)


def message(*inputs: Given, is_raw: bool) -> pb.ModelInferRequest:
    asked = pb.ModelInferRequest()
    for one in inputs:
        tensor = asked.inputs.add(name=one.name, datatype=one.datatype, shape=one.sizes)
        if is_raw:
            asked.raw_input_contents.append(raw(one))
        else:
            values = map(as_bytes, one.values) if one.datatype == "BYTES" else one.values
            getattr(tensor.contents, FIELDS[one.datatype]).extend(values)
    return asked


def over_grpc(*inputs: Given, rules: RequestRules = RULES) -> RankingRequest:
    return parse_request(decoded(message(*inputs, is_raw=False)), rules)


def over_raw_grpc(*inputs: Given, rules: RequestRules = RULES) -> RankingRequest:
    return parse_request(decoded(message(*inputs, is_raw=True)), rules)


ENCODINGS: dict[str, Callable[..., RankingRequest]] = {
    "JSON": over_json,
    "binary": over_binary,
    "gRPC": over_grpc,
    "raw gRPC": over_raw_grpc,
}
encodings = pytest.mark.parametrize("ask", ENCODINGS.values(), ids=ENCODINGS)

IDS = Given("restaurant_id", "BYTES", ["é", "b", "c"])
ZONE = Given("zone", "BYTES", ["north"])
ALL = (
    Given("mood", "BYTES", ["sad", "", "gay"]),
    Given("rainy", "BOOL", [True]),
    ZONE,
    Given("distance", "FP64", [1.5, 2.5, 1e300], [3, 1]),
    Given("weight", "FP32", [0.5], [1, 1]),
    Given("floor", "INT32", [-(2**31)]),
    Given("seats", "INT64", [LARGE - 1, 0, 1 - LARGE]),
    IDS,
)


def said(query: RankingQuery) -> dict[str, list[Any]]:
    columns = {"restaurant_id": query.candidate, **query.keys, **query.request}
    return {name: values.tolist() for name, values in columns.items()}


@encodings
def test_inputs_are_taken_in_any_order_and_form(ask: Callable[..., RankingRequest]) -> None:
    query = ask(*ALL).query
    assert said(query) == {one.name: one.values for one in ALL}
    dtypes = {name: values.dtype.str for name, values in {**query.keys, **query.request}.items()}
    assert dtypes == {
        "zone": "|O",
        "distance": "<f8",
        "weight": "<f8",
        "seats": "<i8",
        "floor": "<i8",
        "rainy": "|b1",
        "mood": "|O",
    }


@encodings
def test_a_request_feature_that_is_left_out_is_named_if_no_default_stands_for_it(
    ask: Callable[..., RankingRequest],
) -> None:
    needed = [one for one in ALL if one.name != "weight"]
    assert np.isnan(ask(*needed, rules=ALL_NEEDED).query.request["weight"]).tolist() == [True]
    for place in range(len(needed)):
        left = needed[:place] + needed[place + 1 :]
        must = "the request must have restaurant_id, zone, distance, seats, floor, rainy, mood, and has"
        with pytest.raises(RequestError, match=f"^The input '{needed[place].name}' is missing; {must}"):
            ask(*left, rules=ALL_NEEDED)


@encodings
def test_a_request_feature_with_a_default_may_be_left_out_and_is_missing(ask: Callable[..., RankingRequest]) -> None:
    found = said(ask(IDS, ZONE).query)
    assert all(np.isnan(found.pop(name)).tolist() == [True] for name in ("distance", "weight"))
    missing = {name: [None] for name in ("seats", "floor", "rainy", "mood")}
    assert found == {"restaurant_id": IDS.values, "zone": ["north"], **missing}


@encodings
def test_floats_are_taken_in_either_width_if_nothing_is_rounded(ask: Callable[..., RankingRequest]) -> None:
    found = said(ask(IDS, ZONE, Given("distance", "FP32", [0.25]), Given("weight", "FP64", [0.25])).query)
    assert (found["distance"], found["weight"]) == ([0.25], [0.25])
    with pytest.raises(RequestError, match=r"^weight\[1\] is 0.1, which FP32 can't hold exactly; round it"):
        ask(IDS, ZONE, Given("weight", "FP64", [0.5, 0.1, 0.2]))


@encodings
def test_nan_is_missing(ask: Callable[..., RankingRequest]) -> None:
    kinds: list[tuple[str, str]] = [("distance", "FP64"), ("weight", "FP32"), ("weight", "FP64")]
    for name, datatype in kinds:
        found = ask(IDS, ZONE, Given(name, datatype, [1.0, np.nan, 2.0])).query.request[name]
        assert np.isnan(found).tolist() == [False, True, False]


REFUSED: dict[str, tuple[tuple[Given, ...], str]] = {
    "no inputs": ((), "'restaurant_id' is missing; the request must have restaurant_id, zone, and has none"),
    "a key that is missing": ((IDS,), "'zone' is missing; .* and has 'restaurant_id'"),
    "no candidates": ((ZONE,), "'restaurant_id' is missing"),
    "an unknown input": ((IDS, ZONE, Given("x", "BYTES", ["a"])), "no input 'x'; there are restaurant_id, zone, dist"),
    "an input twice": ((IDS, ZONE, ZONE), "'zone' is there twice"),
    "no ids": ((Given("restaurant_id", "BYTES", []), ZONE), "has no restaurant ids; it must have at least one"),
    "too many ids": ((Given("restaurant_id", "BYTES", ["a"] * 5), ZONE), "has 5 restaurant ids; at most 4"),
    "ids of another type": ((Given("restaurant_id", "INT64", [1]), ZONE), "'INT64'; it must be 'BYTES'"),
    "a key of another type": ((IDS, Given("zone", "FP64", [1.0])), "'zone' has the datatype 'FP64'; it must be 'BYT"),
    "whole numbers for floats": (
        (IDS, ZONE, Given("distance", "INT64", [1])),
        "'distance' has the datatype 'INT64'; it must be 'FP64' or 'FP32'",
    ),
    "whole numbers of another width": ((IDS, ZONE, Given("floor", "INT64", [1])), "it must be 'INT32'"),
    "whole numbers for booleans": ((IDS, ZONE, Given("rainy", "INT64", [1])), "it must be 'BOOL'"),
    "two for three": (
        (IDS, Given("zone", "BYTES", ["a", "b"])),
        "'zone' has 2 values; it must have 1, or 3 as 'restaurant_id' has",
    ),
    "none for three": ((IDS, ZONE, Given("mood", "BYTES", [])), "'mood' has 0 values; it must have 1, or 3"),
    "more than there are": ((IDS, ZONE, Given("distance", "FP64", [1.0] * 9)), "'distance' has 9 values; .* or 3"),
    "a row": ((IDS, ZONE, Given("seats", "INT64", [1, 2, 3], [1, 3])), r"\[1, 3\]; it must be \[1\], \[n\], \[1, 1\]"),
    "no dimension": ((IDS, Given("zone", "BYTES", ["a"], [])), r"'zone' has the shape \[\]; it must be"),
    "a long id": ((Given("restaurant_id", "BYTES", ["a", "ééé€"]), ZONE), r"restaurant_id\[1\] is longer than 6 bytes"),
    "a long key": ((IDS, Given("zone", "BYTES", ["1234567"])), r"zone\[0\] is longer than 6 bytes"),
    "a long text": ((IDS, ZONE, Given("mood", "BYTES", ["1234567"])), r"mood\[0\] is longer than 6 bytes"),
    "a feature that a float can't hold": (
        (IDS, ZONE, Given("seats", "INT64", [0, LARGE, 0])),
        r"seats\[1\] is too large; the whole numbers of features are below 2\^53",
    ),
}


@encodings
@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused(case: str, ask: Callable[..., RankingRequest]) -> None:
    inputs, expected = REFUSED[case]
    with pytest.raises(RequestError, match=expected) as refusal:
        ask(*inputs)
    assert isinstance(refusal.value, TooManyDriversError) == (case == "too many ids")


@pytest.mark.parametrize("ask", [over_binary, over_grpc, over_raw_grpc])
def test_texts_are_utf_8(ask: Callable[..., RankingRequest]) -> None:
    with pytest.raises(RequestError, match=r"^restaurant_id\[1\] is not UTF-8"):
        ask(Given("restaurant_id", "BYTES", ["a", b"\xff"]), ZONE)


@encodings
def test_many_inputs_are_refused_before_they_are_looked_at(ask: Callable[..., RankingRequest]) -> None:
    with pytest.raises(RequestError, match=r"at most 500 inputs; it has 'x', .*, \.\.\. \(501 in all\)\.$"):
        ask(*[Given("x", "BYTES", ["a"])] * 501)


# --- JSON alone -------------------------------------------------------------------------------------------------------

NULLS: dict[str, tuple[str, list[Any], list[Any]]] = {
    "distance": ("FP64", [None, 2, 3.5], [None, 2.0, 3.5]),
    "weight": ("FP32", [None, 2, 3.5], [None, 2.0, 3.5]),
    "seats": ("INT64", [None, 2, 3], [None, 2, 3]),
    "floor": ("INT32", [2, None, 3], [2, None, 3]),
    "rainy": ("BOOL", [True, None, False], [True, None, False]),
    "mood": ("BYTES", ["a", None, ""], ["a", None, ""]),
}


@pytest.mark.parametrize("name", NULLS)
def test_null_is_a_request_feature_that_is_missing(name: str) -> None:
    datatype, values, expected = NULLS[name]
    for given in (Given(name, datatype, values), Given(name, datatype, [[value] for value in values], [3, 1])):
        found = over_json(IDS, ZONE, given).query.request[name].tolist()
        assert [None if value != value else value for value in found] == expected  # noqa: PLR0124 - NaN alone does so


def test_a_fraction_is_the_nearest_that_its_datatype_has() -> None:
    found = over_json(IDS, ZONE, Given("weight", "FP32", [12.3])).query.request["weight"]
    assert found.tolist() == [float(np.float32(12.3))]


JSON_REFUSED: dict[str, tuple[Given, str]] = {
    "null for a key": (Given("zone", "BYTES", [None]), r"zone\[0\] is null; ids are texts"),
    "a number for a text": (Given("zone", "BYTES", [7]), r"zone\[0\] is a number; ids are texts"),
    "a list in a list": (Given("zone", "BYTES", [["a"]]), r"zone\[0\] is a list; ids are texts"),
    "one of them no text": (Given("mood", "BYTES", ["a", None, {}]), r"mood\[2\] is an object; its values are texts"),
    "1 for true": (Given("rainy", "BOOL", [True, 1, 0]), r"rainy\[1\] is a number; its values are true or false"),
    "a text for true": (Given("rainy", "BOOL", ["true"]), r"rainy\[0\] is a string; its values are true or false"),
    "true for a number": (Given("distance", "FP64", [True]), r"distance\[0\] is a boolean; its values are numbers"),
    "a text for a number": (Given("distance", "FP64", [1, "1", 1]), r"distance\[1\] is a string; its values are numb"),
    "a fraction for a whole number": (Given("seats", "INT64", [1.0]), r"seats\[0\] is not a whole number; its values"),
    "a whole number of 33 bits": (Given("floor", "INT32", [None, 2**31, 0]), r"floor\[1\] does not fit into 32 bits"),
    "a whole number of 65 bits": (Given("seats", "INT64", [2**63]), r"seats\[0\] does not fit into 64 bits"),
    "a whole number that is no float": (Given("distance", "FP64", [LARGE + 1]), r"distance\[0\] can't be held exactly"),
    "nor one of half the width": (
        Given("weight", "FP32", [2**24 + 1]),
        r"weight\[0\] can't be held exactly; .* 16777216",
    ),
    "a fraction that is too large": (Given("weight", "FP32", [1e39]), r"weight\[0\] is too large for FP32"),
    "no list": (Given("zone", "BYTES", "north", [1]), "data of the input 'zone' must be a list of ids"),  # type: ignore[arg-type] # on purpose
    "nor here": (Given("mood", "BYTES", "sad", [1]), "data of the input 'mood' must be a list of values"),  # type: ignore[arg-type] # likewise
    "another shape": (Given("mood", "BYTES", ["sad"], [3]), r"'mood' has the shape \[3\], but 1 values"),
}


@pytest.mark.parametrize("case", JSON_REFUSED)
def test_what_json_can_say_and_may_not_is_refused(case: str) -> None:
    given, expected = JSON_REFUSED[case]
    others = [one for one in (IDS, ZONE) if one.name != given.name]
    with pytest.raises(RequestError, match=expected):
        over_json(*others, given)


def test_what_json_reads_as_infinite_is_refused() -> None:
    tensors = [{"name": one.name, "datatype": one.datatype, "shape": [1], "data": ["a"]} for one in (IDS, ZONE)]
    body = json.dumps({"inputs": tensors})[:-2].encode()
    body += b', {"name": "distance", "datatype": "FP64", "shape": [1], "data": [1e999]}]}'
    with pytest.raises(RequestError, match=r"distance\[0\] is too large for FP64"):
        parse_request(read_infer(split_body({}, body)).payload, RULES)


# --- bytes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "part", [b"", b"\0\0\0", struct.pack("<I", 2) + b"a", struct.pack("<I", 1) + b"ab", b"\xff\xff\xff\xffa"]
)
def test_lengths_that_do_not_fit_are_refused(part: bytes) -> None:
    asked = message(IDS, ZONE, is_raw=True)
    asked.raw_input_contents[1] = part
    with pytest.raises(RequestError, match=r"bytes of the input 'zone' are not 1 values, each after its length"):
        parse_request(decoded(asked), RULES)


@pytest.mark.parametrize(("sizes", "there"), [((5, 5), 6), ((5, 1), 9), ((5, -1), 9), ((9, 1), 9), ((5, None), 9)])
def test_sizes_add_up_to_the_bytes(sizes: tuple[int, int | None], there: int) -> None:
    tensors = [
        {"name": one.name, "datatype": "BYTES", "shape": [1]}
        | ({"data": ["a"]} if size is None else {"parameters": {"binary_data_size": size}})
        for one, size in zip((IDS, ZONE), sizes, strict=True)
    ]
    head = json.dumps({"inputs": tensors}).encode()
    split = split_body({"inference-header-content-length": str(len(head))}, head + b"\1\0\0\0a" + bytes(there - 5))
    with pytest.raises(
        RequestError, match=f"of the inputs must add up to the number of bytes after the JSON, here {there}"
    ):
        read_infer(split)


def test_a_byte_that_is_no_boolean_is_refused() -> None:
    asked = message(IDS, ZONE, Given("rainy", "BOOL", [True]), is_raw=True)
    asked.raw_input_contents[2] = b"\2"
    with pytest.raises(RequestError, match=r"rainy\[0\] is the byte 2; a boolean is 0 or 1"):
        parse_request(decoded(asked), RULES)


@pytest.mark.parametrize("contents", [{"fp32_contents": [1.0]}, {"fp64_contents": [1.0], "int64_contents": [1]}])
def test_typed_contents_are_in_the_field_of_their_datatype(contents: dict[str, Any]) -> None:
    asked = message(IDS, ZONE, is_raw=False)
    tensor = asked.inputs.add(name="distance", datatype="FP64", shape=[1])
    tensor.contents.CopyFrom(pb.InferTensorContents(**contents))
    with pytest.raises(RequestError, match=r"'distance' has its values in '\w+', which are not for FP64"):
        parse_request(decoded(asked), RULES)


def test_infinities_can_be_sent_as_what_they_are() -> None:
    for ask in (over_binary, over_grpc, over_raw_grpc):
        assert ask(IDS, ZONE, Given("distance", "FP64", [np.inf])).query.request["distance"].tolist() == [np.inf]


def test_a_key_of_bytes_takes_any_and_the_bytes_of_a_text() -> None:
    rules = RequestRules(RankingContract(Input("token", "BYTES", is_text=False)), 4, 6)
    asked = message(Given("token", "BYTES", [b"\xff"]), is_raw=True)
    assert parse_request(decoded(asked), rules).query.candidate.tolist() == [b"\xff"]
    assert parse_plain('{"tokens": ["é"]}'.encode(), rules)[0].candidate.tolist() == ["é".encode()]


# --- outputs ----------------------------------------------------------------------------------------------------------


def test_outputs_are_those_of_the_contract_in_the_order_that_is_asked_for() -> None:
    assert list(over_json(IDS, ZONE).outputs) == ["restaurant_id", "score", "excluded_restaurant_id"]
    asked = over_json(IDS, ZONE, outputs=[{"name": "rating"}, {"name": "status"}, {"name": "rating"}])
    assert asked.outputs == {"rating": "FP64", "status": "BYTES"}
    listed = "restaurant_id, score, excluded_restaurant_id, status, feature_age, distance, seats, rating"
    with pytest.raises(RequestError, match=f"no output 'mood'; there are {listed}"):
        over_json(IDS, ZONE, outputs=[{"name": "mood"}])


def test_a_message_names_some_of_many_outputs() -> None:
    many = RankingContract(Input("id", "INT64"), features={f"f{place}": "FP64" for place in range(300)})
    rules = RequestRules(many, 4, 6)
    body = json.dumps(
        {"inputs": [{"name": "id", "datatype": "INT64", "shape": [1], "data": [1]}], "outputs": [{"name": "x"}]}
    )
    with pytest.raises(RequestError, match=r"f14, \.\.\. \(305 in all\)\.$"):
        parse_request(read_infer(split_body({}, body.encode())).payload, rules)


# --- POST /inference --------------------------------------------------------------------------------------------------

PLAIN = {"request_id": "uuid-1", "restaurant_ids": ["a", "b"], "zone": "north"}


def plain(**more: Any) -> RankingQuery:
    return parse_plain(json.dumps(PLAIN | more).encode(), RULES)[0]


def test_a_plain_request_has_values_and_lists() -> None:
    features = {"distance": 3, "mood": ["sad", None], "rainy": True, "seats": None}
    query = plain(features=features)
    assert query.candidate.tolist() == ["a", "b"]
    assert query.keys["zone"].tolist() == ["north"]
    assert {name: query.request[name].tolist() for name in features} == {
        "distance": [3.0],
        "mood": ["sad", None],
        "rainy": [True],
        "seats": [None],
    }
    assert query.request["floor"].tolist() == [None]
    assert plain(zone=["x", "y"], features=None).keys["zone"].tolist() == ["x", "y"]


PLAIN_REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a list of another length": ({"zone": ["a", "b", "c"]}, "'zone' has 3 values; .* 1, or 2 as 'restaurant_ids' has"),
    "an empty list": ({"features": {"mood": []}}, "'mood' has 0 values"),
    "null for a key": ({"zone": None}, r"zone\[0\] is null; ids are texts"),
    "numbers as ids": ({"restaurant_ids": ["a", 1]}, r"restaurant_ids\[1\] is a number; ids are texts"),
    "no list of ids": ({"restaurant_ids": "a"}, "restaurant_ids: .*array"),
    "too many ids": ({"restaurant_ids": ["a"] * 5}, "has 5 restaurant ids"),
    "no ids": ({"restaurant_ids": []}, "no restaurant ids"),
    "an unknown feature": ({"features": {"x": 1}}, "no request feature 'x'; there are distance, weight"),
    "features that are none": ({"features": [1]}, "features: .*object"),
    "a feature in the wrong place": (
        {"mood": "sad"},
        "no field 'mood'; there are request_id, restaurant_ids, zone, feat",
    ),
    "an object as a value": ({"features": {"mood": {}}}, r"mood\[0\] is an object; its values are texts"),
    "a list in a list": ({"features": {"distance": [[1], [2]]}}, r"distance\[0\] is a list; its values are numbers"),
}


@pytest.mark.parametrize("case", PLAIN_REFUSED)
def test_a_plain_request_that_does_not_fit_is_refused(case: str) -> None:
    more, expected = PLAIN_REFUSED[case]
    with pytest.raises(RequestError, match=expected):
        plain(**more)


def test_a_plain_request_without_a_key_is_refused() -> None:
    with pytest.raises(RequestError, match="zone: Field required"):
        parse_plain(b'{"restaurant_ids": ["a"]}', RULES)
    with pytest.raises(RequestError, match=r"features\.distance: Field required"):
        parse_plain(json.dumps(PLAIN | {"features": None}).encode(), ALL_NEEDED)
    values = {"distance": None, "seats": 1, "floor": None, "rainy": None, "mood": None}
    assert parse_plain(json.dumps(PLAIN | {"features": values}).encode(), ALL_NEEDED)[0].request["seats"].tolist() == [
        1
    ]
    drivers = RequestRules(RankingContract(Input("driver_id", "INT64")), 4, 6)
    with pytest.raises(RequestError, match="no request feature 'x'; there are none"):
        parse_plain(b'{"driver_ids": [1], "features": {"x": 1}}', drivers)
