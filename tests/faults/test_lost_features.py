"""The online store loses its features while it serves: the server says so, and serves again once they are back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
import redis
from support.redis_projects import PASSWORD
from support.servers import serving

if TYPE_CHECKING:
    from support.redis_projects import RedisProject

pytestmark = pytest.mark.slow


def ask(url: str, *drivers: int) -> httpx.Response:
    return httpx.post(f"{url}/inference", json={"driver_ids": list(drivers)}, timeout=5)


def test_an_emptied_redis_is_told_from_drivers_without_features_and_filled_it_serves_again(
    filled_redis_project: RedisProject,
) -> None:
    project = filled_redis_project
    with project.redis(), serving(project.folder, project.variables()) as server:
        assert ask(server.url, 1001).status_code == 200
        assert ask(server.url, 7).status_code == 422
        with redis.Redis(port=project.port, password=PASSWORD) as client:
            kept = {key: client.hgetall(key) for key in client.scan_iter(count=1_000)}
            client.flushall()
        assert ask(server.url, 1001).status_code in {422, 503}  # within a tenth of a second it is known
        server.wait(ready=False, seconds=10)
        answer = ask(server.url, 1001)
        assert answer.status_code == 503
        assert "has no features of 'driver_stats'" in answer.json()["error"]
        assert httpx.get(f"{server.url}/v2/health/ready").json()["error"] == answer.json()["error"]
        with redis.Redis(port=project.port, password=PASSWORD) as client:
            for key, fields in kept.items():
                client.hset(key, mapping=fields)
        server.wait(seconds=20)
        assert ask(server.url, 1001).status_code == 200
        log = server.log.read_text(encoding="utf-8")
    assert "Not ready: The online feature store has no features of 'driver_stats'" in log
    assert "Not ready: over" in log
    assert PASSWORD not in log
