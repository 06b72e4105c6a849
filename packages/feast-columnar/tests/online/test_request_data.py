"""On-demand feature views that compute from what only a request knows: Feast's own read is the oracle."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd  # noqa: TC002 - Feast evaluates the annotations of transformations
import pytest
from columnar_support.online_repos import (
    HOUR_US,
    NOON,
    NOON_US,
    ON_DEMAND,
    PROJECTS,
    UNREAD,
    OnlineRepo,
    fresh,
    key_named,
)
from feast import FeatureService, Field, RequestSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Bool, Bytes, FeastType, Float32, Float64, Int32, Int64, String
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feast_columnar.errors import RequestError, UnservableFeatureError
from feast_columnar.online.computation import _objects
from feast_columnar.online.objects import OBJECTS
from feast_columnar.online.reader import OnlineReader, open_reader

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from feast import FeatureStore

pytestmark = ON_DEMAND

ZONE = key_named("zone", ValueType.STRING)
TRIP = RequestSource(name="trip", schema=[Field(name="distance", dtype=Float64), Field(name="pickup", dtype=String)])
OUTPUT = [Field(name="score", dtype=Float64), Field(name="label", dtype=String), Field(name="far", dtype=Bool)]
OLD = NOON - timedelta(hours=2)


# Feast keeps the source of each function alone: it has all that it needs within


def in_python(inputs: dict[str, Any]) -> dict[str, Any]:
    pairs = list(zip(inputs["rate"], inputs["distance"], strict=True))
    scores = [None if rate is None or distance is None else rate * distance for rate, distance in pairs]
    words = zip(inputs["pickup"], inputs["name"], strict=True)
    labels = [f"{pickup} to {name}" if pickup else None for pickup, name in words]
    return {"score": scores, "label": labels, "far": [bool(score and score > 0.5) for score in scores]}


def one_by_one(inputs: dict[str, Any]) -> dict[str, Any]:
    rate, distance, pickup = inputs["rate"], inputs["distance"], inputs["pickup"]
    score = None if rate is None or distance is None else rate * distance
    label = f"{pickup} to {inputs['name']}" if pickup else None
    return {"score": score, "label": label, "far": bool(score and score > 0.5)}


def in_pandas(inputs: pd.DataFrame) -> pd.DataFrame:
    found = inputs[["rate"]].astype(float).rename(columns={"rate": "score"})
    found["score"] *= inputs["distance"].astype(float)
    words = zip(inputs["pickup"], inputs["name"], strict=True)
    found["label"] = [f"{pickup} to {name}" if pickup else None for pickup, name in words]
    found["far"] = found["score"] > 0.5
    return found


CODES: dict[str, tuple[Callable[..., Any], str, bool]] = {
    "python": (in_python, "python", False),
    "pandas": (in_pandas, "pandas", False),
}
CODES |= {"singleton": (one_by_one, "python", True)}


def made(repo: OnlineRepo, code: Callable[..., Any], mode: str, singleton: bool) -> FeatureStore:  # noqa: FBT001 - of CODES
    """A repo of drivers and zones; of driver 2 the row is too old, of driver 3 the value is null."""
    drivers = repo.view({"rate": Float64}, "drivers", ttl=timedelta(hours=1))
    zones = repo.view({"name": String}, "zones", entity=ZONE, ttl=timedelta(days=1))
    make = on_demand_feature_view(sources=[drivers, zones, TRIP], schema=OUTPUT, mode=mode, singleton=singleton)
    views = [drivers, zones, make(fresh(code))]
    store = repo.apply(ZONE, *views, FeatureService(name="service", features=views))
    repo.write("drivers", [(n, at, {"rate": rate}) for n, at, rate in ((1, NOON, 0.5), (2, OLD, 2.0), (3, NOON, None))])
    zones_rows: Any = [("a", OLD, {"name": "Bern"}), ("b", NOON, {"name": "Zürich"})]
    repo.write("zones", zones_rows, key="zone")
    return store


def columns(width: int) -> st.SearchStrategy[dict[str, Any]]:
    """Keys and request data, of n rows or one."""
    values = {
        "driver_id": st.sampled_from([1, 1, 1, 2, 3, 9]),
        "zone": st.sampled_from(["a", "b", "c"]),
        "distance": st.sampled_from([0.5, 2.0, None]),
        "pickup": st.sampled_from(["", "Ring", "東京", None]),
    }

    def column(value: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
        sizes = st.sampled_from([1, width])
        return sizes.flatmap(lambda size: st.lists(value, min_size=size, max_size=size))

    return st.fixed_dictionaries({name: column(value) for name, value in values.items()})


@pytest.mark.parametrize("code", CODES)
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(asked=columns(4))
def test_what_is_computed_is_what_feast_computes(repo: OnlineRepo, code: str, asked: dict[str, list[Any]]) -> None:
    repo = replace(repo, project=f"{repo.project}_{next(PROJECTS)}")
    store = made(repo, *CODES[code])
    reader = open_reader(store, "service", columns=["score", "rate", "label", "name", "far"], as_bool=["far"])
    assert (reader.columns, reader.others) == (("score", "rate"), ("label", "name", "far"))
    assert reader.keys == {"driver_id": Int64, "zone": String}
    assert reader.request == {"distance": Float64, "pickup": String}
    keys, request = ({name: asked[name] for name in names} for names in (reader.keys, reader.request))
    count = max(map(len, asked.values()))
    whole = {name: values * (count // len(values)) for name, values in asked.items()}
    service = store.get_feature_service("service")
    answers = [  # row by row, which is how Feast computes what takes one row's values
        store.get_online_features(service, {name: [values[row]] for name, values in whole.items()}).to_dict()
        for row in range(count)
    ]
    drivers, zones = [n in {1, 3} for n in whole["driver_id"]], [zone in {"a", "b"} for zone in whole["zone"]]
    both = [driver and zone for driver, zone in zip(drivers, zones, strict=True)]
    there = {"score": both, "rate": drivers, "label": both, "name": zones, "far": both}
    of_zones = [NOON_US - 2 * HOUR_US if zone == "a" else NOON_US if zone == "b" else UNREAD for zone in whole["zone"]]
    of_drivers = [NOON_US if known else UNREAD for known in drivers]
    computed_at = [time if known else UNREAD for time, known in zip(of_zones, both, strict=True)]
    for features in (
        reader.read(keys, NOON_US, request=request),
        asyncio.run(reader.read_async(keys, NOON_US, request=request)),
    ):
        found = dict(zip(reader.columns, features.matrix.T.tolist(), strict=True))
        found |= {name: column.tolist() for name, column in features.others.items()}
        for name, column in found.items():
            expected = [answers[row][name][0] if known else None for row, known in enumerate(there[name])]
            assert [None if value != value else value for value in column] == expected, name  # noqa: PLR0124 - NaN
        rates = [NOON_US if n == 1 else UNREAD for n in whole["driver_id"]]  # the other driver's is null
        assert features.oldest.tolist() == [min(both) for both in zip(of_zones, rates, strict=True)]
        times = {name: column.tolist() for name, column in features.event_times().items()}
        assert times["score"] == times["label"] == times["far"] == computed_at
        assert (times["name"], times["rate"]) == (of_zones, of_drivers)
    assert reader.sample(9).tolist() == []
    assert reader.lacking() == ()
    reader.close()


def test_many_rows_that_repeat_keys_are_computed_as_each_alone(repo: OnlineRepo) -> None:
    reader = open_reader(made(repo, *CODES["python"]), "service", columns=["score", "rate", "label"])
    asked: dict[str, list[Any]] = {"driver_id": [1, 2, 3, 9, 1] * 8, "zone": ["a", "b", "c", "a"] * 10}
    given: dict[str, list[Any]] = {"distance": [*range(40)], "pickup": ["Ring", None] * 20}
    found = reader.read(asked, NOON_US, request=given)
    alone = [
        reader.read(
            {name: values[row : row + 1] for name, values in asked.items()},
            NOON_US,
            request={name: values[row : row + 1] for name, values in given.items()},
        )
        for row in range(40)
    ]
    np.testing.assert_array_equal(found.matrix, np.concatenate([one.matrix for one in alone]))
    assert found.oldest.tolist() == [one.oldest[0] for one in alone]
    assert found.others["label"].tolist() == [one.others["label"][0] for one in alone]
    reader.close()


@pytest.fixture
def sqlite_repo(tmp_path: Path) -> OnlineRepo:
    """A repo with SQLite."""
    return OnlineRepo(tmp_path, "any", {"type": "sqlite", "path": str(tmp_path / "online.db")})


def computed(repo: OnlineRepo, code: Callable[..., Any], output: FeastType, **asked: FeastType) -> OnlineReader:
    """A reader of `made`, computed from a request alone."""
    source = RequestSource(name="asked", schema=[Field(name=name, dtype=kind) for name, kind in asked.items()])
    schema = [Field(name="made", dtype=output)]
    view = on_demand_feature_view(sources=[source], schema=schema, mode="python")(fresh(code))
    return open_reader(repo.apply(view, FeatureService(name="service", features=[view])), "service", columns=["made"])


def half(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"made": [0.5 for _ in next(iter(inputs.values()))]}


def first(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"made": next(iter(inputs.values()))}


@pytest.mark.parametrize(
    ("kind", "given", "found"),
    [
        (Float32, [1, 2], [1.0, 2.0]),
        (Float64, np.array([0.1, np.nan]), [0.1, None]),
        (Int32, [7, None], [7, None]),
        (Int64, np.array([2**40, -1]), [2**40, -1]),
        (Bool, [True, False], [1, 0]),
    ],
)
def test_all_may_come_from_the_request_alone(sqlite_repo: OnlineRepo, kind: FeastType, given: Any, found: Any) -> None:
    reader = computed(sqlite_repo, first, Float64 if kind == Float32 else Int64 if kind == Int32 else kind, it=kind)
    assert (reader.keys, reader.request) == ({}, {"it": kind})
    features = reader.read({}, request={"it": given})
    assert [None if np.isnan(one) else one for one in features.matrix[:, 0].tolist()] == found
    assert features.oldest.tolist() == features.event_times()["made"].tolist() == [UNREAD, UNREAD]
    assert reader.lacking() == ()


def test_texts_and_bytes_are_computed_as_such(sqlite_repo: OnlineRepo) -> None:
    reader = computed(sqlite_repo, first, String, it=String)
    assert (reader.columns, reader.others) == ((), ("made",))
    assert reader.read({}, request={"it": ["a", None]}).others["made"].tolist() == ["a", None]
    reader = computed(sqlite_repo, first, Bytes, it=Bytes)
    assert reader.read({}, request={"it": [b"a", b"\x00"]}).others["made"].tolist() == [b"a", b"\x00"]


def test_what_is_computed_as_something_else_is_an_error() -> None:
    assert _objects("made", {"made": ["a", None, np.nan]}, 3, OBJECTS[String]).tolist() == ["a", None, None]
    with pytest.raises(ValueError, match="'made' holds something else than str"):
        _objects("made", {"made": [7]}, 1, OBJECTS[String])


@pytest.mark.parametrize(
    ("request_data", "message"),
    [
        (
            None,
            r"The request feature 'distance' is missing: what is read has the request features",
        ),
        ({"distance": [1.0], "pickup": ["a"], "fee": [1]}, r"The request feature 'fee' is unknown"),
        (
            {"distance": ["1"], "pickup": ["a"]},
            r"'distance' has to be an array .* of Float64, not of string",
        ),
        (
            {"distance": [1.0] * 2, "pickup": ["a"]},
            r"The request feature 'distance' has 2 values, the key",
        ),
    ],
)
def test_request_data_that_does_not_fit_is_refused_by_name(
    sqlite_repo: OnlineRepo, request_data: Any, message: str
) -> None:
    reader = open_reader(made(sqlite_repo, *CODES["python"]), "service", columns=["score"])
    with pytest.raises(RequestError, match=message):
        reader.read({"driver_id": [1, 2, 3], "zone": ["a"]}, request=request_data)


def test_request_data_that_is_no_scalar_is_refused(sqlite_repo: OnlineRepo) -> None:
    with pytest.raises(UnservableFeatureError, match=r"wants 'it' from the request .* as Array\(Float"):
        computed(sqlite_repo, half, Float64, it=Array(Float64))


def test_what_is_a_key_as_well_is_asked_for_once(sqlite_repo: OnlineRepo) -> None:
    view = sqlite_repo.view({"rate": Float64})
    asked = RequestSource(name="asked", schema=[Field(name="driver_id", dtype=Int64)])
    schema = [Field(name="made", dtype=Int64)]
    twice = on_demand_feature_view(sources=[view, asked], schema=schema, mode="python")(fresh(doubled_key))
    store = sqlite_repo.apply(view, twice, FeatureService(name="service", features=[twice]))
    sqlite_repo.write("stats", [(1, NOON, {"rate": 0.5})])
    reader = open_reader(store, "service", columns=["made"])
    assert (reader.keys, reader.request) == ({"driver_id": Int64}, {})
    found = reader.read(np.array([1, 2, 1]), NOON_US)
    assert [None if np.isnan(one) else one for one in found.matrix[:, 0].tolist()] == [2, None, 2]
    assert found.event_times()["made"].tolist() == [NOON_US, UNREAD, NOON_US]


def doubled_key(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"made": [2 * key for key in inputs["driver_id"]]}


def test_a_key_that_a_view_can_not_have_never_reaches_the_code(sqlite_repo: OnlineRepo) -> None:
    small = key_named("small", ValueType.INT32)
    view = sqlite_repo.view({"rate": Float64}, entity=small)
    make = on_demand_feature_view(sources=[view], schema=[Field(name="made", dtype=Float64)], mode="python")
    views = [view, make(fresh(rate_alone))]
    store = sqlite_repo.apply(small, *views, FeatureService(name="service", features=views))
    sqlite_repo.write("stats", [(2**31 - 1, NOON, {"rate": 0.5})], key="small")
    found = open_reader(store, "service", columns=["made"]).read(np.array([2**31 - 1, 2**31]), NOON_US)
    assert found.oldest.tolist() == [NOON_US, UNREAD]
    np.testing.assert_array_equal(found.matrix, [[0.5], [np.nan]])


def rate_alone(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"made": inputs["rate"]}
