"""The reader as anyone opens it: by a service alone, with some columns, by another key, and what is refused."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from columnar_support.online_repos import NOON, ON_DEMAND, OnlineRepo, key_named, listed, on_demand_of
from feast import FeatureService
from feast.types import Array, Bool, Float32, Float64, Int32, String

from feast_columnar.errors import RepoError, UnservableFeatureError
from feast_columnar.online.reader import open_reader

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def sqlite_repo(tmp_path: Path) -> OnlineRepo:
    """A repo with SQLite."""
    return OnlineRepo(tmp_path, "any", {"type": "sqlite", "path": str(tmp_path / "online.db")})


def test_a_service_is_read_whole_by_its_own_key_as_of_now(repo: OnlineRepo) -> None:
    view = repo.view({"rate": Float32, "city": String, "trips": Int32, "new": Bool}, ttl=timedelta(days=1))
    service = FeatureService(name="service", features=[view])
    store = repo.apply(view, service)
    just_now = datetime.now(tz=UTC) - timedelta(minutes=1)
    row = {"rate": 0.5, "city": "Rome", "trips": 7, "new": True}
    repo.write("stats", [(1, just_now, row), (2, NOON, row)])
    for reader in (open_reader(store, "service"), open_reader(store, service)):
        assert reader.columns == ("rate", "trips", "new")
        expected = [[0.5, 7, 1], [None, None, None]]
        assert listed(reader.read(np.array([1, 2]))) == expected
        assert [listed(asyncio.run(reader.read_async(np.array([1, 2])))) for _ in range(2)] == [expected, expected]
        reader.close()


def test_some_columns_are_read_in_the_order_asked(sqlite_repo: OnlineRepo) -> None:
    view = sqlite_repo.view({"rate": Float32, "trips": Int32})
    store = sqlite_repo.apply(view, FeatureService(name="service", features=[view]))
    sqlite_repo.write("stats", [(1, NOON, {"rate": 0.5, "trips": 7})])
    reader = open_reader(store, "service", columns=["stats__trips", "stats__rate"], full_feature_names=True)
    assert reader.columns == ("stats__trips", "stats__rate")
    assert listed(reader.read(np.array([1]))) == [[7, 0.5]]


@ON_DEMAND
def test_on_demand_features_are_read_by_the_key_of_what_they_compute_from(sqlite_repo: OnlineRepo) -> None:
    entity = key_named("person")
    view = sqlite_repo.view({"rate": Float64}, entity=entity)
    on_demand = on_demand_of(view)
    store = sqlite_repo.apply(entity, view, on_demand, FeatureService(name="service", features=[on_demand]))
    sqlite_repo.write("stats", [(1, NOON, {"rate": 0.5})], key="person")
    reader = open_reader(store, "service")
    assert reader.columns == ("doubled",)
    assert listed(reader.read(np.array([1, 2]))) == [[1.0], [None]]
    assert listed(asyncio.run(reader.read_async(np.array([2, 1])))) == [[None], [1.0]]
    assert reader.read(np.array([], dtype=np.int64)).matrix.shape == (0, 1)


def test_views_of_several_keys_are_read_by_all_of_them_unless_one_is_wanted(sqlite_repo: OnlineRepo) -> None:
    other = key_named("person")
    views: list[Any] = [
        sqlite_repo.view({"rate": Float32}, "one"),
        sqlite_repo.view({"trips": Int32}, "two", entity=other),
    ]
    mapped = views[1].with_join_key_map({"person": "driver_id"})
    services = [
        FeatureService(name="apart", features=[*views]),
        FeatureService(name="mapped", features=[views[0], mapped]),
    ]
    store = sqlite_repo.apply(other, *views, *services)
    with pytest.raises(UnservableFeatureError, match=r"'two' has the join keys person \(Int64\); .*, 'driver_id'\.$"):
        open_reader(store, "apart", key="driver_id")
    sqlite_repo.write("two", [(1, NOON, {"trips": 7})], key="person")
    assert listed(open_reader(store, "apart").read({"driver_id": [1, 1], "person": [2, 1]})) == [
        [None, None],
        [None, 7],
    ]
    assert listed(open_reader(store, "mapped").read(np.array([1]))) == [[None, 7]]


def test_what_is_not_there_or_not_clear_is_refused_by_name(sqlite_repo: OnlineRepo) -> None:
    one, two = sqlite_repo.view({"rate": Float32}, "one"), sqlite_repo.view({"rate": Float32}, "two")
    text = sqlite_repo.view({"city": String}, "text")
    services = [
        FeatureService(name="numbers", features=[one]),
        FeatureService(name="alike", features=[one, two]),
        FeatureService(name="texts", features=[text]),
    ]
    store = sqlite_repo.apply(one, two, text, *services)
    with pytest.raises(RepoError, match=r"The feature service 'none' can't be read: .*none does not exist"):
        open_reader(store, "none")
    with pytest.raises(RepoError, match=r"service 'numbers' has no column 'tips'; it has 'rate'\.$"):
        open_reader(store, "numbers", columns=["rate", "tips"])
    with pytest.raises(RepoError, match="Which column 'rate' is, is not clear"):
        open_reader(store, "numbers", columns=["rate", "rate"])
    with pytest.raises(RepoError, match="'alike' has features of one name, by full_feature_names=True"):
        open_reader(store, "alike")
    with pytest.raises(RepoError, match=r"No column of the feature service 'texts' is to be read; it has 'city'\.$"):
        open_reader(store, "texts")
    assert open_reader(store, "alike", full_feature_names=True).columns == ("one__rate", "two__rate")


def test_a_service_that_was_not_applied_is_read_if_its_views_were(sqlite_repo: OnlineRepo) -> None:
    view = sqlite_repo.view({"rate": Float32})
    store = sqlite_repo.apply(view)
    sqlite_repo.write("stats", [(1, NOON, {"rate": 0.5})])
    service = FeatureService(name="another", features=[view])
    assert listed(open_reader(store, service).read(np.array([1]))) == [[0.5]]
    unknown = FeatureService(name="unknown", features=[sqlite_repo.view({"rate": Float32}, "unknown")])
    with pytest.raises(RepoError, match=r"The online store can't be opened: .*unknown"):
        open_reader(store, unknown)


@ON_DEMAND
def test_a_column_that_is_no_scalar_is_refused_beside_computed_ones_too(sqlite_repo: OnlineRepo) -> None:
    view = sqlite_repo.view({"rate": Float64, "rates": Array(Float64)})
    on_demand = on_demand_of(view)
    service = FeatureService(name="service", features=[view, on_demand])
    store = sqlite_repo.apply(view, on_demand, service)
    with pytest.raises(UnservableFeatureError, match="'rates' of the feature service 'service' is not a number, text"):
        open_reader(store, "service", columns=["doubled", "rates"])
    assert open_reader(store, "service", columns=["doubled", "rate"]).columns == ("doubled", "rate")
