"""Drivers that the online store has rows of, found without going through all of it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
import redis
from columnar_support.online_repos import NOON, OTHER, OURS, OnlineRepo, key_named
from feast import FeatureService, FeatureView, Field, ValueType
from feast.types import Float32, Int32
from processes import free_port, running_redis

from feast_columnar.errors import StoreUnavailableError
from feast_columnar.online.reader import OnlineReader, open_reader

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


def zoned(repo: OnlineRepo, *names: tuple[str, ...]) -> tuple[OnlineRepo, OnlineReader]:
    """A repo of views, each by these keys, that no row has been written to."""
    entities = {name: key_named(name, ValueType.STRING) for name in ("zone", "shop")}
    entities["driver_id"] = key_named()
    views: list[Any] = []
    for place, keys in enumerate(names):
        source = repo.view({"unused": Float32}, f"source_{place}").batch_source
        fields = [Field(name=f"rate_{place}", dtype=Float32)]
        views.append(
            FeatureView(name=f"view_{place}", entities=[entities[key] for key in keys], schema=fields, source=source)
        )
    store = repo.apply(*entities.values(), *views, FeatureService(name="service", features=views))
    return repo, open_reader(store, "service", columns=[f"rate_{place}" for place in range(len(views))])


def write(repo: OnlineRepo, place: int, **keys: list[Any]) -> None:
    frame = pd.DataFrame(keys).assign(event_timestamp=NOON).assign(**{f"rate_{place}": 0.5})
    repo.open().write_to_online_store(f"view_{place}", df=frame)


def test_keys_of_any_kind_are_found_that_one_request_can_ask_for(repo: OnlineRepo) -> None:
    repo, reader = zoned(repo, ("driver_id", "zone"), ("driver_id",), ("zone",), (), ("shop",))
    nothing: dict[str, list[Any]] | None = None if repo.online_store["type"] == OTHER else {"driver_id": []}
    assert reader.sample_keys("driver_id", 9) == nothing
    write(repo, 0, driver_id=[1, 2, 3, 1], zone=["ä", "ä", "ä", "b"])
    write(repo, 1, driver_id=[2, 3, 9])
    write(repo, 2, zone=["b", "ä"])
    assert reader.sample_keys("driver_id", 9) == nothing, "of shops there is none"
    write(repo, 4, shop=["a shop"])
    if nothing is None:
        return
    found = reader.sample_keys("driver_id", 9)
    assert found is not None
    assert {name: sorted(values) for name, values in found.items()} == {
        "driver_id": [2, 3],
        "zone": ["ä"],
        "shop": ["a shop"],
    }
    assert [len(values) for values in (reader.sample_keys("driver_id", 1) or {}).values()] == [1, 1, 1]
    found = reader.sample_keys("shop", 9)
    assert found is not None
    assert found["shop"] == ["a shop"]
    reader.close()


def test_what_is_stored_and_is_no_key_or_fits_no_other_is_left_out(tmp_path: Path) -> None:
    online_store = {"type": OURS, "path": str(tmp_path / "online.db")}
    repo, reader = zoned(OnlineRepo(tmp_path, "any", online_store), ("shop", "zone"), ("zone",))
    write(repo, 0, shop=["a"], zone=["here"])
    write(repo, 1, zone=["there"])
    with closing(sqlite3.connect(online_store["path"])) as connection, connection:
        connection.execute("INSERT INTO any_view_0 (entity_key, feature_name) VALUES (?, 'rate_0')", (b"no key",))
    assert reader.sample_keys("shop", 9) == {"shop": ["a"], "zone": ["here"]}
    assert reader.sample_keys("zone", 9) == {"zone": ["here"], "shop": ["a"]}


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
