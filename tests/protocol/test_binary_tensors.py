"""Binary tensors over REST, written by hand: what the protocol's extension says, and what of it is refused."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest

if TYPE_CHECKING:
    from support.servers import Serving

LENGTH = "Inference-Header-Content-Length"
DRIVERS = [1001, 1002, 9001]
PACKED = np.array(DRIVERS, "<i8").tobytes()
PATHS = ["/v2/models/driver_ranking/infer", "/v2/models/driver_ranking/versions/1/infer"]


def request(*, binary: bool = True, **more: Any) -> dict[str, Any]:
    values = {"parameters": {"binary_data_size": len(PACKED)}} if binary else {"data": DRIVERS}
    return {"inputs": [{"name": "driver_id", "datatype": "INT64", "shape": [3], **values}], **more}


def post(
    server: Serving, content: dict[str, Any], packed: bytes = PACKED, path: str = PATHS[0], **headers: str
) -> httpx.Response:
    head = json.dumps(content).encode()
    sent = {LENGTH: str(len(head))} | {name.replace("_", "-"): value for name, value in headers.items()}
    body = head + packed
    if sent.get("Content-Encoding") == "gzip":
        body = gzip.compress(body)
    return httpx.post(server.url + path, content=body, headers=sent)


def outputs(answer: httpx.Response) -> dict[str, Any]:
    """Return the values of an answer by the outputs' names, from both of its parts."""
    assert answer.status_code == httpx.codes.OK, answer.text
    length = int(answer.headers.get(LENGTH, len(answer.content)))
    content, rest = json.loads(answer.content[:length]), answer.content[length:]
    values = {}
    for output in content["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        assert (size is None) == ("data" in output)
        part, rest = rest[: size or 0], rest[size or 0 :]
        dtype = {"INT64": "<i8", "FP64": "<f8"}[output["datatype"]]
        values[output["name"]] = output["data"] if size is None else np.frombuffer(part, dtype).tolist()
        assert output["shape"] == [len(values[output["name"]])]
    assert rest == b""
    return values


@pytest.fixture(scope="module")
def plain(server: Serving) -> dict[str, Any]:
    """The values of an answer in JSON."""
    answer = httpx.post(server.infer_url, json=request(binary=False, parameters={"top_k": 2}))
    assert answer.headers["content-type"] == "application/json"
    assert LENGTH not in answer.headers
    return outputs(answer)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_binary_input_and_outputs(server: Serving, plain: dict[str, Any], path: str, encoding: str) -> None:
    content = request(parameters={"top_k": 2, "binary_data_output": True})
    answer = post(server, content, path=path, Content_Encoding=encoding)
    assert outputs(answer) == plain
    assert plain["excluded_driver_id"] == [9001]
    assert answer.headers["content-type"] == "application/octet-stream"
    assert int(answer.headers[LENGTH]) < len(answer.content)


def test_binary_input_is_answered_in_json_unless_it_is_asked_for(server: Serving, plain: dict[str, Any]) -> None:
    answer = post(server, request(parameters={"top_k": 2}))
    assert answer.headers["content-type"] == "application/json"
    assert outputs(answer) == plain


def test_each_output_has_the_form_that_is_asked_for(server: Serving, plain: dict[str, Any]) -> None:
    wanted = [{"name": "score", "parameters": {"binary_data": False}}, {"name": "driver_id"}]
    content = request(binary=False, parameters={"top_k": 2, "binary_data_output": True}, outputs=wanted)
    answer = httpx.post(server.infer_url, json=content)
    head = json.loads(answer.content[: int(answer.headers[LENGTH])])
    assert [("data" in output, output["name"]) for output in head["outputs"]] == [(True, "score"), (False, "driver_id")]
    assert outputs(answer) == {name: plain[name] for name in ("score", "driver_id")}


def test_json_with_a_right_length_is_json(server: Serving, plain: dict[str, Any]) -> None:
    assert outputs(post(server, request(binary=False, parameters={"top_k": 2}), b"")) == plain


def test_a_large_binary_answer_is_compressed_for_who_takes_it(server: Serving) -> None:
    head = request(parameters={"binary_data_output": True})
    ids = np.array([1001, *range(100_000, 101_000)], "<i8").tobytes()
    head["inputs"][0] |= {"shape": [1001], "parameters": {"binary_data_size": len(ids)}}
    answer = post(server, head, ids, Accept_Encoding="gzip")
    assert answer.headers["content-encoding"] == "gzip"
    assert len(outputs(answer)["excluded_driver_id"]) == 1000


@pytest.mark.parametrize("length", ["-1", "x", "", "1e3", "1_0", "99999999999", "9" * 5_000, "٣"])
def test_a_wrong_length_is_refused(server: Serving, length: str) -> None:
    body = json.dumps(request(binary=False))
    answer = httpx.post(server.infer_url, content=body, headers=[(LENGTH.encode(), length.encode())])
    assert answer.status_code == httpx.codes.BAD_REQUEST
    assert "within the body" in answer.json()["error"]


REFUSED: dict[str, tuple[dict[str, Any], bytes, str]] = {
    "bytes that no input names": (request(binary=False), PACKED, "24 bytes of binary data; no input"),
    "fewer bytes than named": (request(), PACKED[:16], "number of bytes after the JSON, here 16"),
    "more bytes than named": (request(), PACKED + PACKED, "number of bytes after the JSON, here 48"),
    "half a number": (
        {"inputs": [request()["inputs"][0] | {"parameters": {"binary_data_size": 4}}]},
        PACKED[:4],
        "INT64 takes 8",
    ),
    "no bytes": (request(), b"", "number of bytes after the JSON, here 0"),
    "a size of another type": (
        {"inputs": [request()["inputs"][0] | {"parameters": {"binary_data_size": "24"}}]},
        PACKED,
        "must be the number",
    ),
    "values in both parts": (
        {"inputs": [request()["inputs"][0] | {"data": DRIVERS}]},
        PACKED,
        "both data and the parameter 'binary_data_size'",
    ),
    "another datatype": ({"inputs": [request()["inputs"][0] | {"datatype": "FP64"}]}, PACKED, "must be 'INT64'"),
    "another shape": ({"inputs": [request()["inputs"][0] | {"shape": [2]}]}, PACKED, r"the shape [2], but 3 values"),
    "no inputs": ({"inputs": []}, PACKED, "no input that it belongs to"),
    "a form that is no boolean": (request(parameters={"binary_data_output": 1}), PACKED, "must be true or false"),
    "an output's form that is none": (
        request(outputs=[{"name": "score", "parameters": {"binary_data": "yes"}}]),
        PACKED,
        "must be true or false",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused(server: Serving, case: str) -> None:
    content, packed, message = REFUSED[case]
    answer = post(server, content, packed)
    assert answer.status_code == httpx.codes.BAD_REQUEST, answer.text
    assert message in answer.json()["error"]


def test_binary_tensors_are_advertised(server: Serving) -> None:
    assert "binary_tensor_data" in httpx.get(f"{server.url}/v2").json()["extensions"]
