"""The served description of the REST API is true, and what it shows can be tried."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from protocol.programs import Run
    from support.servers import Serving

DOCUMENT = "/v2/docs/dataplane.json"
OF_MODEL = "/v2/models/driver_ranking/docs"
# JSON Schema has no words for some of what is refused with a 4xx: a shape that the data doesn't fit, a top_k above the
# number of ids, drivers that have no features
UNCHECKED = "positive_data_acceptance"
SENT = ("InferenceRequest", "DriverIds", "RequestedOutput", "PredictionRequest")  # the others are answers


@pytest.fixture(scope="module")
def document(server: Serving) -> dict[str, Any]:
    """The served description."""
    described: dict[str, Any] = httpx.get(f"{server.url}{DOCUMENT}").raise_for_status().json()
    return described


@pytest.fixture
def closed(document: dict[str, Any], tmp_path: Path) -> str:
    """The description in a file, with no place in answers for anything that is not described."""
    schemas = document["components"]["schemas"]
    of_answers = {name: schema | {"additionalProperties": False} for name, schema in schemas.items()}
    of_requests = {name: schemas[name] for name in SENT}
    file = tmp_path / "closed.json"
    file.write_text(json.dumps(document | {"components": {"schemas": of_answers | of_requests}}), encoding="utf-8")
    return str(file)


def _schemathesis(run: Run, server: Serving, description: str, *options: str) -> str:
    """Return what schemathesis reports of requests that it makes up from a description, the same ones each time."""
    checks = ["--checks", "all", "--exclude-checks", UNCHECKED, "--continue-on-failure"]
    fixed = ["--generation-deterministic", "--no-color"]
    logged = server.log.stat().st_size
    ended = run("schemathesis", "run", description, "--url", server.url, *checks, *fixed, *options, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert b"Traceback" not in server.log.read_bytes()[logged:]
    return ended.stdout


def test_schemathesis_finds_no_fault(run: Run, server: Serving, closed: str, document: dict[str, Any]) -> None:
    phases = "examples,coverage,fuzzing,stateful"
    report = _schemathesis(run, server, closed, "--phases", phases, "--max-examples", "20")
    operations = sum(len(path.keys() - {"parameters"}) for path in document["paths"].values())
    assert f"Tested: {operations}" in report
    assert server.is_ready()


@pytest.mark.slow
def test_schemathesis_finds_no_fault_in_many_requests(run: Run, server: Serving) -> None:
    served = f"{server.url}{DOCUMENT}"
    _schemathesis(run, server, served, "--phases", "fuzzing,stateful", "--max-examples", "500")
    assert server.is_ready()


def _examples(document: dict[str, Any]) -> dict[str, Any]:
    bodies = {}
    for path, operations in document["paths"].items():
        body = operations.get("post", {}).get("requestBody")
        if body is not None:
            bodies[path.replace("{model_version}", "1")] = body["content"]["application/json"]["example"]
    return bodies


def test_every_example_works_when_it_is_posted(server: Serving, document: dict[str, Any]) -> None:
    examples = _examples(document)
    assert {"/inference", "/v2/models/driver_ranking/infer", "/v2/repository/index"} <= set(examples)
    answers = {path: httpx.post(f"{server.url}{path}", json=body) for path, body in examples.items()}
    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(examples, 200)
    assert len(answers["/v2/models/driver_ranking/infer"].json()["outputs"][0]["data"]) == 2


def test_everything_that_can_be_read_is_answered(server: Serving, document: dict[str, Any]) -> None:
    readable = [path for path, operations in document["paths"].items() if "get" in operations]
    for path in readable:
        assert httpx.get(f"{server.url}{path.replace('{model_version}', '1')}").status_code == httpx.codes.OK, path


@pytest.mark.parametrize("page", ["/v2/docs", OF_MODEL, "/v2/models/driver_ranking/versions/1/docs"])
def test_pages_show_a_document_that_is_served(page: str, server: Serving, document: dict[str, Any]) -> None:
    answer = httpx.get(f"{server.url}{page}")
    assert answer.headers["content-type"].startswith("text/html")
    shown = re.search(r"url: '([^']+)'", answer.text)
    assert shown
    assert httpx.get(f"{server.url}{shown[1]}").raise_for_status().json() == document


@pytest.mark.parametrize("path", ["/openapi.json", f"{OF_MODEL}/dataplane.json"])
def test_other_places_serve_the_same_document(path: str, server: Serving, document: dict[str, Any]) -> None:
    assert httpx.get(f"{server.url}{path}").raise_for_status().json() == document


@pytest.mark.parametrize(
    "page", ["/v2/models/nobody/docs/dataplane.json", f"{OF_MODEL[:-5]}/versions/9/docs/dataplane.json"]
)
def test_there_is_no_document_of_what_is_not_served(page: str, server: Serving) -> None:
    answer = httpx.get(f"{server.url}{page}")
    assert answer.status_code == httpx.codes.NOT_FOUND
    assert "not found" in answer.json()["error"]
