"""A server that starts before what it needs is there: it says what is missing, and serves once it is there."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import TYPE_CHECKING

import httpx
import pytest
from support.load import loading
from support.projects import kedro_command
from support.servers import Serving, serving

if TYPE_CHECKING:
    from pathlib import Path

    from support.redis_projects import RedisProject

pytestmark = pytest.mark.slow
logger = logging.getLogger(__name__)

REQUEST = {"inputs": [{"name": "driver_id", "shape": [1], "datatype": "INT64", "data": [1001]}]}


LOADING = "No model is loaded yet."


def wait_for_reason(server: Serving, seconds: float = 60) -> None:
    """Wait until the server answers and has tried to load the model, so that it knows what is missing."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{server.url}/v2/health/ready", timeout=5).json().get("error") != LOADING:
                return
        time.sleep(0.05)
    message = f"no reason within {seconds} s\n{server.log.read_text(encoding='utf-8')}"
    raise AssertionError(message)


def why_not_ready(server: Serving) -> str:
    """Return what the server says is missing, which is the same at all places where it says so."""
    assert httpx.get(f"{server.url}/v2/health/live", timeout=5).json() == {"live": True}
    ready = httpx.get(f"{server.url}/v2/health/ready", timeout=5)
    assert ready.status_code == 400
    assert ready.json().keys() == {"ready", "error"}
    assert ready.json()["ready"] is False
    model = httpx.get(f"{server.url}/v2/models/driver_ranking/ready", timeout=5)
    assert model.status_code == 400
    assert model.json()["error"] == ready.json()["error"]
    return str(ready.json()["error"])


def refused(server: Serving) -> str:
    answer = httpx.post(server.infer_url, json=REQUEST, timeout=5)
    assert answer.status_code == 503
    assert answer.json().keys() == {"error"}
    plain = httpx.post(f"{server.url}/inference", json={"driver_ids": [1001]}, timeout=5)
    assert plain.status_code == 503
    assert plain.json() == {"prediction": None, "error": answer.json()["error"]}
    return str(answer.json()["error"])


def test_without_a_champion_the_server_says_so_and_serves_the_first_one_without_a_restart(
    fresh_project: Path,
) -> None:
    with serving(fresh_project, wait=False) as server:
        wait_for_reason(server)
        why = why_not_ready(server)
        assert "no model 'driver_ranking' with the alias 'champion'" in why
        assert "kedro run --pipelines training" in why
        assert refused(server) == why
        with loading(server) as load:
            trained = kedro_command(fresh_project, "run", "--pipelines", "training")
            materialized = kedro_command(fresh_project, "run", "--pipelines", "materialize")
            server.wait()
            ready = time.monotonic()
            time.sleep(1)
            report = load.end()

    assert trained.returncode == 0, trained.stderr
    assert materialized.returncode == 0, materialized.stderr
    logger.info("until ready: %s", report.answers.between(0, ready).described())
    logger.info("ready: %s", report.answers.between(ready).described())
    assert not report.answers.problems()
    assert report.answers.between(ready).by_status().keys() == {200}
    # 422 in between: the champion is there, and the store has no rows yet
    assert report.answers.by_status().keys() <= {200, 422, 503}
    assert {look.live for look in report.watched} == {200}


def test_without_the_online_store_s_file_the_server_is_not_ready_until_it_is_there(sqlite_project: Path) -> None:
    store = sqlite_project / "data/04_feature/online_store.db"
    elsewhere = store.rename(store.with_suffix(".elsewhere"))
    with serving(sqlite_project, wait=False) as server:
        wait_for_reason(server)
        why = why_not_ready(server)
        assert "online feature store" in why
        assert refused(server) == why
        assert not store.exists(), "an empty file in its place would hide that it is not there"
        elsewhere.rename(store)
        server.wait()
        assert httpx.post(server.infer_url, json=REQUEST, timeout=5).status_code == 200


def test_without_redis_the_server_is_not_ready_until_it_is_there(filled_redis_project: RedisProject) -> None:
    project = filled_redis_project
    with serving(project.folder, project.variables(), wait=False) as server:
        wait_for_reason(server)
        why = why_not_ready(server)
        assert why == refused(server)
        assert "online feature store" in why
        with project.redis():
            server.wait()
            assert httpx.post(server.infer_url, json=REQUEST, timeout=5).status_code == 200
