"""Drivers that the online store has rows of, found without going through all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import redis
from columnar_support.online_repos import NOON, OTHER, OnlineRepo
from feast import FeatureService
from feast.types import Float32, Int32
from processes import free_port, running_redis

from feast_columnar.errors import StoreUnavailableError

if TYPE_CHECKING:
    from pathlib import Path


def test_drivers_that_have_rows_are_found_those_with_all_views_first(repo: OnlineRepo) -> None:
    first, second = repo.view({"rate": Float32}, "first"), repo.view({"trips": Int32}, "second")
    repo.apply(first, second, FeatureService(name="service", features=[first, second]))
    repo.write("first", [(driver, NOON, {"rate": 0.5}) for driver in (1, 2, 3, -4)])
    repo.write("second", [(3, NOON, {"trips": 1}), (9, NOON, {"trips": 1})])
    reader = repo.reader("service", "rate", "trips")
    found = reader.sample(10).tolist()
    if repo.online_store["type"] == OTHER:  # how it keeps its rows is its own matter
        assert found == []
        return
    assert found == [3, -4, 1, 2, 9]
    assert reader.sample(2).tolist() == [3, -4]
    assert reader.sample(0).tolist() == []


def test_an_empty_store_has_no_drivers(repo: OnlineRepo) -> None:
    view = repo.view({"rate": Float32})
    repo.apply(view, FeatureService(name="service", features=[view]))
    assert repo.reader("service", "rate").sample(10).tolist() == []


def test_a_view_without_rows_is_known_as_such_once_all_keys_of_others_were_seen(tmp_path: Path) -> None:
    port = free_port()
    with running_redis(tmp_path, port), redis.Redis(port=port) as client:
        repo = OnlineRepo(tmp_path, "a_project_2", {"type": "redis", "connection_string": f"127.0.0.1:{port}"})
        view = repo.view({"rate": Float32})
        repo.apply(view, FeatureService(name="service", features=[view]))
        client.mset({f"other:{number}": "" for number in range(100_000)})
        reader = repo.reader("service", "rate")
        looks = [reader.lacking() for _ in range(100)]
        assert looks[0] == ()  # nothing can be said yet
        assert ("stats",) in looks
        repo.write("stats", [(0, NOON, {"rate": 0.5})])
        assert [reader.lacking() for _ in range(100)].count(("stats",)) <= 1  # a look that had begun before
        reader.close()


def test_a_few_drivers_are_found_among_many_keys_of_others(tmp_path: Path) -> None:
    port = free_port()
    with running_redis(tmp_path, port), redis.Redis(port=port) as client:
        repo = OnlineRepo(tmp_path, "a_project_1", {"type": "redis", "connection_string": f"127.0.0.1:{port}"})
        view = repo.view({"rate": Float32})
        repo.apply(view, FeatureService(name="service", features=[view]))
        others = {f"other:{number}": "" for number in range(100_000)}
        client.mset(others)
        repo.write("stats", [(7, NOON, {"rate": 0.5})])
        reader = repo.reader("service", "rate")
        looks = [reader.sample(3).tolist() for _ in range(10)]
        assert [7] in looks  # each look is short, and goes on where the one before has ended
        assert all(look in ([], [7]) for look in looks)
        client.execute_command("ACL SETUSER", "default", "-scan")
        assert reader.sample(3).tolist() == []
        reader.close()
    with pytest.raises(StoreUnavailableError):
        reader.sample(3)
