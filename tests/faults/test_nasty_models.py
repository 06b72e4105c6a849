"""Models of users' own code that fail, hang or end the process: none takes over, none takes the service with it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import pytest
from support.servers import Serving, serving
from support.versions import Versions, load_champion

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

REQUEST = {"inputs": [{"name": "driver_id", "shape": [2], "datatype": "INT64", "data": [1001, 1002]}]}
LIMITS = {
    "DRIVER_RANKING_PREDICT_TIMEOUT": "0.5",
    "DRIVER_RANKING_LOAD_TIMEOUT": "10",
    "DRIVER_RANKING_LOAD_RETRY_INTERVAL": "0.5",
}
REFUSED = {
    "exits": "raises an error",
    "raises": "raises an error",
    "is interrupted": "raises an error",
    "is cancelled": "raises an error",
    "hangs": "within",
    "strings": "",
    "nan": "not finite",
    "none": "",
    "generator": "",
    "one for all": "",
    "squeezed": "",
    "made-up rows only": "fails on rows that the online store has",
}


def infer(server: Serving) -> httpx.Response:
    return httpx.post(server.infer_url, json=REQUEST, timeout=30)


def plain(server: Serving) -> httpx.Response:
    return httpx.post(f"{server.url}/inference", json={"driver_ids": [1001, 1002]}, timeout=30)


def readiness(server: Serving) -> httpx.Response:
    return httpx.get(f"{server.url}/v2/health/ready", timeout=5)


def live_in(server: Serving, seconds: float) -> list[float]:
    """Ask for the health for so long, and return how long each answer took."""
    taken, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        start = time.monotonic()
        assert httpx.get(f"{server.url}/v2/health/live", timeout=5).status_code == 200
        taken.append(time.monotonic() - start)
        time.sleep(0.05)
    return taken


def load(server: Serving, versions: Versions, version: str) -> httpx.Response:
    versions.name_champion(version)
    return load_champion(server)


@pytest.fixture
def versions(sqlite_project: Path) -> Versions:
    return Versions(sqlite_project)


@pytest.fixture
def server(sqlite_project: Path, versions: Versions) -> Iterator[Serving]:
    versions.name_champion(versions.register(versions.log_nasty("well")))
    with serving(sqlite_project, LIMITS) as running:
        yield running


def test_a_model_that_fails_exits_or_hangs_is_refused_with_the_reason_and_the_champion_goes_on(
    server: Serving, versions: Versions
) -> None:
    best = infer(server).json()
    good = best["model_version"]
    for habit, reason in REFUSED.items():
        answer = load(server, versions, versions.register(versions.log_nasty(habit)))
        assert answer.status_code == 409, (habit, answer.text)
        assert reason in answer.json()["error"], habit
        assert f"version {good} goes on serving" in answer.json()["error"]
        assert not any(word in answer.text for word in ("of-secrets", "Traceback", "Error", ".py")), answer.text
        assert infer(server).json()["outputs"] == best["outputs"], habit
    for habit in ("exits", "raises", "is interrupted"):
        answer = load(server, versions, versions.register(versions.log_nasty("well", at_load=habit)))
        assert (answer.status_code, infer(server).status_code) == (409, 200), habit
    assert readiness(server).json() == {"ready": True}


def test_a_model_that_hangs_at_load_is_given_up_and_blocks_neither_a_later_one_nor_the_end(
    server: Serving, versions: Versions
) -> None:
    hangs = versions.register(versions.log_nasty("well", at_load="hangs"))
    good = versions.register(versions.log_nasty("well"))
    start = time.monotonic()
    answer = load(server, versions, hangs)
    assert answer.status_code == 409
    assert "was not loaded within 10 s" in answer.json()["error"]
    assert time.monotonic() - start < 13
    assert load(server, versions, good).status_code == 200
    assert infer(server).json()["model_version"] == good
    versions.name_champion(hangs)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(load_champion, server)
        time.sleep(1)
        start = time.monotonic()
        server.process.terminate()
        assert server.process.wait(timeout=20) == 0
        assert time.monotonic() - start < 5
        assert waiting.result().status_code == 503
    assert "Traceback" not in server.log.read_text(encoding="utf-8")


def test_a_model_that_begins_to_hang_or_exit_fails_requests_alone_and_the_end_comes_in_any_case(
    server: Serving, versions: Versions, tmp_path: Path
) -> None:
    switch = tmp_path / "switch"
    assert load(server, versions, versions.register(versions.log_nasty("well", switch=switch))).status_code == 200
    for habit in ("exits", "is interrupted", "is cancelled", "raises", "generator"):
        switch.write_text(habit, encoding="utf-8")
        assert (infer(server).status_code, plain(server).status_code) == (500, 500), habit
    switch.write_text("well", encoding="utf-8")
    assert (infer(server).status_code, plain(server).status_code) == (200, 200)

    switch.write_text("hangs", encoding="utf-8")
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(infer, server)
        assert max(live_in(server, 1.0)) < 0.4
        assert asked.result().status_code == 503
        assert "did not answer within 0.5 s" in asked.result().json()["error"]
    switch.write_text("well", encoding="utf-8")
    assert infer(server).status_code == 200

    switch.write_text("hangs", encoding="utf-8")
    with ThreadPoolExecutor(8) as pool:
        assert {answer.status_code for answer in pool.map(lambda _: infer(server), range(16))} == {503}
    server.wait(ready=False)
    assert "hangs: 4 predictions did not end" in readiness(server).json()["error"]
    assert "hangs" in plain(server).json()["error"]

    switch.unlink()
    assert load(server, versions, versions.register(versions.log_nasty("well"))).status_code == 200
    assert infer(server).status_code == 200
    server.wait()
    start = time.monotonic()
    server.process.terminate()
    assert server.process.wait(timeout=20) == 0
    assert time.monotonic() - start < 5


def test_loads_and_unloads_at_once_give_no_500_and_an_unloaded_model_says_so(
    server: Serving, versions: Versions
) -> None:
    del versions
    api = f"{server.url}/v2/repository/models/driver_ranking"
    asked = ["load", "unload", "infer", "inference", "unload", "ready", "index", "load"] * 12

    def ask(what: str) -> httpx.Response:
        if what in {"load", "unload"}:
            return httpx.post(f"{api}/{what}", timeout=60)
        if what == "index":
            return httpx.post(f"{server.url}/v2/repository/index", json={}, timeout=60)
        return {"infer": infer, "inference": plain, "ready": readiness}[what](server)

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, asked))
    found = {(what, answer.status_code) for what, answer in zip(asked, answers, strict=True)}
    allowed = {"load": {200}, "unload": {200}, "index": {200}, "infer": {200, 404}, "inference": {200, 503}}
    assert all(status in allowed.get(what, {200, 400}) for what, status in found), found

    assert httpx.post(f"{api}/unload", timeout=60).status_code == 200
    assert httpx.post(f"{api}/unload", timeout=60).status_code == 200
    why = "The model is unloaded. Load it with POST /v2/repository/models/NAME/load."
    assert readiness(server).json() == {"ready": False, "error": why}
    assert (plain(server).status_code, plain(server).json()) == (503, {"prediction": None, "error": why})
    assert (infer(server).status_code, infer(server).json()) == (404, {"error": why})
    item = httpx.post(f"{server.url}/v2/repository/index", json={}).json()[0]
    assert (item["state"], item["reason"]) == ("UNAVAILABLE", why)
    time.sleep(1.5)  # it is not loaded again by itself
    assert readiness(server).status_code == 400
    assert httpx.post(f"{api}/load", timeout=60).status_code == 200
    assert readiness(server).json() == {"ready": True}
    assert (infer(server).status_code, plain(server).status_code) == (200, 200)
    assert "Traceback" not in server.log.read_text(encoding="utf-8")
