"""What an operator relies on: settings, health, versions, logs and metrics."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from processes import free_port
from support.projects import ROOT
from support.servers import environment, serving

if TYPE_CHECKING:
    from pathlib import Path

    from support.servers import Serving

REQUEST: dict[str, Any] = {
    "inputs": [{"name": "driver_id", "shape": [3], "datatype": "INT64", "data": [1001, 9001, 1002]}]
}


def test_health_says_what_clients_read(server: Serving) -> None:
    answers = [httpx.get(server.url + path) for path in ("/v2/health/live", "/v2/health/ready")]
    assert [answer.json() for answer in answers] == [{"live": True}, {"ready": True}]
    model = httpx.get(f"{server.url}/v2/models/driver_ranking/ready").json()
    assert model == {"name": "driver_ranking", "ready": True}


def test_what_mlflow_users_know_is_there(server: Serving) -> None:
    import mlflow

    assert httpx.get(f"{server.url}/ping").status_code == 200
    assert httpx.get(f"{server.url}/version").text.strip('"') == mlflow.__version__


def test_the_version_of_the_registry_is_the_version(server: Serving) -> None:
    metadata = httpx.get(f"{server.url}/v2/models/driver_ranking").json()
    assert metadata["versions"] == ["1"]
    answer = httpx.post(f"{server.url}/v2/models/driver_ranking/versions/1/infer", json=REQUEST).json()
    assert (answer["model_name"], answer["model_version"]) == ("driver_ranking", "1")
    assert httpx.get(f"{server.url}/v2/models/driver_ranking/versions/1").json() == metadata


def test_outputs_come_as_they_are_asked_for(server: Serving) -> None:
    wanted = [{"name": "excluded_driver_id"}, {"name": "score"}]
    outputs = httpx.post(server.infer_url, json=REQUEST | {"outputs": wanted}).json()["outputs"]
    assert [(output["name"], output["datatype"], output["shape"]) for output in outputs] == [
        ("excluded_driver_id", "INT64", [1]),
        ("score", "FP64", [1]),
    ]
    assert outputs[0]["data"] == [9001]


def test_a_driver_that_is_named_twice_is_ranked_once(server: Serving) -> None:
    data = [1002, 1001, 1002, 1001]
    twice = {"inputs": [{"name": "driver_id", "shape": [4], "datatype": "INT64", "data": data}]}
    answer = httpx.post(server.infer_url, json=twice | {"parameters": {"top_k": 4}}).json()
    assert answer["outputs"][0]["data"] == [1001, 1002]


def test_the_plain_endpoint_answers_as_the_protocol_does_and_echoes_the_request(server: Serving) -> None:
    body = {"request_id": "uuid-1", "driver_ids": [1001, 1002, 1003, 1004, 1005]}
    answer = httpx.post(f"{server.url}/inference", json=body)
    data = body["driver_ids"]
    same = {"inputs": [{"name": "driver_id", "shape": [5], "datatype": "INT64", "data": data}]}
    best = httpx.post(server.infer_url, json=same).json()["outputs"][0]["data"]
    assert answer.json() == {"prediction": best[0], "error": None}
    assert answer.headers["X-Request-ID"] == "uuid-1"
    none = httpx.post(f"{server.url}/inference", json={"request_id": "uuid-2", "driver_ids": [9001]})
    assert none.headers["X-Request-ID"] == "uuid-2"


def test_the_log_has_one_line_a_request_without_what_is_in_it(server: Serving) -> None:
    before = len(server.log.read_text(encoding="utf-8").splitlines())
    secret = {"Authorization": "Bearer of-secrets", "Cookie": "of-secrets"}
    httpx.post(server.infer_url, json=REQUEST | {"id": "here\nforged line"}, headers=secret)
    httpx.post(f"{server.url}/inference", json={"request_id": "uuid-3", "driver_ids": [1001]}, headers=secret)
    httpx.post(server.infer_url, json={"inputs": []}, headers=secret)
    lines = server.log.read_text(encoding="utf-8").splitlines()[before:]
    assert len(lines) == 2
    assert re.search(r"ranked id=here\\nforged line drivers=3 excluded=1 model_version=1 ms=\d+\.\d\d$", lines[0])
    assert re.search(r"ranked id=uuid-3 drivers=1 excluded=0 model_version=1 ms=\d+\.\d\d$", lines[1])
    assert not any(word in line for line in lines for word in ("1001", "9001", "of-secrets"))


def value(metrics: str, name: str) -> float:
    match = re.search(rf"^{re.escape(name)} (.*)$", metrics, flags=re.MULTILINE)
    assert match is not None, name
    return float(match[1])


def test_metrics_count_drivers_exclusions_ages_and_times(server: Serving) -> None:
    before = server.metrics()
    httpx.post(server.infer_url, json=REQUEST)
    httpx.post(server.infer_url, json={"inputs": []})
    after = server.metrics()
    for name, more in {
        "driver_ranking_drivers_requested_total": 3,
        "driver_ranking_drivers_excluded_total": 1,
        "driver_ranking_feature_age_seconds_count": 1,
        'model_infer_request_success_total{model="driver_ranking",version="1"}': 1,
    }.items():
        assert value(after, name) - value(before, name) == more
    for name in ("driver_ranking_online_read_seconds_count", "driver_ranking_predict_seconds_count"):
        assert value(after, name) > value(before, name)
    assert value(after, 'driver_ranking_requests_failed_total{status="400"}') >= 1
    assert (value(after, "driver_ranking_ready"), value(after, "driver_ranking_model_version")) == (1, 1)
    assert "grpc_server_" in after
    assert "rest_server_" in after


def test_the_environment_overrides_the_files(served_project: Path, tmp_path: Path) -> None:
    variables = {
        "DRIVER_RANKING_MAX_DRIVER_IDS": "2",
        "DRIVER_RANKING_MAX_BODY_BYTES": "300",
        "DRIVER_RANKING_LOG_REQUESTS": "false",
        "MLSERVER_MODEL_URI": "models:/driver_ranking/1",
        "MLSERVER_SERVER_NAME": "another",
        "MLSERVER_GRPC_MAX_MESSAGE_LENGTH": "100",
    }
    with serving(served_project, variables, folder=tmp_path) as server:
        assert httpx.post(server.infer_url, json=REQUEST).status_code == 413
        assert "larger than 300 bytes" in httpx.post(server.infer_url, content=b" " * 301).json()["error"]
        assert httpx.get(f"{server.url}/v2").json()["name"] == "another"
        httpx.post(f"{server.url}/inference", json={"driver_ids": [1001]}).raise_for_status()
        assert "ranked" not in server.log.read_text(encoding="utf-8")


def test_what_only_the_application_does_is_done_when_it_is_configured(served_project: Path, tmp_path: Path) -> None:
    """With CORS, requests to infer go through the middleware: the same answers, with its headers."""
    variables = {"MLSERVER_CORS_SETTINGS": '{"allow_origins": ["https://example.org"]}'}
    with serving(served_project, variables, folder=tmp_path) as server:
        answer = httpx.post(server.infer_url, json=REQUEST, headers={"Origin": "https://example.org"})
        assert answer.headers["access-control-allow-origin"] == "https://example.org"
        assert answer.json()["outputs"][0]["data"] == [1001]
        refused = httpx.post(server.infer_url, json={"inputs": []})
        assert (refused.status_code, set(refused.json())) == (400, {"error"})
        assert httpx.post(server.infer_url, content=b" " * 5_000_000).status_code == 413


def test_settings_that_can_not_be_end_the_server_with_the_reason(served_project: Path, tmp_path: Path) -> None:
    with serving(served_project, {"DRIVER_RANKING_MAX_DRIVER_IDS": "none"}, wait=False, folder=tmp_path) as server:
        assert server.process.wait(timeout=60) != 0
    assert "max_driver_ids" in server.log.read_text(encoding="utf-8")


def test_parallel_workers_end_the_server_at_once_with_the_reason(served_project: Path, tmp_path: Path) -> None:
    with serving(served_project, {"MLSERVER_PARALLEL_WORKERS": "1"}, wait=False, folder=tmp_path) as server:
        assert server.process.wait(timeout=60) == 1
    log = server.log.read_text(encoding="utf-8")
    assert "parallel_workers is 1" in log
    assert "Traceback" not in log


def test_an_unloaded_model_is_not_ready_and_loads_again(served_project: Path, tmp_path: Path) -> None:
    with serving(served_project, folder=tmp_path) as server:
        api = f"{server.url}/v2/repository/models/driver_ranking"
        assert httpx.post(f"{api}/unload").status_code == 200
        assert httpx.post(server.infer_url, json=REQUEST).status_code == 404
        assert "The model is unloaded" in httpx.get(f"{server.url}/v2/health/ready").json()["error"]
        assert httpx.post(f"{server.url}/inference", json={"driver_ids": [1001]}).status_code == 503
        assert httpx.post(f"{server.url}/v2/repository/index", json={}).json()[0]["state"] == "UNAVAILABLE"
        assert httpx.post(f"{api}/load", timeout=60).status_code == 200
        assert httpx.post(server.infer_url, json=REQUEST).status_code == 200
        assert httpx.post(f"{server.url}/inference", json={"driver_ids": [1001]}).status_code == 200


def test_two_processes_share_their_ports(served_project: Path, tmp_path: Path) -> None:
    variables = {"DRIVER_RANKING_REUSE_PORT": "true"}
    with serving(served_project, variables, folder=tmp_path) as first:
        same = {"MLSERVER_HTTP_PORT": str(first.http_port), "MLSERVER_GRPC_PORT": str(first.grpc_port)}
        with serving(served_project, variables | same, wait=False, folder=tmp_path) as second:
            both, end = (first.log, second.log), time.monotonic() + 60
            while not all("ranked" in log.read_text(encoding="utf-8") for log in both) and time.monotonic() < end:
                with contextlib.suppress(httpx.HTTPError):  # before the second is ready, it may take a connection
                    httpx.post(first.infer_url, json=REQUEST)
            assert all("ranked" in log.read_text(encoding="utf-8") for log in both)
        assert httpx.post(first.infer_url, json=REQUEST).status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("target", ["serve", "serve-redis"])
def test_make_serves_a_fresh_project(fresh_copy: Path, target: str) -> None:
    ports = {name: str(free_port()) for name in ("MLSERVER_HTTP_PORT", "MLSERVER_GRPC_PORT", "MLSERVER_METRICS_PORT")}
    url = f"http://127.0.0.1:{ports['MLSERVER_HTTP_PORT']}"
    with (fresh_copy / "make.log").open("wb") as log:
        process = subprocess.Popen(
            ["make", target],  # noqa: S607 - found on the PATH
            cwd=fresh_copy,
            env=environment(**ports),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        answer = answered(process, f"{url}/inference")
    finally:
        terminate(process)
    assert answer == {"prediction": 1001, "error": None}, (fresh_copy / "make.log").read_text(encoding="utf-8")


@pytest.fixture
def fresh_copy(tmp_path: Path) -> Path:
    """A copy of the project with its Makefile, and the environment that this one has."""
    from support.projects import copy_project

    project = copy_project(tmp_path / "a project")
    for name in ("Makefile", "requirements.lock", "deploy", "packages"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, project / name)
    (project / ".venv").symlink_to(ROOT / ".venv")
    return project


def answered(process: subprocess.Popen[bytes], url: str) -> object:
    end = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(httpx.HTTPError):
            answer = httpx.post(url, json={"driver_ids": [1001, 1002]})
            if answer.status_code == httpx.codes.OK:
                return answer.json()
        time.sleep(0.2)
    return None


def terminate(process: subprocess.Popen[bytes]) -> None:
    """End make and what it has started, which is a session of its own."""
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(timeout=30)
