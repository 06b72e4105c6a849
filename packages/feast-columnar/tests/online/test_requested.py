"""What a reader of any keys wants, and what it says of what does not fit."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from columnar_support.online_repos import NOON, NOON_US, OTHER, UNREAD, OnlineRepo, key_named, listed
from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.Value_pb2 import Null, Value
from feast.types import Bool, Float32, Int32, Int64, String
from hypothesis import given, settings
from hypothesis import strategies as st

from feast_columnar.errors import ColumnarError, RepoError, RequestError, UnservableFeatureError
from feast_columnar.online.reader import OnlineReader, open_reader
from feast_columnar.online.view_keys import KeyColumn, ViewKey
from feast_columnar.online.view_reader import ViewReader

if TYPE_CHECKING:
    from pathlib import Path

ZONE = key_named("zone", ValueType.STRING)
KEYS = ValueType.INT64, ValueType.INT32, ValueType.STRING, ValueType.BYTES, ValueType.UNIX_TIMESTAMP
TEXTS = st.text(st.characters(codec="utf-8"), max_size=300)


@pytest.fixture
def sqlite_repo(tmp_path: Path) -> OnlineRepo:
    """A repo with SQLite."""
    return OnlineRepo(tmp_path, "any", {"type": "sqlite", "path": str(tmp_path / "online.db")})


@pytest.fixture
def trips(sqlite_repo: OnlineRepo) -> OnlineReader:
    """A reader by driver and zone."""
    return opened(sqlite_repo)


def opened(repo: OnlineRepo) -> OnlineReader:
    views: list[Any] = [repo.view({"rate": Float32}, "drivers"), repo.view({"name": String}, "zones", entity=ZONE)]
    store = repo.apply(ZONE, *views, FeatureService(name="service", features=views))
    repo.write("drivers", [(1, NOON, {"rate": 0.5}), (2, NOON, {"rate": 0.25})])
    repo.readers.append(open_reader(store, "service", columns=["rate", "name"]))
    return repo.readers[-1]


@settings(max_examples=40, deadline=None)
@given(st.data(), st.lists(st.sampled_from(KEYS), min_size=1, max_size=4), st.integers(0, 4))
def test_keys_are_feasts_own_bytes(data: st.DataObject, types: list[ValueType], count: int) -> None:
    whole = st.datetimes(datetime(1, 1, 1), datetime(9999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis wants it so
    values = {
        ValueType.INT64: st.integers(-(2**63), 2**63 - 1),
        ValueType.INT32: st.integers(-(2**31), 2**31 - 1),
        ValueType.STRING: TEXTS,
        ValueType.BYTES: st.binary(max_size=300),
        ValueType.UNIX_TIMESTAMP: whole.map(lambda time: time.replace(microsecond=0)),
    }
    names = data.draw(st.lists(TEXTS, min_size=len(types), max_size=len(types), unique=True))
    key = ViewKey(tuple(KeyColumn(name, name, kind) for name, kind in zip(names, types, strict=True)))
    arrow = {ValueType.UNIX_TIMESTAMP: pa.timestamp("us"), ValueType.STRING: pa.string(), ValueType.BYTES: pa.binary()}
    asked: dict[str, Any] = {}
    for name, kind in zip(names, types, strict=True):
        size = data.draw(st.sampled_from([1, count]))
        column = data.draw(st.lists(values[kind], min_size=size, max_size=size))
        asked[name] = pa.array(column, arrow[kind]) if kind in arrow else np.array(column, dtype=np.int64)
    keys = key.keys_of(asked)
    assert len(keys) == (1 if all(len(column) == 1 for column in asked.values()) else count)
    assert keys.packed() == [serialize_entity_key(one, 3) for one in keys.messages()]
    for place, name in enumerate(names):
        stored = [one.entity_values[place] for one in keys.messages()]
        field = stored[0].WhichOneof("val") if stored else ""
        given = asked[name].tolist() * (len(keys) if len(asked[name]) == 1 else 1)
        if types[place] is ValueType.UNIX_TIMESTAMP:
            given = [(one - datetime(1970, 1, 1)) // timedelta(seconds=1) for one in given]  # noqa: DTZ001 - as Arrow has it
        assert [getattr(one, field) for one in stored] == given


def test_views_are_asked_for_no_more_rows_than_a_request_has_keys_of(sqlite_repo: OnlineRepo) -> None:
    moons = sqlite_repo.view({"moon": Float32}, "moons")
    world = FeatureView(name="world", schema=[Field(name="moon", dtype=Float32)], source=moons.batch_source)
    views = [sqlite_repo.view({"rate": Float32}, "drivers"), sqlite_repo.view({"area": Float32}, "zones", entity=ZONE)]
    store = sqlite_repo.apply(ZONE, world, *views, FeatureService(name="service", features=[*views, world]))
    reader = open_reader(store, "service")
    assert isinstance(reader, ViewReader)
    assert reader.keys == {"driver_id": Int64, "zone": String}

    def asked(**keys: Any) -> list[int]:
        return [len(one) for one in reader.view_keys(reader.schema.requested(keys))]

    assert asked(driver_id=[1, 2, 3], zone=["a"]) == [3, 1, 1]
    assert asked(driver_id=[1], zone=["a"]) == [1, 1, 1]
    assert asked(driver_id=[1], zone=["a", "b"]) == [1, 2, 1]
    assert asked(driver_id=[], zone=["a"]) == [0, 1, 1]
    assert reader.read({"driver_id": [], "zone": ["a"]}).matrix.shape == (0, 3)
    assert reader.read({"driver_id": [1], "zone": ["a"]}).matrix.shape == (1, 3)
    assert open_reader(store, "service", columns=["moon"]).read({}).matrix.shape == (1, 1)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (np.array([1]), r"has the keys 'driver_id' \(Int64\), 'zone' \(String\): give a mapping from the name of each"),
        (
            {"driver_id": [1]},
            r"The key 'zone' is missing: what is read has the keys 'driver_id' \(Int64\), 'zone' \(St",
        ),
        ({"driver_id": [1], "zone": ["a"], "rider": [1]}, r"The key 'rider' is unknown: what is read has the keys"),
        ({"driver_id": [1.0], "zone": ["a"]}, r"The key 'driver_id' has to be .* of Int64, not of double\."),
        ({"driver_id": [True], "zone": ["a"]}, r"'driver_id' .* of Int64, not of bool\."),
        ({"driver_id": ["1"], "zone": ["a"]}, r"'driver_id' .* of Int64, not of string\."),
        ({"driver_id": [2**63], "zone": ["a"]}, r"'driver_id' .* of Int64, not what was given: "),
        ({"driver_id": [1, "a"], "zone": ["a"]}, r"'driver_id' .* of Int64, not what was given: "),
        (
            {"driver_id": np.zeros((1, 1), dtype=np.int64), "zone": ["a"]},
            r"'driver_id' has to be an array of one dimension",
        ),
        ({"driver_id": 1, "zone": ["a"]}, r"'driver_id' .* not int: also one value for all rows is given as an array"),
        ({"driver_id": [1], "zone": "a"}, r"'zone' .* not str: "),
        ({"driver_id": [1], "zone": [1]}, r"'zone' .* of String, not of int64\."),
        ({"driver_id": [1], "zone": [b"a"]}, r"'zone' .* of String, not of binary\."),
        ({"driver_id": [1], "zone": ["\ud800"]}, r"'zone' .* of String, not what was given: "),
        ({"driver_id": [None, 1], "zone": ["a"]}, r"The key 'driver_id' has a null: leave out the rows"),
        ({"driver_id": [1], "zone": [None]}, r"The key 'zone' has a null"),
        (
            {"driver_id": [1, 2], "zone": ["a"] * 3},
            r"The key 'zone' has 3 values, the key 'driver_id' 2: give as many of",
        ),
        ({"driver_id": [], "zone": ["a"] * 3}, r"The key 'zone' has 3 values, the key 'driver_id' 0"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(trips: OnlineReader, keys: Any, message: str) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        trips.read(keys)
    assert isinstance(caught.value, ColumnarError)
    assert isinstance(caught.value, ValueError)


def test_there_is_no_request_data_where_nothing_is_computed(trips: OnlineReader) -> None:
    with pytest.raises(RequestError, match=r"request feature 'fee' is unknown: what is read has no request feature\."):
        trips.read({"driver_id": [1], "zone": ["a"]}, request={"fee": [1.0]})


@pytest.mark.parametrize(
    "zones",
    [["a", "b"], ("a", "b"), np.array(["a", "b"]), np.array(["a", "b"], dtype=object)],
    ids=["list", "tuple", "fixed width", "objects"],
)
def test_texts_may_come_in_any_array(sqlite_repo: OnlineRepo, zones: Any) -> None:
    reader = opened(sqlite_repo)
    frame = [("b", NOON, {"name": "Bern"}), ("a", NOON, {"name": None})]
    sqlite_repo.write("zones", frame, key="zone")  # type: ignore[arg-type] # keys are texts here
    found = reader.read({"driver_id": np.array([2, 9], dtype=np.uint8), "zone": zones}, NOON_US)
    assert listed(found) == [[0.25], [None]]
    assert found.others["name"].tolist() == [None, "Bern"]
    assert found.oldest.tolist() == [NOON_US, NOON_US]
    assert {name: times.tolist() for name, times in found.event_times().items()} == {
        "rate": [NOON_US, UNREAD],
        "name": [NOON_US, NOON_US],
    }


def test_bytes_and_times_are_keys(sqlite_repo: OnlineRepo) -> None:
    code = key_named("code", ValueType.BYTES)
    day = key_named("day", ValueType.UNIX_TIMESTAMP)
    view = sqlite_repo.view({"rate": Float32})
    both = FeatureView(
        name="both", entities=[code, day], schema=[Field(name="rate", dtype=Float32)], source=view.batch_source
    )
    store = sqlite_repo.apply(code, day, both, FeatureService(name="service", features=[both]))
    reader = open_reader(store, "service")
    asked = {"code": np.array([b"a", b"b"]), "day": np.array(["2026-01-01"], "datetime64[s]")}
    assert listed(reader.read(asked)) == [[None], [None]]
    with pytest.raises(RequestError, match=r"The key 'day' has a null"):
        reader.read({**asked, "day": np.array(["NaT"], "datetime64[us]")})


def test_a_key_that_a_view_can_not_have_is_missing_there_alone(sqlite_repo: OnlineRepo) -> None:
    small = Entity(name="small", join_keys=["small_id"], value_type=ValueType.INT32)
    wide, narrow = (
        sqlite_repo.view({"rate": Float32}, "wide"),
        sqlite_repo.view({"trips": Int32}, "narrow", entity=small),
    )
    mapped = narrow.with_join_key_map({"small_id": "driver_id"})
    pair = FeatureView(
        name="pair", entities=[small, ZONE], schema=[Field(name="rate", dtype=Float32)], source=wide.batch_source
    )
    services = [FeatureService(name="one", features=[wide, mapped]), FeatureService(name="two", features=[pair])]
    store = sqlite_repo.apply(small, ZONE, wide, narrow, pair, *services)
    sqlite_repo.write("wide", [(2**31, NOON, {"rate": 0.5}), (7, NOON, {"rate": 0.25})])
    sqlite_repo.write("narrow", [(2**31 - 1, NOON, {"trips": 3}), (7, NOON, {"trips": 4})], key="small_id")
    reader = open_reader(store, "one")
    assert reader.keys == {"driver_id": Int64}
    assert listed(reader.read(np.array([7, 2**31]), NOON_US)) == [[0.25, 4], [0.5, None]]
    assert listed(reader.read(np.array([7], dtype=np.int32), NOON_US)) == [[0.25, 4]]
    assert reader.sample(9).tolist() == [7, 2**31 - 1, 2**31]
    assert open_reader(store, "two").keys == {"small_id": Int32, "zone": String}
    assert listed(open_reader(store, "two").read({"small_id": [2**40], "zone": ["a"]})) == [[None]]


def test_keys_of_two_types_or_of_one_that_feast_does_not_take_are_refused(sqlite_repo: OnlineRepo) -> None:
    number = key_named("number", ValueType.INT64)
    views = [
        sqlite_repo.view({"rate": Float32}, "one", entity=number),
        sqlite_repo.view({"area": Float32}, "two", entity=ZONE),
    ]
    mapped = FeatureService(name="mapped", features=[views[0], views[1].with_join_key_map({"zone": "number"})])
    uuid = key_named("uuid", ValueType.UUID)
    odd = sqlite_repo.view({"odd": Float32}, "odd", entity=uuid)
    store = sqlite_repo.apply(number, ZONE, uuid, *views, odd, mapped, FeatureService(name="odd", features=[odd]))
    with pytest.raises(UnservableFeatureError, match=r"'number' is Int64 in one feature view and String in 'two'"):
        open_reader(store, "mapped")
    with pytest.raises(
        UnservableFeatureError, match=r"'odd' has the join key uuid \(Uuid\); Feast's online stores take"
    ):
        open_reader(store, "odd")


def test_only_booleans_that_are_read_are_read_as_booleans(sqlite_repo: OnlineRepo) -> None:
    view = sqlite_repo.view({"new": Bool, "rate": Float32})
    store = sqlite_repo.apply(view, FeatureService(name="service", features=[view]))
    sqlite_repo.write("stats", [(1, NOON, {"new": False, "rate": 0.5})])
    reader = open_reader(store, "service", as_bool=["new"])
    assert (reader.columns, reader.others) == (("rate",), ("new",))
    assert reader.read(np.array([1, 2])).others["new"].tolist() == [False, None]
    with pytest.raises(RepoError, match="'rate' can't be read as booleans: it is Float32"):
        open_reader(store, "service", as_bool=["rate"])
    with pytest.raises(RepoError, match="'old' can't be read as booleans: it is not there"):
        open_reader(store, "service", as_bool=["old"])


def test_views_without_rows_are_named_and_no_keys_are_sampled(repo: OnlineRepo) -> None:
    reader = opened(repo)
    other = OnlineRepo(repo.folder, f"old_{repo.project}", repo.online_store)
    known = repo.online_store["type"] != OTHER
    assert reader.lacking() == (("zones",) if known else ())
    frame = [("b", NOON, {"name": "Bern"})]
    if repo.online_store["type"] == "redis":
        view = other.view({"name": String}, "zones", entity=ZONE)
        other.apply(ZONE, view)
        other.write("zones", frame, key="zone")  # type: ignore[arg-type] # keys are texts here
        assert reader.lacking() == ("zones",)
    repo.write("zones", frame, key="zone")  # type: ignore[arg-type] # as above
    assert reader.lacking() == ()
    assert reader.sample(9).tolist() == []


@pytest.mark.parametrize(
    "cell",
    [
        Value(string_val="Bern").SerializeToString()[:3],
        Value(string_val="Bern").SerializeToString() + b"\xff",
        Value(bytes_val=b"Bern").SerializeToString(),
        b"\x12\x02\xff\xff",
    ],
    ids=["cut short", "with more behind it", "bytes", "no UTF-8"],
)
def test_a_spoilt_text_is_missing_and_told(sqlite_repo: OnlineRepo, cell: bytes) -> None:
    reader = opened(sqlite_repo)
    rows: Any = [("a", NOON, {"name": "Bern"}), ("b", NOON, {"name": "Zürich"})]
    sqlite_repo.write("zones", rows, key="zone")
    null = Value(null_val=Null.NULL).SerializeToString()
    for value, name in ((cell, "Bern"), (null, "Zürich")):
        with closing(sqlite3.connect(sqlite_repo.online_store["path"])) as connection, connection:
            connection.execute("UPDATE any_zones SET value = ? WHERE value_text = ?", (value, name))
    for zones, spoilt in ((["a", "b"], [True, False]), (["a"], [True, True])):
        found = reader.read({"driver_id": [1, 2], "zone": zones}, NOON_US)
        assert found.others["name"].tolist() == [None, None]
        assert found.unreadable is not None
        assert found.unreadable.tolist() == spoilt
        assert listed(found) == [[0.5], [0.25]]
    many = reader.read({"driver_id": [1], "zone": ["b", "a"] * 20}, NOON_US)
    assert many.unreadable is not None
    assert many.unreadable.tolist() == [False, True] * 20


def test_a_key_of_32_bits_that_is_one_for_all_rows_is_known_or_not_for_each_of_them() -> None:
    key = ViewKey((KeyColumn("small", "small", ValueType.INT32), KeyColumn("zone", "zone", ValueType.STRING)))
    for small, known in ((1, True), (2**40, False)):
        keys = key.keys_of({"small": np.array([small]), "zone": pa.array(["a", "b"])})
        assert len(keys.messages()) == 2
        assert keys.known is not None
        assert keys.known.tolist() == [known, known]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(KEYS), min_size=1, max_size=3), st.sampled_from([3, 20, 1000]), st.integers(0, 2**32))
def test_of_many_rows_each_key_is_read_once(types: list[ValueType], distinct: int, seed: int) -> None:
    random, count = np.random.default_rng(seed), 200
    key = ViewKey(tuple(KeyColumn(str(place), str(place), kind) for place, kind in enumerate(types)))
    asked: dict[str, Any] = {"more": pa.array(["what other views are read by"])}
    for place, kind in enumerate(types):
        drawn = random.integers(0, distinct, count)
        texts = [f"n{number}" for number in drawn.tolist()]
        asked[str(place)] = {
            ValueType.STRING: pa.array(texts),
            ValueType.BYTES: pa.array(texts, pa.string()).cast(pa.binary()),
            ValueType.UNIX_TIMESTAMP: pa.array(drawn, pa.timestamp("us")),
        }.get(kind, drawn)
    keys = key.keys_of(asked)
    alone = [
        key.keys_of({name: column[row : row + 1] for name, column in asked.items() if name != "more"}).packed()[0]
        for row in range(count)
    ]
    packed, places = keys.packed(), range(count) if keys.places is None else keys.places.tolist()
    assert [packed[place] for place in places] == alone
    if ValueType.UNIX_TIMESTAMP not in types:  # of which seconds count
        assert len(keys) == len(packed) == len(set(alone))


def test_many_rows_that_repeat_keys_are_as_each_alone(repo: OnlineRepo) -> None:
    reader = opened(repo)
    zones: Any = [("a", NOON, {"name": "Bern"}), ("b", NOON, {"name": "Zürich"})]
    repo.write("zones", zones, key="zone")
    drivers, names = [1, 2, 3, 2, 1] * 8, ["a", "b", "c", "a"] * 10
    found = reader.read({"driver_id": drivers, "zone": names}, NOON_US)
    alone = [reader.read({"driver_id": [n], "zone": [z]}, NOON_US) for n, z in zip(drivers, names, strict=True)]
    assert listed(found) == [listed(one)[0] for one in alone]
    assert found.oldest.tolist() == [one.oldest[0] for one in alone]
    assert found.others["name"].tolist() == [one.others["name"][0] for one in alone]
    assert {name: times.tolist() for name, times in found.event_times().items()} == {
        name: [one.event_times()[name][0] for one in alone] for name in ("rate", "name")
    }


def test_many_rows_of_other_keys_each_are_asked_for_as_they_are() -> None:
    key = ViewKey((KeyColumn("number", "number", ValueType.INT64), KeyColumn("zone", "zone", ValueType.STRING)))
    numbers, zones = np.repeat(np.arange(20), 2), pa.array(["a", "b"] * 20)
    keys = key.keys_of({"number": numbers, "zone": zones})
    assert (len(keys), keys.places) == (40, None)
    assert [keys.columns[0].tolist(), keys.columns[1].tolist()] == [numbers.tolist(), zones.tolist()]
    keys = key.keys_of({"number": numbers, "zone": pa.array(["a"])})
    assert keys.places is not None
    assert keys.columns[0][keys.places].tolist() == numbers.tolist()
    assert (len(keys), keys.columns[1].tolist()) == (20, ["a"] * 20)
