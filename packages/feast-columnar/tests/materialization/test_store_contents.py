"""What an online store still has of a view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import redis
from columnar_support.online_repos import NOON, OURS, PROJECTS, OnlineRepo
from feast.infra.provider import get_provider
from feast.types import Float32
from processes import free_port, running_redis

from feast_columnar.online.stores import has_features

if TYPE_CHECKING:
    from pathlib import Path

    from feast import FeatureView


def found(repo: OnlineRepo, view: FeatureView) -> bool | None:
    config = repo.open().config
    store: Any = get_provider(config).online_store
    return has_features(store, config, view)


def test_a_sqlite_store_has_features_once_a_row_is_written(tmp_path: Path) -> None:
    file = tmp_path / "online.db"
    repo = OnlineRepo(tmp_path, "contents", {"type": OURS, "path": str(file)})
    view, other = repo.view({"rate": Float32}, "first"), repo.view({"rate": Float32}, "second")
    assert found(repo, view) is False  # no file
    repo.apply(view)
    assert found(repo, other) is False  # no table
    assert found(repo, view) is False  # no row
    repo.write("first", [(1, NOON, {"rate": 0.5})])
    assert found(repo, view) is True
    repo.apply(view, other)
    assert found(repo, other) is False


def test_a_redis_has_features_of_a_view_once_a_key_of_the_project_has_them(tmp_path: Path, redis_server: str) -> None:
    project = f"contents_{next(PROJECTS)}"
    repo = OnlineRepo(tmp_path, project, {"type": "redis", "connection_string": redis_server})
    view, other = repo.view({"rate": Float32}, "first"), repo.view({"rate": Float32}, "second")
    alike = OnlineRepo(tmp_path, f"old_{project}", {"type": "redis", "connection_string": redis_server})
    repo.apply(view, other)
    host, port = redis_server.split(":")
    with redis.Redis(host, int(port)) as client:
        client.set(f"of another type {project}", "x")
        client.hset(f"of nobody {project}", "_ts:first", "x")
        assert found(repo, view) is False
        alike.apply(alike.view({"rate": Float32}, "first"))
        alike.write("first", [(1, NOON, {"rate": 0.5})])
        assert found(repo, view) is False  # the other project's name ends in this one's
        repo.write("first", [(1, NOON, {"rate": 0.5})])
        assert found(repo, view) is True
        assert found(repo, other) is False
        assert found(alike, view) is True


def test_of_other_stores_and_without_the_right_to_look_it_can_not_be_told(tmp_path: Path) -> None:
    port = free_port()
    with running_redis(tmp_path, port), redis.Redis(port=port) as client:
        repo = OnlineRepo(tmp_path, "contents", {"type": "redis", "connection_string": f"127.0.0.1:{port}"})
        view = repo.view({"rate": Float32})
        config = repo.apply(view).config
        client.execute_command("ACL SETUSER", "default", "-scan")
        assert found(repo, view) is None
        nothing: Any = object()
        assert has_features(nothing, config, view) is None
