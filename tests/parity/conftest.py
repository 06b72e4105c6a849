"""Each test has a registry of its own, and is done with both online stores that are read directly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.registries import registry_forgotten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _own_registry() -> Iterator[None]:
    with registry_forgotten():
        yield


@pytest.fixture(params=["sqlite", "redis"])
def choose_store(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, redis_server: str
) -> Callable[[Path], None]:
    """Let what a project does from now on be done with an online store; a Redis is emptied: projects share its keys."""

    def choose(project: Path) -> None:
        if request.param == "redis":
            monkeypatch.setenv("FEAST_FS_YAML_FILE_PATH", str(project / "feature_repo/feature_store_redis.yaml"))
            monkeypatch.setenv("REDIS_ADDRESS", redis_server)
            monkeypatch.setenv("REDIS_PASSWORD", "")
            _flush(redis_server)

    return choose


def _flush(address: str) -> None:
    import redis

    host, port = address.split(":")
    with redis.Redis(host, int(port)) as client:
        client.flushdb()
