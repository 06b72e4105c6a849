"""A request's id comes back as it was given, and the outputs are those that the protocol says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import grpc
import httpx
import pytest
from mlserver.grpc import dataplane_pb2 as pb
from mlserver.grpc.dataplane_pb2_grpc import GRPCInferenceServiceStub

if TYPE_CHECKING:
    from support.servers import Serving

ALL = ["driver_id", "score", "excluded_driver_id"]


def ask(server: Serving, **more: Any) -> httpx.Response:
    tensor = {"name": "driver_id", "shape": [2], "datatype": "INT64", "data": [1001, 9001]}
    return httpx.post(server.infer_url, content=json.dumps({"inputs": [tensor], **more}))


def call(server: Serving, request_id: str = "", outputs: tuple[str, ...] = ()) -> tuple[pb.ModelInferResponse, Any]:
    request = pb.ModelInferRequest(model_name="driver_ranking", id=request_id)
    request.inputs.add(name="driver_id", datatype="INT64", shape=[1]).contents.int64_contents.append(1001)
    for name in outputs:
        request.outputs.add(name=name)
    with grpc.insecure_channel(server.grpc_address) as channel:
        answer, ended = GRPCInferenceServiceStub(channel).ModelInfer.with_call(request, timeout=10)
        return answer, dict(ended.trailing_metadata())


@pytest.mark.parametrize("given", ["a", "", "a" * 256, "é☃", "a\r\nX-Forged: 1"])
def test_an_id_comes_back_as_it_was_given(server: Serving, given: str) -> None:
    answer = ask(server, id=given)
    assert answer.json()["id"] == given
    assert call(server, given)[0].id == given


@pytest.mark.parametrize("none", [{}, {"id": None}])
def test_an_answer_has_no_id_if_its_request_has_none(server: Serving, none: dict[str, None]) -> None:
    answer = ask(server, **none)
    assert "id" not in answer.json()
    assert "ce-id" not in answer.headers
    assert call(server)[0].id == ""


@pytest.mark.parametrize("given", ["é☃", "a\r\nX-Forged: 1", "a\0b"])
def test_what_would_end_a_header_is_in_none(server: Serving, given: str) -> None:
    answer = ask(server, id=given)
    assert "ce-id" not in answer.headers
    assert "x-forged" not in answer.headers
    assert "ce-id" not in call(server, given)[1]
    assert ask(server, id="plain").headers["ce-id"] == call(server, "plain")[1]["ce-id"] == "plain"


@pytest.mark.parametrize("length", [257, 1_000_000])
def test_a_long_id_is_refused(server: Serving, length: int) -> None:
    answer = ask(server, id="a" * length)
    assert answer.status_code == httpx.codes.BAD_REQUEST
    message = f"The id has {length} characters; it may have at most 256."
    assert answer.json()["error"] == message
    with pytest.raises(grpc.RpcError) as refusal:
        call(server, "a" * length)
    assert (refusal.value.code(), refusal.value.details()) == (grpc.StatusCode.INVALID_ARGUMENT, message)


@pytest.mark.parametrize("none", [{}, {"outputs": None}, {"outputs": []}])
def test_outputs_that_are_left_out_are_all(server: Serving, none: dict[str, Any]) -> None:
    assert [output["name"] for output in ask(server, **none).json()["outputs"]] == ALL
    assert [output.name for output in call(server)[0].outputs] == ALL


def test_an_output_that_is_named_twice_is_given_once(server: Serving) -> None:
    wanted = [{"name": "score"}, {"name": "driver_id"}, {"name": "score"}]
    assert [output["name"] for output in ask(server, outputs=wanted).json()["outputs"]] == ["score", "driver_id"]
    answer, _ = call(server, outputs=("score", "driver_id", "score"))
    assert [output.name for output in answer.outputs] == ["score", "driver_id"]
