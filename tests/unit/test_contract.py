"""What requests have to have is told by the model's signature, its tags, and what its features are read by."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from feast import FeatureService
from feast.types import Bool, Bytes, FeastType, Float32, Float64, Int32, Int64, String, UnixTimestamp

from driver_ranking.errors import ModelSignatureError, UnservableInputError
from driver_ranking.feature_store.repo import ServiceFeatures
from driver_ranking.model_features import ModelFeatures
from driver_ranking.model_version import RegisteredModel
from driver_ranking.serving.contract import Input, RankingContract, contract_of, listed, shown

COLUMNS = {
    "rate": "double",
    "trips": "long",
    "distance": "float",
    "passengers": "integer",
    "exact": "double",
    "seats": "long",
    "shared": "boolean",
    "pickup": "string",
    "token": "binary",
}
STORED = ("rate", "trips")
REQUESTED = tuple(name for name in COLUMNS if name not in STORED)


def contract(
    keys: dict[str, FeastType],
    request: dict[str, FeastType] | None = None,
    *,
    candidate_key: str | None = None,
    columns: dict[str, str] = COLUMNS,
) -> RankingContract:
    names, kinds = tuple(columns), tuple(columns.values())
    model = RegisteredModel("m", "7", None, "s", "drivers", names, "nowhere", kinds, candidate_key)
    service = ServiceFeatures(FeatureService(name="drivers", features=[]), full_names=False, columns=STORED)
    features = ModelFeatures(service, STORED, tuple(name for name in names if name not in STORED))
    return contract_of(model, features, keys, request or {})


def test_columns_that_come_with_the_request_have_the_types_of_the_signature() -> None:
    found = contract({"driver_id": Int64})
    assert (found.candidate, found.keys) == (Input("driver_id", "INT64"), ())
    datatypes = ("FP32", "INT32", "FP64", "INT64", "BOOL", "BYTES", "BYTES")
    expected = [Input(*one) for one in zip(REQUESTED, datatypes, strict=True)]
    assert found.request == (*expected[:-1], Input("token", "BYTES", is_text=False))
    assert found.features == {"rate": "FP64", "trips": "INT64"} | {one.name: one.datatype for one in found.request}


def test_what_views_compute_from_has_the_types_of_the_feature_repo() -> None:
    wanted: dict[str, FeastType] = {
        "a": Float64,
        "b": Float32,
        "c": Int64,
        "d": Int32,
        "e": Bool,
        "f": String,
        "g": Bytes,
    }
    found = contract({"driver_id": Int32}, wanted, columns={"rate": "double"})
    datatypes = ("FP64", "FP64", "INT64", "INT32", "BOOL", "BYTES", "BYTES")
    assert [(one.name, one.datatype) for one in found.request] == list(zip(wanted, datatypes, strict=True))
    assert [one.name for one in found.request if not one.is_text] == ["g"]
    assert found.candidate == Input("driver_id", "INT32")


def test_one_name_is_one_input_whoever_wants_it() -> None:
    columns = {"rate": "double", "driver_id": "long", "distance": "double"}
    found = contract({"zone": String, "driver_id": Int64}, {"distance": Float32, "hour": Int32}, columns=columns)
    assert list(found.inputs) == ["driver_id", "zone", "distance", "hour"]
    assert found.request == (Input("distance", "FP64"), Input("hour", "INT32"))


@pytest.mark.parametrize(
    ("declared", "signed", "datatype"),
    [
        (Float64, "float", "FP32"),
        (Float32, "float", "FP32"),
        (Float32, "double", "FP64"),
        (Int64, "integer", "INT32"),
        (Int32, "long", "INT32"),
        (Int64, "float", "INT64"),
        (Bool, "long", "BOOL"),
    ],
)
def test_of_two_types_the_narrower_one_is_asked_for(declared: FeastType, signed: str, datatype: str) -> None:
    found = contract({"driver_id": Int64}, {"x": declared}, columns={"rate": "double", "x": signed})
    assert found.request == (Input("x", datatype),)


def test_one_name_with_types_that_do_not_fit_is_refused() -> None:
    with pytest.raises(ModelSignatureError, match="'seats' is Float64 in the feature repo and long in the sig"):
        contract({"driver_id": Int64}, {"seats": Float64})
    with pytest.raises(ModelSignatureError, match="'driver_id' is Int64 in the feature repo and string in the sig"):
        contract({"driver_id": Int64}, columns={"rate": "double", "driver_id": "string"})


@pytest.mark.parametrize(
    ("keys", "tag", "candidate"),
    [
        (["restaurant"], None, "restaurant"),
        (["zone", "driver_id"], None, "driver_id"),
        (["zone", "driver_id"], "zone", "zone"),
    ],
)
def test_what_is_ranked_is_what_the_tag_says_or_the_only_key_or_drivers(
    keys: list[str], tag: str | None, candidate: str
) -> None:
    found = contract(dict.fromkeys(keys, String), candidate_key=tag)
    assert found.candidate.name == candidate
    assert [one.name for one in found.keys] == [key for key in keys if key != candidate]
    assert found.default_outputs == (candidate, "score", f"excluded_{candidate}")


@pytest.mark.parametrize(
    ("keys", "request_data", "tag", "message"),
    [
        ({"a": Int64, "b": Int64}, {}, None, r"no tag 'candidate_key' .*'a', 'b'\. Set the tag to one of them\.$"),
        ({}, {}, None, r"no tag 'candidate_key' .* are none\."),
        ({"a": Int64}, {}, "b", r"^The tag 'candidate_key' of the model 'm' version 7 is 'b', but .* are 'a'\."),
        ({"score": Int64}, {}, None, "'score' can't name what is ranked: answers have another output"),
        (
            {"at": UnixTimestamp},
            {},
            None,
            r"^The join key 'at' is UnixTimestamp in .* must be Bytes, Int32, Int64, Str",
        ),
        (
            {"a": Int64},
            {"at": UnixTimestamp},
            None,
            "^The request feature 'at' is UnixTimestamp .* must be Bool, Bytes",
        ),
        ({"a": Int64}, {"rate": Float64}, None, r"^'rate' is a feature that the feature service 'drivers' offers, and"),
        (
            {"trips": Int64},
            {},
            None,
            "^'trips' is a feature that the feature service 'drivers' offers, and also a join",
        ),
    ],
)
def test_what_no_request_could_mean_is_refused(keys: Any, request_data: Any, tag: str | None, message: str) -> None:
    with pytest.raises(UnservableInputError, match=message):
        contract(keys, request_data, candidate_key=tag)


def test_a_model_that_takes_more_than_a_request_may_have_is_refused() -> None:
    columns = {"rate": "double"} | {f"asked_{place}": "double" for place in range(499)}
    assert len(contract({"driver_id": Int64}, columns=columns).inputs) == 500
    with pytest.raises(
        UnservableInputError, match=r"^The model 'm' version 7 takes 501 inputs of a request.* most 500"
    ):
        contract({"driver_id": Int64, "zone": String}, columns=columns)


def test_a_request_that_was_checked_for_the_same_inputs_means_the_same() -> None:
    ours = RankingContract(Input("a", "INT64"), (Input("b", "INT64"),))
    assert ours.has_inputs_of(RankingContract(Input("a", "INT64"), (Input("b", "INT64"),), (), {"rate": "FP64"}))
    assert not ours.has_inputs_of(RankingContract(Input("b", "INT64"), (Input("a", "INT64"),)))
    assert not ours.has_inputs_of(None)


def test_what_clients_send_is_shown_on_one_line_and_not_at_any_length() -> None:
    assert [shown(one) for one in (7, "a\nb", b"\0", "x" * 61)] == ["7", r"'a\nb'", r"b'\x00'", f"'{'x' * 60}'..."]
    assert listed(np.arange(12)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ..."
