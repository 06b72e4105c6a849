"""conf/production and compose.yaml: every command and health check that it gives, with the real programs.

Only an engine and Grafana are not there. Services of the project run in the built image, Redis and Prometheus are this
machine's; they find each other by the names, and at the ports, that compose.yaml says.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
from support.image import private_network
from support.promql import alert_queries, dashboard_queries
from support.stack import Stack, compose_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.image import Image

pytestmark = pytest.mark.slow

PASSWORDS = {"REDIS_PASSWORD": "a" * 48, "GRAFANA_PASSWORD": "b" * 48}
URL = "http://localhost:8172"


@pytest.fixture
def stack(image: Image, tmp_path: Path) -> Iterator[Stack]:
    compose = compose_file(PASSWORDS)
    with private_network(list(compose["services"])) as network:
        yield Stack(compose, image, network, tmp_path)


def newest_scores(stack: Stack) -> dict[int, float]:
    """Return what the batch run scored as of the last time in the request, which is after all features."""
    rows = pq.read_table(stack.folder / "data/07_model_output/batch_output.parquet").to_pylist()
    last = max(row["event_timestamp"] for row in rows)
    return {row["driver_id"]: row["score"] for row in rows if row["event_timestamp"] == last and row["status"] == "ok"}


def served_scores(stack: Stack, ids: list[int]) -> dict[int, float]:
    tensor = {"name": "driver_id", "shape": [len(ids)], "datatype": "INT64", "data": ids}
    request = {"parameters": {"top_k": len(ids)}, "inputs": [tensor]}
    answer = stack.network.post(f"{URL}/v2/models/driver_ranking/infer", request)
    driver_id, score, _ = (output["data"] for output in answer["outputs"])
    return dict(zip(driver_id, score, strict=True))


def test_the_stack_trains_materializes_serves_scores_and_is_watched(stack: Stack) -> None:
    with stack.start("redis") as redis, stack.start("mlflow") as mlflow:
        stack.until_healthy("redis", redis)
        assert stack.network.run("redis-cli", "-e", "ping").returncode, "not without the password"
        stack.until_healthy("mlflow", mlflow)
        materialized = stack.run("materialize")
        assert materialized.returncode == 0, materialized.stderr
        with stack.start("online") as online, stack.start("prometheus") as prometheus:
            served_before_there_is_a_champion(stack)
            trained = stack.run("task", "kedro", "run", "--pipelines", "training")
            assert trained.returncode == 0, trained.stderr
            stack.until_healthy("online", online)
            scored = stack.run("task")
            assert scored.returncode == 0, scored.stderr
            expected = newest_scores(stack)
            assert len(expected) > 3
            assert served_scores(stack, list(expected)) == pytest.approx(expected, abs=1e-12)
            stack.until_healthy("prometheus", prometheus)
            watched(stack, drivers=len(expected))
            online.terminate()
            assert online.wait(timeout=20) == 0
    nothing_is_lost(stack)


def served_before_there_is_a_champion(stack: Stack, seconds: float = 60) -> None:
    """Wait until the service says that it lacks a model, and nothing else."""
    end = time.monotonic() + seconds
    while "no model 'driver_ranking' with the alias 'champion'" not in (said := stack.health("online").stderr):
        assert time.monotonic() < end, said
        time.sleep(0.5)


def queried(stack: Stack, query: str) -> list[dict[str, object]]:
    asked = query.replace("$__rate_interval", "1m")
    said = stack.network.get("http://localhost:9090/api/v1/query", "--data-urlencode", f"query={asked}")
    answer = json.loads(said)
    assert answer["status"] == "success", f"{query}: {said}"
    return list(answer["data"]["result"])


def watched(stack: Stack, drivers: int, seconds: float = 30) -> None:
    """Wait until Prometheus has read what the service counts, and ask it everything that is asked of it."""
    end = time.monotonic() + seconds
    counted = "driver_ranking_drivers_requested_total"
    while [one["value"][1] for one in queried(stack, counted)] != [str(drivers)]:  # type: ignore[index]
        assert time.monotonic() < end, f"{counted}: {queried(stack, counted)}"
        time.sleep(0.5)
    for query in [*dashboard_queries(), *alert_queries()]:
        queried(stack, query)
    assert queried(stack, "min(driver_ranking_ready)")[0]["value"][1] == "1"  # type: ignore[index]
    rules = json.loads(stack.network.get("http://localhost:9090/api/v1/rules"))
    assert {rule["health"] for group in rules["data"]["groups"] for rule in group["rules"]} <= {"ok", "unknown"}


def nothing_is_lost(stack: Stack) -> None:
    """Start Redis again: its volume has the features."""
    with stack.start("redis") as redis:
        stack.until_healthy("redis", redis)
        keys = stack.network.run("redis-cli", "-e", "dbsize", REDISCLI_AUTH=PASSWORDS["REDIS_PASSWORD"])
        assert int(keys.stdout) > 10


def test_only_the_names_that_compose_gives_are_answered_by_mlflow(stack: Stack) -> None:
    address = "http://localhost:5000/api/2.0/mlflow/experiments/search?max_results=1"
    with stack.start("mlflow") as mlflow:
        stack.until_healthy("mlflow", mlflow)
        status = ("--output", "/dev/null", "--write-out", "%{http_code}")
        assert stack.network.get(address, *status, "--header", "Host: mlflow:5000") == "200"
        assert stack.network.get(address, *status, "--header", "Host: elsewhere.example") == "403"
