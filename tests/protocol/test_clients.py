"""What other people's clients are told is what plain JSON over REST is told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from protocol.programs import COMMANDS, SCRIPTS
from support.servers import Serving, serving
from support.versions import FEATURES

if TYPE_CHECKING:
    from pathlib import Path

    from protocol.programs import Run, Said

TRITON = [client for client in COMMANDS if client.startswith("tritonclient")]
OVER_GRPC = [client for client in COMMANDS if "grpc" in client]
TRITON_OVER_REST = [client for client in TRITON if client not in OVER_GRPC]
TYPED_AND_RAW = ["kserve.grpc", "compiled.grpc"]  # tritonclient sends raw contents only

DRIVERS = [1001, 1002, 1003, 1004, 1005]
BODIES: dict[str, dict[str, Any]] = {
    "the best": {},
    "a column": {"parameters": {"top_k": 3}},
    "some outputs": {
        "parameters": {"top_k": 2},
        "outputs": [{"name": "excluded_driver_id"}, {"name": "score"}],
        "inputs": [{"name": "driver_id", "datatype": "INT64", "shape": [6], "data": [*DRIVERS, 9]}],
    },
    "by version": {"parameters": {"top_k": 5}},
}
ERRORS = {
    "unknown model": ("404", "NOT_FOUND", "Model nobody not found"),
    "unknown version": ("404", "NOT_FOUND", "Model driver_ranking with version 99 not found"),
    "wrong datatype": (
        "400",
        "INVALID_ARGUMENT",
        "The input 'driver_id' has the datatype 'INT32'; it must be 'INT64'.",
    ),
    "top_k": (
        "400",
        "INVALID_ARGUMENT",
        "The parameter 'top_k' must be a whole number from 1 to the number of ids, here 5.",
    ),
    "no features": (
        "422",
        "FAILED_PRECONDITION",
        "No driver of the request can be ranked: there are no features, or none that are recent enough, for 9.",
    ),
}
EXCEPTIONS = {
    "kserve.rest": "httpx.HTTPStatusError",
    "kserve.grpc": "grpc.aio._call.AioRpcError",
    "compiled.grpc": "grpc._channel._InactiveRpcError",
} | dict.fromkeys(TRITON, "tritonclient.utils.InferenceServerException")


@pytest.fixture(scope="module")
def plain(server: Serving) -> dict[str, Any]:
    """The answers to the clients' requests, as plain JSON has them."""
    usual = {"inputs": [{"name": "driver_id", "datatype": "INT64", "shape": [5], "data": DRIVERS}]}
    answers = {case: httpx.post(server.infer_url, json=usual | body).json() for case, body in BODIES.items()}
    return {case: _without_id(answer) for case, answer in answers.items()}


def _without_id(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "id"}


def test_plain_json_ranks_all_drivers_best_first(plain: dict[str, Any]) -> None:
    drivers, scores, excluded = (output["data"] for output in plain["by version"]["outputs"])
    assert excluded == []
    assert sorted(drivers) == DRIVERS
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("client", COMMANDS)
def test_clients_read_health(client: str, said: Said) -> None:
    told = said(client)
    assert (told["live"], told["ready"], told["model_ready"]) == (True, True, True)


@pytest.mark.parametrize("client", [*TRITON, "compiled.grpc"])
def test_clients_read_what_the_server_is(client: str, said: Said) -> None:
    server = said(client)["server"]
    assert (server["name"], server["extensions"]) == ("driver_ranking", ["binary_tensor_data", "model_repository"])
    assert server["version"]


@pytest.mark.parametrize("client", [*TRITON, "compiled.grpc"])
def test_clients_read_what_the_model_takes_and_gives(client: str, said: Said) -> None:
    model = said(client)["model"]
    assert (model["name"], model["versions"], model["platform"]) == ("driver_ranking", ["1"], "mlflow_pyfunc")
    assert [_tensor(one) for one in model["inputs"]] == [("driver_id", "INT64", [-1])]
    assert [_tensor(one) for one in model["outputs"]] == [
        ("driver_id", "INT64", [-1]),
        ("score", "FP64", [-1]),
        ("excluded_driver_id", "INT64", [-1]),
        ("status", "BYTES", [-1]),
        ("feature_age", "FP64", [-1]),
        *((feature, "FP64", [-1]) for feature in FEATURES),
    ]


def _tensor(described: dict[str, Any]) -> tuple[str, str, list[int]]:
    # JSON made of gRPC's messages has 64-bit numbers as strings
    return described["name"], described["datatype"], list(map(int, described["shape"]))


@pytest.mark.parametrize("client", [client for client in COMMANDS if client != "kserve.rest"])
def test_clients_are_told_the_ranking(client: str, said: Said, plain: dict[str, Any]) -> None:
    assert {case: _without_id(answer) for case, answer in said(client)["answers"].items()} == plain


def test_kserve_over_rest_is_told_the_ranking(said: Said, plain: dict[str, Any]) -> None:
    # this client can't ask for a version, and drops the answer's
    expected = {case: answer | {"model_version": None} for case, answer in plain.items() if case != "by version"}
    answers = said("kserve.rest")["answers"]
    assert {case: _without_id(answer) for case, answer in answers.items()} == expected


@pytest.mark.parametrize("client", TYPED_AND_RAW)
def test_raw_contents_are_answered_like_typed_ones(client: str, said: Said) -> None:
    assert _without_ids(said(client)["raw_answers"]) == _without_ids(said(client)["answers"])


def _without_ids(answers: dict[str, Any]) -> dict[str, Any]:
    """Leave out the ids: where the client names none, the server makes one."""
    return {case: {name: part for name, part in answer.items() if name != "id"} for case, answer in answers.items()}


@pytest.mark.parametrize("client", COMMANDS)
def test_the_id_of_a_request_comes_back(client: str, said: Said) -> None:
    assert said(client)["answers"]["a column"]["id"] == "from a client"


@pytest.mark.parametrize("client", TRITON)
def test_clients_load_the_model_and_list_it(client: str, said: Said) -> None:
    [model] = _models(said(client)["index"])
    assert (model["name"], model["version"], model["state"]) == ("driver_ranking", "1", "READY")


def _models(index: Any) -> list[dict[str, str]]:
    models: list[dict[str, str]] = index["models"] if isinstance(index, dict) else index
    return models


@pytest.mark.parametrize("client", COMMANDS)
def test_clients_raise_their_own_exception_with_our_message(client: str, said: Said) -> None:
    errors = said(client)["errors"]
    assert set(errors) == set(ERRORS) - ({"unknown version"} if client == "kserve.rest" else set())
    for case, error in errors.items():
        http_status, grpc_status, message = ERRORS[case]
        assert error["type"] == EXCEPTIONS[client]
        assert error["status"] == (grpc_status if client in OVER_GRPC else http_status)
        assert error["message"] == message or (client == "kserve.rest" and error["message"].startswith(f"{message}, "))


@pytest.mark.parametrize("client", TRITON_OVER_REST)
@pytest.mark.parametrize("way", ["as it comes", "compressed", "json", "json answers"])
def test_tritonclient_over_rest_is_told_the_ranking_in_any_form(client: str, way: str, said: Said) -> None:
    assert said(client)["ways"][way] == said(client)["answers"]


def test_kserve_over_rest_sends_binary_tensors(said: Said, plain: dict[str, Any]) -> None:
    # it reads no binary answers, and asks for none
    binary = said("kserve.rest")["binary_answer"]
    assert _without_id(binary) == plain["the best"] | {"model_version": None}


def test_clients_take_the_model_out_of_service_and_back(served_project: Path, run: Run) -> None:
    script = str(SCRIPTS / "unloading_with_tritonclient.py")
    with serving(served_project) as own:
        told = json.loads(run("python", script, f"127.0.0.1:{own.http_port}", own.grpc_address).stdout)
    for seen_by, status in (("by_rest", "NOT_FOUND"), ("by_grpc", "404")):
        seen = told[seen_by]
        assert (seen["live"], seen["ready"], seen["ready_again"], seen["best"]) == (True, False, True, 1001)
        assert seen["error"]["status"] == status
        assert seen["error"]["message"].startswith("The model is unloaded. Load it with POST")
        assert [model["state"] for model in _models(seen["index"])] == ["UNAVAILABLE"]
