"""A server tells any client of a feature repo that was not written for this project what batch says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from protocol.programs import SCRIPTS
from support.foreign_repos import FOREIGN
from support.parity import assert_same, expected_ranking, explained
from support.projects import run_pipeline
from support.registries import registry_forgotten
from support.servers import Serving, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from protocol.programs import Run
    from support.foreign_repos.project import ForeignRun, MakeForeign
    from support.queries import Query

    from driver_ranking.serving.contract import RankingContract

    Served = tuple[ForeignRun, Serving]

pytestmark = pytest.mark.filterwarnings("ignore:.*experimental feature")


@pytest.fixture(scope="module", params=FOREIGN)
def served(request: pytest.FixtureRequest, foreign: MakeForeign) -> Iterator[Served]:
    """A server of each foreign project."""
    made = foreign(request.param)
    with registry_forgotten():
        run_pipeline(made.project.folder, "materialize", made.project.interval)
    with serving(made.project.folder) as server:
        yield made, server


def body(query: Query, contract: RankingContract) -> dict[str, Any]:
    """Return a request that asks for all outputs; what is missing of all candidates is left out, where it may be."""
    columns = {contract.candidate.name: query.candidates, **query.keys, **query.request}
    inputs = [
        {"name": name, "datatype": contract.inputs[name].datatype, "shape": [len(values)], "data": values}
        for name, values in columns.items()
        if values != [None] or name not in contract.optional
    ]
    outputs = [*contract.default_outputs, "status", *contract.features]
    parameters = {"top_k": len(query.candidates)}
    return {"inputs": inputs, "outputs": [{"name": name} for name in outputs], "parameters": parameters}


def has_holes(query: Query, contract: RankingContract) -> bool:
    """Return whether values are missing that tensors can't leave out: of numbers, NaN is none."""
    return any(
        None in values
        and not (values == [None] and name in contract.optional)
        and not contract.inputs[name].datatype.startswith("FP")
        for name, values in query.request.items()
    )


def told(client: str, server: Serving, run: Run, requests: list[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """Return how a client describes the model, and what it is told."""
    if client == "json":
        described = httpx.get(f"{server.url}/v2/models/driver_ranking").json()
        return {"model": described, "answers": [_told_in_json(server, request) for request in requests]}
    path, address = folder / "requests.json", {"http": f"127.0.0.1:{server.http_port}", "grpc": server.grpc_address}
    path.write_text(json.dumps(requests), encoding="utf-8")
    asked: dict[str, Any] = json.loads(
        run("python", str(SCRIPTS / "ranking_with_tritonclient.py"), client, address[client], str(path)).stdout
    )
    return asked


def _told_in_json(server: Serving, request: dict[str, Any]) -> dict[str, Any]:
    answer = httpx.post(server.infer_url, json=request).json()
    return (
        {"message": answer["error"]} if "error" in answer else {one["name"]: one["data"] for one in answer["outputs"]}
    )


@pytest.mark.parametrize("client", ["json", "http", "grpc"])
def test_clients_are_told_what_batch_says(client: str, served: Served, run: Run, tmp_path: Path) -> None:
    made, server = served
    contract = made.project.contract
    pairs = [
        (query, rows)
        for query, rows in zip(made.project.queries, made.batch, strict=True)
        if client == "json" or not has_holes(query, contract)
    ]
    said = told(client, server, run, [body(query, contract) for query, _ in pairs], tmp_path)
    assert named(said["model"]["inputs"]) == {one.name: one.datatype for one in contract.inputs.values()}
    assert named(said["model"]["outputs"]).items() >= {contract.candidate.name: contract.candidate.datatype}.items()
    for (_, rows), answer in zip(pairs, said["answers"], strict=True):
        if (rows["status"] == "missing_features").all():
            assert "of the request can be ranked" in answer["message"]
            continue
        assert_same(rows, contract.candidate.name, *(answer.pop(name) for name in contract.default_outputs))
        place = expected_ranking(rows, contract.candidate.name).place
        assert answer == explained(rows.iloc[place], made.project)


def test_what_is_left_out_is_named_and_the_best_one_is_told_plainly(served: Served) -> None:
    made, server = served
    contract, query = made.project.contract, made.project.queries[0]
    asked = body(query, contract)
    for name in contract.required:
        inputs = [one for one in asked["inputs"] if one["name"] != name]
        answer = httpx.post(server.infer_url, json=asked | {"inputs": inputs})
        assert answer.status_code == 400
        assert repr(name) in answer.json()["error"]
    best = expected_ranking(made.batch[0], contract.candidate.name).candidate[0]
    plain: dict[str, Any] = {f"{contract.candidate.name}s": query.candidates, **query.keys}
    plain |= {"features": dict(query.request)} if query.request else {}
    assert httpx.post(f"{server.url}/inference", json=plain).json() == {"prediction": best, "error": None}


def test_the_examples_of_the_api_s_page_are_answered(served: Served) -> None:
    _, server = served
    described = httpx.get(f"{server.url}/v2/docs/dataplane.json").json()
    for path in ("/v2/models/driver_ranking/infer", "/inference"):
        example = described["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"]
        answer = httpx.post(f"{server.url}{path}", json=example)
        assert answer.status_code == 200, answer.text


def named(tensors: list[dict[str, Any]]) -> dict[str, str]:
    """Return the datatypes of described tensors, each of one dimension of any size."""
    assert all([int(size) for size in one["shape"]] == [-1] for one in tensors)
    return {one["name"]: one["datatype"] for one in tensors}
