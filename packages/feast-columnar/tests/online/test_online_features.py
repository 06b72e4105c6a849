"""What is read from the online store: the same cases on SQLite, Redis and another store, Feast's read as the oracle."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import redis
from columnar_support.online_repos import (
    HOUR_US,
    NOON,
    NOON_US,
    ON_DEMAND,
    OURS,
    PROJECTS,
    UNREAD,
    OnlineRepo,
    key_named,
    listed,
    on_demand_of,
    read,
)
from feast import Entity, FeatureService, ValueType
from feast.types import Array, Bool, Float32, Float64, Int32, Int64, String
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from processes import free_port, running_redis

from feast_columnar.errors import StoreUnavailableError, UnservableFeatureError
from feast_columnar.online.values import FixedWidth


def test_values_come_in_the_order_of_the_models_columns(repo: OnlineRepo) -> None:
    view = repo.view({"rate": Float32, "trips": Int32})
    repo.apply(view, FeatureService(name="service", features=[view]))
    repo.write("stats", [(1, NOON, {"rate": 0.5, "trips": 7}), (2, NOON, {"rate": 0.25, "trips": 9})])
    features = read(repo.reader("service", "trips", "rate"), 2, 1)
    assert listed(features) == [[9, 0.25], [7, 0.5]]
    assert features.oldest.tolist() == [NOON_US, NOON_US]


def test_numbers_of_every_type_are_read(repo: OnlineRepo) -> None:
    view = repo.view({"a": Float32, "b": Float64, "c": Int32, "d": Int64, "e": Bool})
    repo.apply(view, FeatureService(name="service", features=[view]))
    repo.write("stats", [(1, NOON, {"a": 0.1, "b": 0.1, "c": -3, "d": 2**40, "e": True})])
    assert listed(read(repo.reader("service", *"abcde"), 1)) == [[float(np.float32(0.1)), 0.1, -3, 2**40, 1]]


def test_a_driver_that_is_not_there_has_no_value_and_no_age(repo: OnlineRepo) -> None:
    view = repo.view({"rate": Float32}, ttl=timedelta(days=1))
    repo.apply(view, FeatureService(name="service", features=[view]))
    repo.write("stats", [(1, NOON, {"rate": 0.5})])
    features = read(repo.reader("service", "rate"), 9, 1, -(2**63), 2**63 - 1)
    assert listed(features) == [[None], [0.5], [None], [None]]
    assert features.oldest.tolist() == [UNREAD, NOON_US, UNREAD, UNREAD]


def test_a_null_is_missing_and_its_neighbours_are_not(repo: OnlineRepo) -> None:
    view = repo.view({"rate": Float32, "trips": Int32})
    repo.apply(view, FeatureService(name="service", features=[view]))
    repo.write("stats", [(1, NOON, {"rate": None, "trips": 7}), (2, NOON, {"rate": 0.5, "trips": None})])
    assert listed(read(repo.reader("service", "rate", "trips"), 1, 2)) == [[None, 7], [0.5, None]]


@pytest.mark.parametrize(
    ("after", "value"),
    [(0, 0.5), (HOUR_US, 0.5), (HOUR_US + 1, None), (-1, None)],
    ids=["at once", "at the ttl's end", "after it", "before the value was known"],
)
def test_the_ttl_holds_online_as_it_does_in_the_join(repo: OnlineRepo, after: int, value: float | None) -> None:
    view = repo.view({"rate": Float32}, ttl=timedelta(hours=1))
    repo.apply(view, FeatureService(name="service", features=[view]))
    repo.write("stats", [(1, NOON, {"rate": 0.5})])
    features = read(repo.reader("service", "rate"), 1, now=NOON_US + after)
    assert listed(features) == [[value]]
    assert features.oldest.tolist() == [UNREAD if value is None else NOON_US]


def test_microseconds_of_an_event_time_are_kept(repo: OnlineRepo) -> None:
    view = repo.view({"rate": Float32}, ttl=timedelta(hours=1))
    repo.apply(view, FeatureService(name="service", features=[view]))
    repo.write("stats", [(1, NOON + timedelta(microseconds=123_457), {"rate": 0.5})])
    kept = 123_457 if repo.online_store["type"] in {"redis", OURS} else 0  # Feast's SQLite store keeps whole seconds
    assert read(repo.reader("service", "rate"), 1, now=NOON_US + HOUR_US).oldest.tolist() == [NOON_US + kept]


@pytest.mark.parametrize("ttl", [None, timedelta(0)])
def test_without_a_ttl_nothing_is_too_old(repo: OnlineRepo, ttl: timedelta | None) -> None:
    view = repo.view({"rate": Float32}, ttl=ttl)
    repo.apply(view, FeatureService(name="service", features=[view]))
    repo.write("stats", [(1, datetime(2001, 1, 1, tzinfo=UTC), {"rate": 0.5})])
    assert listed(read(repo.reader("service", "rate"), 1)) == [[0.5]]


def test_each_view_has_its_own_ttl_and_the_oldest_row_used_counts(repo: OnlineRepo) -> None:
    short = repo.view({"rate": Float32}, "short", ttl=timedelta(hours=1))
    long = repo.view({"trips": Int32}, "long", ttl=timedelta(days=9))
    repo.apply(short, long, FeatureService(name="service", features=[short, long]))
    old = NOON - timedelta(hours=2)
    repo.write("short", [(1, old, {"rate": 0.5}), (2, NOON, {"rate": 0.75})])
    repo.write("long", [(1, old, {"trips": 7}), (2, old, {"trips": 8})])
    features = read(repo.reader("service", "rate", "trips"), 1, 2)
    assert listed(features) == [[None, 7], [0.75, 8]]
    assert features.oldest.tolist() == [NOON_US - 2 * HOUR_US, NOON_US - 2 * HOUR_US]


def test_features_of_one_name_are_told_apart_by_their_views(repo: OnlineRepo) -> None:
    first, second = repo.view({"rate": Float32}, "first"), repo.view({"rate": Float32}, "second")
    repo.apply(first, second, FeatureService(name="service", features=[first, second.with_name("other")]))
    repo.write("first", [(1, NOON, {"rate": 0.5})])
    repo.write("second", [(1, NOON, {"rate": 0.25})])
    assert listed(read(repo.reader("service", "other__rate", "first__rate"), 1)) == [[0.25, 0.5]]


def test_a_view_is_joined_by_another_name_of_its_key(repo: OnlineRepo) -> None:
    entity = key_named("person")
    view = repo.view({"rate": Float32}, entity=entity)
    mapped = view.with_join_key_map({"person": "driver_id"})
    repo.apply(entity, view, FeatureService(name="service", features=[mapped]))
    repo.write("stats", [(1, NOON, {"rate": 0.5})], key="person")
    assert listed(read(repo.reader("service", "rate"), 1)) == [[0.5]]


def test_ids_that_a_small_key_cannot_have_are_missing(repo: OnlineRepo) -> None:
    entity = Entity(name="small", join_keys=["driver_id"], value_type=ValueType.INT32)
    view = repo.view({"rate": Float32}, entity=entity)
    store = repo.open()
    store.apply([entity, view, FeatureService(name="service", features=[view])])
    repo.write("stats", [(1, NOON, {"rate": 0.5})])
    assert listed(read(repo.reader("service", "rate"), 2**40, 1, -(2**31) - 1)) == [[None], [0.5], [None]]


@ON_DEMAND
def test_an_on_demand_view_is_computed_from_what_is_fresh(repo: OnlineRepo) -> None:
    view = repo.view({"rate": Float64}, ttl=timedelta(hours=1))

    doubled = on_demand_of(view)
    repo.apply(view, doubled, FeatureService(name="service", features=[view, doubled]))
    old = NOON - timedelta(hours=2)
    repo.write("stats", [(1, NOON, {"rate": 0.5}), (2, old, {"rate": 0.25})])
    features = read(repo.reader("service", "doubled", "rate"), 1, 2, 9)
    assert listed(features) == [[1.0, 0.5], [None, None], [None, None]]
    assert features.oldest.tolist() == [NOON_US, UNREAD, UNREAD]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.integers(-5, 30), st.tuples(st.none() | st.floats(width=32, allow_nan=False), st.none() | st.integers(0, 99))
    ),
    st.lists(st.integers(-8, 40), min_size=1, max_size=40),
)
def test_the_values_are_those_of_get_online_features(
    repo: OnlineRepo, rows: dict[int, tuple[float | None, int | None]], drivers: list[int]
) -> None:
    repo = replace(repo, project=f"{repo.project}_{next(PROJECTS)}")
    view = repo.view({"rate": Float32, "trips": Int32})
    store = repo.apply(view, FeatureService(name="service", features=[view]))
    rows = {99: (0.5, 7), **rows}  # Feast writes no table that is all null
    repo.write("stats", [(one, NOON, {"rate": rate, "trips": trips}) for one, (rate, trips) in rows.items()])
    names = ["stats:rate", "stats:trips"]
    oracle = store.get_online_features(names, [{"driver_id": driver} for driver in drivers]).to_dict()
    expected = [list(row) for row in zip(oracle["rate"], oracle["trips"], strict=True)]
    assert listed(read(repo.reader("service", "rate", "trips"), *drivers)) == expected


def test_what_the_model_does_not_take_is_not_looked_at(repo: OnlineRepo) -> None:
    wide, unused = repo.view({"rate": Float32, "trips": Int32}, "wide"), repo.view({"age": Int32}, "unused")
    repo.apply(wide, unused, FeatureService(name="service", features=[wide, unused]))
    repo.write("wide", [(1, NOON, {"rate": 0.5, "trips": 7})])
    assert listed(read(repo.reader("service", "trips"), 1)) == [[7]]


def test_a_value_stored_with_another_type_than_the_declared_one_is_read(repo: OnlineRepo) -> None:
    service = FeatureService(name="service", features=[repo.view({"rate": Float64})])
    repo.apply(repo.view({"rate": Float64}), service)
    repo.write("stats", [(1, NOON, {"rate": 0.5}), (2, NOON, {"rate": None})])
    declared = repo.view({"rate": Float32})
    repo.apply(declared, FeatureService(name="service", features=[declared]))
    assert listed(read(repo.reader("service", "rate"), 1, 2)) == [[0.5], [None]]


def test_ten_thousand_drivers_are_read_at_once(repo: OnlineRepo) -> None:
    view = repo.view({"trips": Int32})
    repo.apply(view, FeatureService(name="service", features=[view]))
    repo.write("stats", [(driver, NOON, {"trips": driver}) for driver in range(0, 10_000, 2)])
    values = repo.reader("service", "trips").read(np.arange(10_000), NOON_US).matrix[:, 0]
    assert values[::2].tolist() == list(range(0, 10_000, 2))
    assert np.isnan(values[1::2]).all()


def test_a_view_that_is_not_online_is_refused(repo: OnlineRepo) -> None:
    view = repo.view({"rate": Float32}, online=False)
    repo.apply(view, FeatureService(name="service", features=[view]))
    with pytest.raises(UnservableFeatureError, match="'stats' is not online"):
        repo.reader("service", "rate")


@pytest.mark.parametrize(
    ("entity", "named"),
    [
        (key_named("person"), r"the join keys person \(Int64\)"),
        (Entity(name="text", join_keys=["driver_id"], value_type=ValueType.STRING), r"driver_id \(String\)"),
    ],
)
def test_a_view_with_another_key_is_refused(repo: OnlineRepo, entity: Entity, named: str) -> None:
    view = repo.view({"rate": Float32}, entity=entity)
    store = repo.open()
    store.apply([entity, view, FeatureService(name="service", features=[view])])
    with pytest.raises(UnservableFeatureError, match=named):
        repo.reader("service", "rate")


def test_a_feature_that_is_no_scalar_is_refused(repo: OnlineRepo) -> None:
    view = repo.view({"rate": Float32, "cities": Array(String)})
    repo.apply(view, FeatureService(name="service", features=[view]))
    with pytest.raises(UnservableFeatureError, match=r"'cities' of 'stats' is not a number, text, .* but Array"):
        repo.reader("service", "rate", "cities")


def test_floats_of_one_width_are_decoded_together_and_others_are_left() -> None:
    floats = FixedWidth(b"5", "<f4")
    half, null = b"5" + np.float32(0.5).tobytes(), None
    decoded = floats.decode([half, null])
    assert decoded is not None
    assert decoded[0] == 0.5
    assert np.isnan(decoded[1])
    assert floats.decode([half, b"\x18\x07"]) is None
    assert floats.decode([b"!" + half[1:]]) is None


def test_a_redis_cluster_is_read_through_feast(tmp_path: Path) -> None:
    port = free_port()
    with running_redis(tmp_path, port, **{"cluster-enabled": "yes"}):
        with redis.Redis(port=port) as node:
            node.execute_command("CLUSTER ADDSLOTS", *range(16384))
            end = time.monotonic() + 10
            while node.cluster("info")["cluster_state"] != "ok" and time.monotonic() < end:
                time.sleep(0.05)
        online_store = {"type": "redis", "redis_type": "redis_cluster", "connection_string": f"127.0.0.1:{port}"}
        repo = OnlineRepo(tmp_path, "cluster", online_store)
        view = repo.view({"rate": Float32})
        repo.apply(view, FeatureService(name="service", features=[view]))
        repo.write("stats", [(1, NOON, {"rate": 0.5})])
        assert listed(read(repo.reader("service", "rate"), 1, 9)) == [[0.5], [None]]


@pytest.fixture
def sqlite_repo(tmp_path: Path) -> OnlineRepo:
    """A repo with SQLite."""
    return OnlineRepo(tmp_path, "files", {"type": "sqlite", "path": str(tmp_path / "online.db")})


@ON_DEMAND
@pytest.mark.parametrize("wanted", ["rate", "doubled"])
def test_a_file_that_is_gone_is_missed_and_a_new_one_is_found(sqlite_repo: OnlineRepo, wanted: str) -> None:
    view = sqlite_repo.view({"rate": Float64})
    on_demand = on_demand_of(view)
    service = FeatureService(name="service", features=[view, on_demand])
    sqlite_repo.apply(view, on_demand, service)
    sqlite_repo.write("stats", [(1, NOON, {"rate": 0.5})])
    reader = sqlite_repo.reader("service", wanted)
    before = listed(read(reader, 1))
    Path(sqlite_repo.online_store["path"]).rename(sqlite_repo.folder / "away.db")
    with pytest.raises(StoreUnavailableError, match="Sqlite online store can't be read: its file is not there"):
        read(reader, 1)
    sqlite_repo.folder.joinpath("registry.db").unlink()
    sqlite_repo.apply(view, on_demand, service)
    sqlite_repo.write("stats", [(1, NOON, {"rate": 0.75})])
    assert [before, listed(read(reader, 1))] == ([[[0.5]], [[0.75]]] if wanted == "rate" else [[[1.0]], [[1.5]]])


def test_a_table_that_is_missing_is_an_error_of_the_store(sqlite_repo: OnlineRepo) -> None:
    view = sqlite_repo.view({"rate": Float32})
    sqlite_repo.apply(view, FeatureService(name="service", features=[view]))
    reader = sqlite_repo.reader("service", "rate")
    Path(sqlite_repo.online_store["path"]).write_bytes(b"")
    with pytest.raises(StoreUnavailableError, match="no such table"):
        read(reader, 1)


def test_a_redis_that_is_gone_is_missed_at_once_and_found_when_it_is_back(tmp_path: Path) -> None:
    port = free_port()
    repo = OnlineRepo(tmp_path, "gone", {"type": "redis", "connection_string": f"127.0.0.1:{port}"})
    view = repo.view({"rate": Float32})
    with running_redis(tmp_path, port):
        repo.apply(view, FeatureService(name="service", features=[view]))
        repo.write("stats", [(1, NOON, {"rate": 0.5})])
        reader = repo.reader("service", "rate")
        assert listed(read(reader, 1)) == [[0.5]]
    start = time.monotonic()
    with pytest.raises(StoreUnavailableError, match="Redis online store can't be read"):
        read(reader, 1)
    assert time.monotonic() - start < 2  # Feast's own setting tries for more than three seconds
    with running_redis(tmp_path, port), closing(reader):
        assert listed(read(reader, 1)) == [[None]]
