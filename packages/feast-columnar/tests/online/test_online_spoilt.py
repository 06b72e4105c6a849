"""What is spoilt in the online store excludes the driver whose it is, and nobody else notices."""

from __future__ import annotations

import sqlite3
import struct
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import redis
from columnar_support.online_repos import (
    NOON,
    NOON_US,
    ON_DEMAND,
    OTHER,
    UNREAD,
    OnlineRepo,
    listed,
    on_demand_of,
    read,
)
from feast import FeatureService, Field
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import _mmh3
from feast.on_demand_feature_view import on_demand_feature_view
from feast.protos.feast.types.Value_pb2 import Int64List, Value
from feast.types import Float32, Int32, Int64
from google.protobuf.timestamp_pb2 import Timestamp

from feast_columnar.errors import StoreUnavailableError
from feast_columnar.online.keys import entity_key
from feast_columnar.online.stock import rows_apart

if TYPE_CHECKING:
    from collections.abc import Callable

DRIVERS = (1, 2, 3, 4)
RATE = Value(float_val=0.5).SerializeToString()


def key_of(driver: int) -> bytes:
    key: bytes = serialize_entity_key(entity_key("driver_id", "int64_val", driver), entity_key_serialization_version=3)
    return key


def time_cell(seconds: int, nanos: int = 0) -> bytes:
    cell: bytes = Timestamp(seconds=seconds, nanos=nanos).SerializeToString()
    return cell


SPOILT_IN_REDIS: dict[str, dict[str, bytes] | None] = {
    "another type of key": None,
    "a value cut short": {"rate": RATE[:3]},
    "a value with more behind it": {"rate": RATE + b"\xff"},
    "a text": {"rate": Value(string_val="0.5").SerializeToString()},
    "a list": {"trips": Value(int64_list_val=Int64List(val=[1])).SerializeToString()},
    "no message": {"trips": b"\xff\xff\xff"},
    "a time cut short": {"_ts": b"\x08"},
    "a time of 2^62 seconds": {"_ts": time_cell(2**62)},
    "a time of -2^62 seconds": {"_ts": time_cell(-(2**62))},
    "a time with too many nanoseconds": {"_ts": time_cell(1_700_000_000, 2_000_000_000)},
}


def spoil_redis(repo: OnlineRepo, driver: int, cells: dict[str, bytes] | None) -> None:
    host, port = str(repo.online_store["connection_string"]).split(":")
    with redis.Redis(host, int(port)) as client:
        key = key_of(driver) + repo.project.encode()
        if cells is None:
            client.delete(key)
            client.set(key, "not a hash")
            return
        fields = {"_ts": b"_ts:stats", "rate": _mmh3("stats:rate"), "trips": _mmh3("stats:trips")}
        client.hset(key, mapping={fields[name]: cell for name, cell in cells.items()})


def filled(repo: OnlineRepo, *more: Any) -> None:
    view = repo.view({"rate": Float32, "trips": Int32})
    views = [view, *(make(view) for make in more)]
    repo.apply(*views, FeatureService(name="service", features=views))
    repo.write("stats", [(driver, NOON, {"rate": 0.5, "trips": 7}) for driver in DRIVERS])


@pytest.fixture
def redis_repo(redis_server: str, tmp_path: Any) -> OnlineRepo:
    """A repo with the Redis that all share."""
    made = OnlineRepo(tmp_path, f"spoilt_{tmp_path.name}", {"type": "redis", "connection_string": redis_server})
    filled(made)
    return made


@pytest.mark.parametrize("spoilt", SPOILT_IN_REDIS)
def test_a_spoilt_key_in_redis_excludes_its_driver_and_no_other(redis_repo: OnlineRepo, spoilt: str) -> None:
    spoil_redis(redis_repo, 2, SPOILT_IN_REDIS[spoilt])
    with closing(redis_repo.reader("service", "rate", "trips")) as reader:
        features = read(reader, *DRIVERS)
        assert listed(features) == [[0.5, 7], [None, None], [0.5, 7], [0.5, 7]]
        assert features.unreadable is not None
        assert features.unreadable.tolist() == [False, True, False, False]
        assert features.oldest.tolist() == [NOON_US, UNREAD, NOON_US, NOON_US]
        assert read(reader, 1, 3).unreadable is None
        assert reader.lacking() == ()


def test_what_a_negative_time_or_a_number_of_another_width_says_is_read(redis_repo: OnlineRepo) -> None:
    spoil_redis(redis_repo, 2, {"_ts": time_cell(-5), "rate": Value(int64_val=2**53).SerializeToString()})
    with closing(redis_repo.reader("service", "rate", "trips")) as reader:
        features = read(reader, 2)
    assert (listed(features), features.oldest.tolist(), features.unreadable) == ([[2.0**53, 7]], [-5_000_000], None)


def test_values_that_are_cut_short_and_too_long_are_not_taken_for_each_other(redis_repo: OnlineRepo) -> None:
    tag, number = RATE[:1], RATE[1:]
    spoil_redis(redis_repo, 1, {"rate": tag + number[:3]})
    spoil_redis(redis_repo, 2, {"rate": tag + tag + number})
    with closing(redis_repo.reader("service", "rate")) as reader:
        assert listed(read(reader, 1, 2, 3)) == [[None], [None], [0.5]]


SPOILT_IN_SQLITE = {
    "a text for a time": "UPDATE {} SET event_ts = 'yesterday'",
    "no time": "UPDATE {} SET event_ts = NULL",
    "a time of 2^62": f"UPDATE {{}} SET event_ts = {2**62}",
    "bytes for a time": "UPDATE {} SET event_ts = x'0102'",
    "a value cut short": "UPDATE {} SET value = x'3500'",
    "a text for a value": "UPDATE {} SET value = 'abcde'",
    "a number for a value": "UPDATE {} SET value = 5",
}


@pytest.fixture
def sqlite_repo(tmp_path: Any) -> OnlineRepo:
    """A filled repo with SQLite."""
    made = OnlineRepo(tmp_path, "files", {"type": "sqlite", "path": str(tmp_path / "online.db")})
    filled(made)
    return made


@pytest.mark.parametrize("spoilt", SPOILT_IN_SQLITE)
def test_a_spoilt_row_in_sqlite_excludes_its_driver_and_no_other(sqlite_repo: OnlineRepo, spoilt: str) -> None:
    with closing(sqlite3.connect(sqlite_repo.online_store["path"])) as connection, connection:
        statement = SPOILT_IN_SQLITE[spoilt].format('"files_stats"') + " WHERE entity_key = ?"
        connection.execute(statement, (key_of(2),))
    features = read(sqlite_repo.reader("service", "rate", "trips"), *DRIVERS)
    assert listed(features) == [[0.5, 7], [None, None], [0.5, 7], [0.5, 7]]
    assert features.unreadable is not None
    assert features.unreadable.tolist() == [False, True, False, False]


@ON_DEMAND
@pytest.mark.parametrize("spoilt", ["a value cut short", "a time of 2^62 seconds", "another type of key"])
def test_what_an_on_demand_view_takes_is_spoilt_for_its_driver_alone(redis_repo: OnlineRepo, spoilt: str) -> None:
    filled(redis_repo, on_demand_of)
    spoil_redis(redis_repo, 2, SPOILT_IN_REDIS[spoilt])
    features = read(redis_repo.reader("service", "doubled", "trips"), *DRIVERS)
    assert listed(features) == [[1.0, 7], [None, None], [1.0, 7], [1.0, 7]]
    assert features.unreadable is not None
    assert features.unreadable.tolist() == [False, True, False, False]


# What float64 holds, and integers next to it that it does not: a batch run refuses these.
EXACT = (2**53, -(2**53))
INEXACT = (2**53 + 1, -(2**53) - 1, 2**62, 2**63 - 1, -(2**63))


def filled_with_integers(repo: OnlineRepo, *more: Any) -> None:
    view = repo.view({"big": Int64})
    views = [view, *(make(view) for make in more)]
    repo.apply(*views, FeatureService(name="service", features=views))
    repo.write("stats", [(driver, NOON, {"big": value}) for driver, value in enumerate((*EXACT, *INEXACT), 1)])
    # apart: beside a null, Feast itself makes floats of them
    repo.write("stats", [(driver, NOON, {"big": value}) for driver, value in ((8, None), (10, 0))])


def assert_inexact_ones_are_apart(features: Any) -> None:
    assert listed(features) == [[2.0**53], [-(2.0**53)], *[[None]] * 7]
    assert features.unreadable is not None
    assert features.unreadable.tolist() == [False] * 2 + [True] * 5 + [False] * 2


@pytest.mark.parametrize("store", ["sqlite", OTHER, "redis"])
def test_an_integer_that_no_double_holds_excludes_its_driver_and_no_other(
    store: str, redis_server: str, tmp_path: Any
) -> None:
    where = {"connection_string": redis_server} if store == "redis" else {"path": str(tmp_path / "online.db")}
    repo = OnlineRepo(tmp_path, f"inexact_{tmp_path.name}", {"type": store, **where})
    filled_with_integers(repo)
    with closing(repo.reader("service", "big")) as reader:
        assert_inexact_ones_are_apart(read(reader, *range(1, 10)))


def last_digits(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"small": [value and value % 1000 for value in inputs["big"]], "same": inputs["big"]}


def last_digits_of_one(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"small": inputs["big"] and inputs["big"] % 1000, "same": inputs["big"]}


@ON_DEMAND
@pytest.mark.parametrize("singleton", [False, True])
def test_code_is_given_integers_that_no_double_holds_and_may_not_give_them(singleton: bool, tmp_path: Any) -> None:  # noqa: FBT001 - pytest gives it by its name
    repo = OnlineRepo(tmp_path, "inexact", {"type": "sqlite", "path": str(tmp_path / "online.db")})
    schema = [Field(name=name, dtype=Int64) for name in ("small", "same")]

    def on_demand(view: Any) -> Any:
        make = on_demand_feature_view(sources=[view], schema=schema, mode="python", singleton=singleton)
        return make(last_digits_of_one if singleton else last_digits)

    filled_with_integers(repo, on_demand)
    for given in ("same", "big"):
        features = read(repo.reader("service", "small", given), *range(1, 10))
        assert [row[1:] for row in listed(features)][:2] == [[2.0**53], [-(2.0**53)]]
        assert listed(features)[2:] == [[None, None]] * 7
        assert features.unreadable is not None
        assert features.unreadable.tolist() == [False] * 2 + [True] * 5 + [False] * 2
        assert features.oldest.tolist()[:3] == [NOON_US, NOON_US, UNREAD]
    features = read(repo.reader("service", "small"), *range(1, 8))
    assert listed(features) == [[float(value % 1000)] for value in (*EXACT, *INEXACT)]
    assert features.unreadable is None


def test_another_store_is_read_apart_from_what_is_spoilt(tmp_path: Any) -> None:
    repo = OnlineRepo(tmp_path, "other", {"type": OTHER, "path": str(tmp_path / "online.db")})
    filled(repo)
    with closing(sqlite3.connect(tmp_path / "online.db")) as connection, connection:
        connection.execute("UPDATE \"other_stats\" SET value = x'3500' WHERE entity_key = ?", (key_of(2),))
        text = Value(string_val="0.5").SerializeToString()
        connection.execute('UPDATE "other_stats" SET value = ? WHERE entity_key = ?', (text, key_of(3)))
    features = read(repo.reader("service", "rate", "trips"), *DRIVERS)
    assert listed(features) == [[0.5, 7], [None, None], [None, None], [0.5, 7]]
    assert features.unreadable is not None
    assert features.unreadable.tolist() == [False, True, True, False]


def failing(error: Exception) -> Callable[[list[Any]], Any]:
    def fail(_: list[Any]) -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    "error",
    [
        redis.ConnectionError("gone"),
        redis.ResponseError("NOPERM this user has no permissions"),
        sqlite3.OperationalError("database is locked"),
        TimeoutError(),
        OSError(5, "input/output error"),
    ],
)
def test_a_store_that_can_not_be_read_is_asked_once(error: Exception) -> None:
    with pytest.raises(type(error)):
        rows_apart(failing(error), [1, 2, 3])


@pytest.mark.parametrize("error", [OverflowError(), OSError(75, "too large"), struct.error(), ValueError()])
def test_errors_of_what_is_stored_are_of_each_row(error: Exception) -> None:
    kinds = [None, None]
    if isinstance(error, struct.error):
        with pytest.raises(struct.error):
            rows_apart(failing(error), [1, 2])
        return
    assert rows_apart(failing(error), [1, 2]) == kinds
    assert rows_apart(failing(error), []) == []


def test_a_wrong_password_is_an_error_of_the_store(redis_repo: OnlineRepo, redis_server: str) -> None:
    with redis.Redis.from_url(f"redis://{redis_server}") as admin:
        admin.acl_setuser("nobody", enabled=True, nopass=True, keys=["other:*"], commands=["+@all"])
    redis_repo.online_store["connection_string"] = f"{redis_server},username=nobody,password=any"
    with pytest.raises(StoreUnavailableError, match="permissions"):
        redis_repo.reader("service", "rate").read(np.array([1]), NOON_US)
