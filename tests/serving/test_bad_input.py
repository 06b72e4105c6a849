"""What can't be answered is refused with a status of its own and a message that helps; the next request is served."""

from __future__ import annotations

import gzip
import json
import re
from typing import TYPE_CHECKING, Any

import grpc
import httpx
import pytest
from mlserver.grpc import dataplane_pb2 as pb
from mlserver.grpc.dataplane_pb2_grpc import GRPCInferenceServiceStub

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.servers import Serving

JSON = {"Content-Type": "application/json"}
LARGEST = 2**63 - 1


def tensor(data: Any, shape: Any = None, **more: Any) -> dict[str, Any]:
    return {"name": "driver_id", "shape": shape or [len(data)], "datatype": "INT64", "data": data} | more


def v2(*inputs: Any, **more: Any) -> dict[str, Any]:
    return {"inputs": list(inputs)} | more


GOOD = v2(tensor([1001, 1002]))


@pytest.fixture(autouse=True)
def _goes_on_serving(server: Serving) -> Iterator[None]:
    yield
    assert httpx.post(server.infer_url, json=GOOD).status_code == httpx.codes.OK


def refused(answer: httpx.Response) -> str:
    """Return the message of a refusal, which says nothing of the program."""
    body = answer.json()
    assert set(body) <= {"error", "prediction"}
    message = str(body["error"])
    said = message.replace("application/json", "")
    assert not any(word in said for word in ("Traceback", "File ", "/", "Error:", "driver_ranking.", "mlserver"))
    return message


BODIES: dict[str, tuple[Any, int, str]] = {
    "a string as id": (v2(tensor(["1001"])), 400, r"driver_id\[0\] is a string; ids are whole numbers"),
    "a float as id": (v2(tensor([1001, 1001.5])), 400, r"driver_id\[1\] is not a whole number"),
    "a whole float as id": (v2(tensor([1001.0])), 400, r"driver_id\[0\] is not a whole number"),
    "a boolean as id": (v2(tensor([True])), 400, r"driver_id\[0\] is a boolean"),
    "null as id": (v2(tensor([1001, None])), 400, r"driver_id\[1\] is null"),
    "an object as id": (v2(tensor([{}])), 400, r"driver_id\[0\] is not a number"),
    "an id above 64 bits": (v2(tensor([LARGEST + 1])), 400, r"driver_id\[0\] does not fit into 64 bits"),
    "an id below 64 bits": (v2(tensor([1001, -(2**63) - 1])), 400, r"driver_id\[1\] does not fit into 64 bits"),
    "an id of a hundred digits": (v2(tensor([10**100])), 400, r"does not fit into 64 bits"),
    "data that is a number": (v2(tensor(1001, [1])), 400, "must be a list of ids"),
    "data that is null": (v2(tensor(None, [1])), 400, "must be a list of ids"),
    "data that is missing": (v2({"name": "driver_id", "shape": [1], "datatype": "INT64"}), 400, "inputs.0.data"),
    "no ids": (v2(tensor([], [0])), 400, "no driver ids"),
    "a shape of no dimensions": (v2(tensor([1001]) | {"shape": []}), 400, r"the shape \[\]; it must be \[n\] or"),
    "a negative shape": (v2(tensor([1001], [-1])), 400, r"the shape \[-1\]"),
    "a shape that is too large": (v2(tensor([1001], [2])), 400, r"the shape \[2\], but 1 values"),
    "a shape that is too small": (v2(tensor([1001, 1002], [1])), 400, r"the shape \[1\], but 2 values"),
    "two columns": (v2(tensor([1, 2, 3, 4], [2, 2])), 400, r"the shape \[2, 2\]"),
    "three dimensions": (v2(tensor([1001], [1, 1, 1])), 400, r"the shape \[1, 1, 1\]"),
    "a shape of text": (v2(tensor([1001], ["1"])), 400, r"inputs.0.shape.0: .*valid integer"),
    "a shape of fractions": (v2(tensor([1001], [1.5])), 400, r"inputs.0.shape.0"),
    "a huge shape": (v2(tensor([1001], [10**18])), 400, "but 1 values"),
    "ids nested one by one under [n]": (v2(tensor([[1001], [1002]], [2])), 400, r"driver_id\[0\] is not a number"),
    "ids nested too deep": (v2(tensor([[[1001]]], [1, 1])), 400, r"driver_id\[0\] is not a number"),
    "ids nested unevenly": (v2(tensor([[1001], [1002, 1003]], [2, 1])), 400, r"driver_id\[0\] is not a number"),
    "another datatype": (v2(tensor([1001], datatype="INT32")), 400, "the datatype 'INT32'; it must be 'INT64'"),
    "a datatype that there is not": (v2(tensor([1001], datatype="INT65")), 400, "inputs.0.datatype"),
    "no inputs": (v2(), 400, "must have the one input 'driver_id'; it has none"),
    "inputs missing": ({}, 400, "inputs: Field required"),
    "inputs of another type": ({"inputs": {}}, 400, "inputs: .*valid array"),
    "another input": (v2(tensor([1001], name="driver")), 400, "one input 'driver_id'; it has 'driver'"),
    "an input more": (v2(tensor([1001]), tensor([1], name="x")), 400, "it has 'driver_id', 'x'"),
    "an input twice": (v2(tensor([1001]), tensor([1001])), 400, "it has 'driver_id', 'driver_id'"),
    "an output that there is not": (v2(tensor([1001]), outputs=[{"name": "x"}]), 400, "no output 'x'; there are"),
    "an output without a name": (v2(tensor([1001]), outputs=[{}]), 400, "outputs.0.name: Field required"),
    "an id that is a number": (v2(tensor([1001]), id=7), 400, "id: .*valid string"),
    "parameters of another type": (v2(tensor([1001]), parameters=[1]), 400, "parameters"),
    "a list": ([], 400, "the body: .*object"),
    "null": (None, 400, "the body: .*object"),
    "only drivers without features": (v2(tensor([9001, 9002])), 422, "No driver .* for 9001, 9002"),
    "only drivers without features, many": (v2(tensor(list(range(9001, 9031)))), 422, r"9010, \.\.\.\."),
    "too many ids": (v2(tensor(list(range(10_001)))), 413, "10001 driver ids; at most 10000"),
    **{
        f"top_k {value!r}": (v2(tensor([1001, 1002]), parameters={"top_k": value}), 400, "from 1 to .*, here 2")
        for value in (0, -1, 3, 10**30, "x", "1", 1.0, 1.5, True, None, [1])
    },
}


@pytest.mark.parametrize("case", BODIES)
def test_a_body_that_can_not_be_answered(server: Serving, case: str) -> None:
    body, status, message = BODIES[case]
    answer = httpx.post(server.infer_url, content=json.dumps(body), headers=JSON)
    assert answer.status_code == status
    refusal = refused(answer)
    assert re.search(message, refusal), refusal


RAW: dict[str, tuple[bytes, dict[str, str], int, str]] = {
    "nothing": (b"", JSON, 400, "not JSON"),
    "broken JSON": (b'{"inputs": [', JSON, 400, "not JSON: EOF"),
    "not UTF-8": (b'{"id": "\xff"}', JSON, 400, "not JSON"),
    "a constant that JSON has not": (b'{"inputs": [NaN]}', JSON, 400, "inputs.0"),
    "nested too deep": (b"[" * 100_000, JSON, 400, "not JSON"),
    "text": (json.dumps(GOOD).encode(), {"Content-Type": "text/plain"}, 415, "must be JSON"),
    "a form": (b"a=1", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "must be JSON"),
    "an encoding that is not known": (b"{}", JSON | {"Content-Encoding": "br"}, 415, "plain or with gzip"),
    "no gzip": (b"{}", JSON | {"Content-Encoding": "gzip"}, 400, "not gzip"),
    "half a gzip": (
        gzip.compress(json.dumps(GOOD).encode())[:-10],
        JSON | {"Content-Encoding": "gzip"},
        400,
        "ends too early",
    ),
    "a gzip that is large inside": (
        gzip.compress(b" " * 50_000_000),
        JSON | {"Content-Encoding": "gzip"},
        413,
        "larger than 4194304 bytes",
    ),
    "50 MB": (b" " * 50_000_000, JSON, 413, "larger than 4194304 bytes"),
    "a million ids": (json.dumps(v2(tensor(list(range(1_000_000))))).encode(), JSON, 413, "larger than"),
}


@pytest.mark.parametrize("path", ["/v2/models/driver_ranking/infer", "/inference"])
@pytest.mark.parametrize("case", RAW)
def test_a_body_that_can_not_be_read(server: Serving, case: str, path: str) -> None:
    content, headers, status, message = RAW[case]
    message = (
        "driver_ids: Field required" if path == "/inference" and case == "a constant that JSON has not" else message
    )
    answer = httpx.post(server.url + path, content=content, headers=headers, timeout=30)
    assert answer.status_code == status, answer.text
    assert message in refused(answer)


def test_a_large_body_of_unknown_length_is_refused(server: Serving) -> None:
    answer = httpx.post(server.infer_url, content=(b" " * 1_000_000 for _ in range(20)), timeout=30)
    assert answer.status_code == 413
    assert "larger than" in refused(answer)


def test_gzip_is_taken_by_every_path(server: Serving) -> None:
    headers = JSON | {"Content-Encoding": "gzip"}
    v2_answer = httpx.post(server.infer_url, content=gzip.compress(json.dumps(GOOD).encode()), headers=headers)
    plain = gzip.compress(b'{"driver_ids": [1001, 1002]}')
    assert v2_answer.json()["outputs"][0]["data"] == [1001]
    assert httpx.post(f"{server.url}/inference", content=plain, headers=headers).json()["prediction"] == 1001


PLAIN: dict[str, tuple[Any, int, str]] = {
    "no ids": ({"driver_ids": []}, 400, "no driver ids"),
    "ids missing": ({}, 400, "driver_ids: Field required"),
    "ids of another type": ({"driver_ids": "1001"}, 400, "driver_ids: .*array"),
    "a string as id": ({"driver_ids": [1001, "x"]}, 400, r"driver_ids\[1\] is a string"),
    "a boolean as id": ({"driver_ids": [True]}, 400, r"driver_ids\[0\] is a boolean"),
    "an id above 64 bits": ({"driver_ids": [LARGEST + 1]}, 400, "64 bits"),
    "too many ids": ({"driver_ids": list(range(10_001))}, 413, "at most 10000"),
    "no features": ({"driver_ids": [9001]}, 422, "No driver .* 9001"),
    "a request_id that is a number": ({"request_id": 7, "driver_ids": [1001]}, 400, "request_id: .*string"),
    "a request_id that would forge a header": ({"request_id": "a\r\nb: c", "driver_ids": [1001]}, 400, "printable"),
    "a request_id that is too long": ({"request_id": "a" * 129, "driver_ids": [1001]}, 400, "128 printable"),
}


@pytest.mark.parametrize("case", PLAIN)
def test_a_plain_request_that_can_not_be_answered(server: Serving, case: str) -> None:
    body, status, message = PLAIN[case]
    answer = httpx.post(f"{server.url}/inference", json=body)
    assert answer.status_code == status
    assert answer.json()["prediction"] is None
    assert re.search(message, refused(answer)), answer.text


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("POST", "/v2/models/other/infer", 404, "Model other not found"),
        ("POST", "/v2/models/driver_ranking/versions/99/infer", 404, "version 99 not found"),
        ("GET", "/v2/models/other", 404, "Model other not found"),
        ("GET", "/v2/models/other/ready", 404, "Model other not found"),
        ("GET", "/v2/models/driver_ranking/versions/99", 404, "version 99 not found"),
        ("GET", "/v2/models/driver_ranking/versions/99/ready", 404, "version 99 not found"),
        ("GET", "/v2/models/other/docs/dataplane.json", 404, "Model other not found"),
        ("GET", "/v2/models/driver_ranking/infer", 405, "Method Not Allowed"),
        ("POST", "/v2/models/driver_ranking/infer_stream", 404, "Not Found"),
        ("POST", "/v2/repository/models/other/load", 404, "Model other not found"),
        ("POST", "/v2/repository/models/other/unload", 404, "Model other not found"),
        ("POST", "/invocations", 404, "Not Found"),
        ("GET", "/nothing", 404, "Not Found"),
    ],
)
def test_what_is_not_there(server: Serving, method: str, path: str, status: int, message: str) -> None:
    answer = httpx.request(method, server.url + path, json=GOOD if method == "POST" else None)
    assert answer.status_code == status
    assert message in refused(answer)


def test_the_labels_of_metrics_are_not_what_clients_make_up(server: Serving) -> None:
    httpx.post(f"{server.url}/v2/models/made-up/infer", json=GOOD)
    httpx.post(f"{server.url}/v2/models/driver_ranking/versions/made-up/infer", json=GOOD)
    assert "made-up" not in server.metrics()


# --- gRPC -------------------------------------------------------------------------------------------------------------


def call(server: Serving, request: pb.ModelInferRequest) -> pb.ModelInferResponse:
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(server.grpc_address, options=options) as channel:
        return GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=20)


def grpc_request(
    data: list[int] | None = None,
    shape: list[int] | None = None,
    *,
    raw: list[bytes] | None = None,
    contents: dict[str, Any] | None = None,
    **more: Any,
) -> pb.ModelInferRequest:
    tensor = {"name": "driver_id", "datatype": "INT64", "shape": shape or [len(data or [1])]} | more.pop("tensor", {})
    request = pb.ModelInferRequest(model_name="driver_ranking", **more)
    held = contents if contents is not None else {"int64_contents": data or []}
    request.inputs.append(pb.ModelInferRequest.InferInputTensor(**tensor, contents=pb.InferTensorContents(**held)))
    request.raw_input_contents.extend(raw or [])
    return request


def top_k(**value: Any) -> dict[str, Any]:
    return {"parameters": {"top_k": pb.InferParameter(**value)}}


EIGHT = (1001).to_bytes(8, "little")
INVALID, MISSING = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
CALLS: dict[str, tuple[pb.ModelInferRequest, grpc.StatusCode, str]] = {
    "floats": (grpc_request(contents={"fp64_contents": [1001.0]}), INVALID, r"driver_id\[0\] is not a whole number"),
    "booleans": (grpc_request(contents={"bool_contents": [True]}), INVALID, r"driver_id\[0\] is a boolean"),
    "bytes": (grpc_request(contents={"bytes_contents": [b"1001"]}), INVALID, r"driver_id\[0\] is a string"),
    "no contents": (grpc_request([], [1]), INVALID, r"the shape \[1\], but 0 values"),
    "no ids": (grpc_request([], [0]), INVALID, "no driver ids"),
    "a negative shape": (grpc_request([1001], [-1]), INVALID, r"the shape \[-1\]"),
    "a shape that does not fit": (grpc_request([1001], [2]), INVALID, r"the shape \[2\], but 1 values"),
    "two columns": (grpc_request([1, 2, 3, 4], [2, 2]), INVALID, r"the shape \[2, 2\]"),
    "raw contents too short": (grpc_request(shape=[2], raw=[EIGHT]), INVALID, "contents must fit"),
    "raw contents too long": (grpc_request(shape=[1], raw=[EIGHT * 2]), INVALID, "contents must fit"),
    "raw contents of half a number": (grpc_request(shape=[1], raw=[EIGHT[:4]]), INVALID, "contents must fit"),
    "raw contents more than inputs": (grpc_request(shape=[1], raw=[EIGHT, EIGHT]), INVALID, "contents must fit"),
    "raw contents of a negative shape": (grpc_request(shape=[-1], raw=[EIGHT]), INVALID, "contents must fit"),
    "raw contents of a huge shape": (grpc_request(shape=[2**62, 4], raw=[EIGHT]), INVALID, "contents must fit"),
    "another datatype": (grpc_request([1001], tensor={"datatype": "FP64"}), INVALID, "'FP64'; it must be 'INT64'"),
    "a datatype that there is not": (grpc_request([1001], tensor={"datatype": "x"}), INVALID, "datatype 'x'"),
    "another input": (grpc_request([1001], tensor={"name": "driver"}), INVALID, "it has 'driver'"),
    "no inputs": (pb.ModelInferRequest(model_name="driver_ranking"), INVALID, "it has none"),
    "an output that there is not": (
        grpc_request([1001], outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name="x")]),
        INVALID,
        "no output 'x'",
    ),
    "top_k 0": (grpc_request([1001], **top_k(int64_param=0)), INVALID, "from 1 to"),
    "top_k above the ids": (grpc_request([1001], **top_k(int64_param=2)), INVALID, "here 1"),
    "top_k as text": (grpc_request([1001], **top_k(string_param="1")), INVALID, "from 1 to"),
    "top_k as a boolean": (grpc_request([1001], **top_k(bool_param=True)), INVALID, "from 1 to"),
    "too many ids": (grpc_request(list(range(10_001))), INVALID, "at most 10000"),
    "a million ids": (grpc_request(list(range(2_000_000))), grpc.StatusCode.RESOURCE_EXHAUSTED, "larger than max"),
    "no features": (grpc_request([9001]), grpc.StatusCode.FAILED_PRECONDITION, "No driver .* 9001"),
    "another model": (pb.ModelInferRequest(model_name="other"), MISSING, "Model other not found"),
    "another version": (grpc_request([1001], model_version="99"), MISSING, "version 99 not found"),
}


@pytest.mark.parametrize("case", CALLS)
def test_a_call_that_can_not_be_answered(server: Serving, case: str) -> None:
    request, code, message = CALLS[case]
    with pytest.raises(grpc.RpcError, match=message) as refusal:
        call(server, request)
    assert refusal.value.code() == code
    assert "Exception" not in refusal.value.details()
    assert list(call(server, grpc_request([1001])).outputs[0].contents.int64_contents) == [1001]


def test_health_and_metadata_of_what_is_not_there(server: Serving) -> None:
    with grpc.insecure_channel(server.grpc_address) as channel:
        stub = GRPCInferenceServiceStub(channel)
        for ask in (
            lambda: stub.ModelReady(pb.ModelReadyRequest(name="other"), timeout=5),
            lambda: stub.ModelMetadata(pb.ModelMetadataRequest(name="driver_ranking", version="99"), timeout=5),
            lambda: stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="other"), timeout=5),
            lambda: stub.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name="other"), timeout=5),
        ):
            with pytest.raises(grpc.RpcError, match="not found") as refusal:
                ask()  # type: ignore[no-untyped-call] # gRPC is not typed
            assert refusal.value.code() == MISSING
