"""Commands that speak the protocol: MLServer's own batch client, and curl."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from support.servers import BIN, Serving, environment

if TYPE_CHECKING:
    from pathlib import Path

NO_FEATURES = "No driver of the request can be ranked: there are no features, or none that are recent enough, for 9."
AS_JSON = ["--header", "Content-Type: application/json"]
NOT_JSON = "The body must be JSON, with the header Content-Type: application/json."


def _request(name: str, ids: list[int], outputs: tuple[str, ...] = ()) -> str:
    tensor = {"name": "driver_id", "datatype": "INT64", "shape": [len(ids)], "data": ids}
    wanted = {"outputs": [{"name": output} for output in outputs]} if outputs else {}
    return json.dumps({"id": name, "inputs": [tensor], **wanted})


def _inferred(server: Serving, folder: Path, requests: list[str]) -> list[dict[str, Any]]:
    """Return the lines that `mlserver infer` writes, in the order of the requests."""
    asked, answered = folder / "requests.jsonl", folder / "answers.jsonl"
    asked.write_text("\n".join(requests), encoding="utf-8")
    address = ["--url", f"127.0.0.1:{server.http_port}", "--model-name", "driver_ranking", "--retries", "1"]
    files = ["--input-data-path", str(asked), "--output-data-path", str(answered)]
    command = [str(BIN / "mlserver"), "infer", *address, *files]
    ended = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    lines = [json.loads(line) for line in answered.read_text(encoding="utf-8").splitlines()]
    return sorted(lines, key=lambda line: line["parameters"]["batch_index"])


def test_mlserver_infer_writes_an_answer_for_each_request(server: Serving, tmp_path: Path) -> None:
    requests = [
        _request("first", [1001, 1002, 1003, 1004, 1005]),
        _request("second", [1002, 1003], ("driver_id",)),
        _request("third", [9, 1001], ("excluded_driver_id", "driver_id")),
    ]
    answers = _inferred(server, tmp_path, requests)
    assert [(answer["id"], answer["model_version"]) for answer in answers] == [
        ("first", "1"),
        ("second", "1"),
        ("third", "1"),
    ]
    # it drops the request's parameters, so there is no top_k, and writes shapes of its own
    first, second, third = ({one["name"]: one["data"] for one in answer["outputs"]} for answer in answers)
    assert first["driver_id"] == [1001]
    assert len(first["score"]) == 1
    assert second == {"driver_id": [1003]}
    assert third == {"excluded_driver_id": [9], "driver_id": [1001]}


def test_mlserver_infer_writes_why_a_request_was_refused_and_goes_on(server: Serving, tmp_path: Path) -> None:
    refused, answered = _inferred(server, tmp_path, [_request("first", [9]), _request("second", [1001])])
    assert refused["error"]["msg"] == NO_FEATURES
    assert answered["outputs"][0]["data"] == [1001]


def _curl(*arguments: str, expected: int = 0) -> str:
    program = shutil.which("curl")
    if program is None:
        pytest.fail("there is no curl")
    command = [program, "--silent", "--show-error", "--noproxy", "*", "--max-time", "30", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == expected, ended.stderr
    return ended.stdout


def _posted(address: str, body: str, *options: str, expected: int = 0) -> Any:
    return json.loads(_curl(*AS_JSON, "--data", body, *options, address, expected=expected))


def test_curl_reads_health(server: Serving) -> None:
    assert json.loads(_curl(f"{server.url}/v2/health/live")) == {"live": True}
    assert json.loads(_curl(f"{server.url}/v2/health/ready")) == {"ready": True}
    ready = json.loads(_curl(f"{server.url}/v2/models/driver_ranking/ready"))
    assert ready == {"name": "driver_ranking", "ready": True}


def test_curl_reads_metadata(server: Serving) -> None:
    assert json.loads(_curl(f"{server.url}/v2"))["name"] == "driver_ranking"
    assert json.loads(_curl(f"{server.url}/v2/models/driver_ranking"))["versions"] == ["1"]


def test_curl_asks_for_a_ranking(server: Serving) -> None:
    answer = _posted(server.infer_url, _request("from curl", [1001, 1003]))
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("from curl", "driver_ranking", "1")
    assert [(output["name"], output["shape"]) for output in answer["outputs"]] == [
        ("driver_id", [1]),
        ("score", [1]),
        ("excluded_driver_id", [0]),
    ]


def test_curl_asks_the_plain_endpoint(server: Serving) -> None:
    body = '{"request_id": "uuid-1", "driver_ids": [1001, 1002, 1003, 1004, 1005]}'
    assert _posted(f"{server.url}/inference", body) == {"prediction": 1001, "error": None}
    with_headers = _curl("--include", *AS_JSON, "--data", body, f"{server.url}/inference")
    assert "x-request-id: uuid-1" in with_headers.lower()


def test_curl_lists_and_loads_models(server: Serving) -> None:
    _curl("--fail", "--request", "POST", f"{server.url}/v2/repository/models/driver_ranking/load")
    index = json.loads(_curl("--request", "POST", f"{server.url}/v2/repository/index"))
    assert index == [{"name": "driver_ranking", "version": "1", "state": "READY", "reason": ""}]


def test_curl_fails_with_our_message(server: Serving) -> None:
    failed = 22  # of curl's exit codes, that of a status of 400 or more
    refused = _posted(server.infer_url, _request("x", [9]), "--fail-with-body", expected=failed)
    assert refused == {"error": NO_FEATURES}
    unknown = _posted(f"{server.url}/v2/models/nobody/infer", "{}", "--fail-with-body", expected=failed)
    assert "error" in unknown


def test_curl_without_a_content_type_is_told_which_one(server: Serving) -> None:
    # without one, curl says that it sends a form
    assert json.loads(_curl("--data", _request("x", [1001]), server.infer_url)) == {"error": NOT_JSON}
