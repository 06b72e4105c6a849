"""On-demand feature views that compute from what only a request knows: Feast's own read is the oracle."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from columnar_support.online_repos import HOUR_US, NOON, NOON_US, ON_DEMAND, PROJECTS, UNREAD, OnlineRepo, key_named
from feast import FeatureService, Field, RequestSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Bool, FeastType, Float32, Float64, Int32, Int64, String
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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


def one(rate: Any, distance: Any, pickup: Any, name: Any) -> tuple[float | None, str | None, bool]:
    known = not (pd.isna(rate) or pd.isna(distance))
    label = f"{pickup} to {name}" if pickup else None
    return rate * distance if known else None, label, bool(known and distance > 1)


def in_python(inputs: dict[str, Any]) -> dict[str, Any]:
    rows = [one(*row) for row in zip(*(inputs[name] for name in ("rate", "distance", "pickup", "name")), strict=True)]
    return dict(zip(("score", "label", "far"), map(list, zip(*rows, strict=True)), strict=True))


def one_by_one(inputs: dict[str, Any]) -> dict[str, Any]:
    row = one(inputs["rate"], inputs["distance"], inputs["pickup"], inputs["name"])
    return dict(zip(("score", "label", "far"), row, strict=True))


def in_pandas(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(in_python({name: inputs[name].tolist() for name in inputs.columns}))


CODES = {"python": (in_python, "python", False), "pandas": (in_pandas, "pandas", False)}
CODES |= {"singleton": (one_by_one, "python", True)}


def made(repo: OnlineRepo, code: Callable[..., Any], mode: str, singleton: bool) -> FeatureStore:  # noqa: FBT001 - of CODES
    """A repo of drivers and zones; of driver 2 the row is too old, of driver 3 the value is null."""
    drivers = repo.view({"rate": Float64}, "drivers", ttl=timedelta(hours=1))
    zones = repo.view({"name": String}, "zones", entity=ZONE, ttl=timedelta(days=1))
    make = on_demand_feature_view(sources=[drivers, zones, TRIP], schema=OUTPUT, mode=mode, singleton=singleton)
    views = [drivers, zones, make(code)]
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
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
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
    answer = store.get_online_features(store.get_feature_service("service"), whole).to_dict()
    usable = [n in {1, 3} and zone in {"a", "b"} for n, zone in zip(whole["driver_id"], whole["zone"], strict=True)]
    for features in (
        reader.read(keys, NOON_US, request=request),
        asyncio.run(reader.read_async(keys, NOON_US, request=request)),
    ):
        found = dict(zip(reader.columns, features.matrix.T.tolist(), strict=True))
        found |= {name: column.tolist() for name, column in features.others.items()}
        for name, column in found.items():
            expected = [value if used else None for value, used in zip(answer[name], usable, strict=True)]
            assert [None if value != value else value for value in column] == expected, name  # noqa: PLR0124 - NaN
        zones = [NOON_US - 2 * HOUR_US if zone == "a" else NOON_US for zone in whole["zone"]]
        oldest = [time if used else UNREAD for time, used in zip(zones, usable, strict=True)]
        assert features.oldest.tolist() == oldest
        times = {name: column.tolist() for name, column in features.event_times().items()}
        assert times["score"] == times["label"] == times["far"] == times["name"] == oldest
        assert times["rate"] == [NOON_US if used else UNREAD for used in usable]
    assert reader.sample(9).tolist() == []
    assert reader.lacking() == ()
    reader.close()


@pytest.fixture
def sqlite_repo(tmp_path: Path) -> OnlineRepo:
    """A repo with SQLite."""
    return OnlineRepo(tmp_path, "any", {"type": "sqlite", "path": str(tmp_path / "online.db")})


def computed(repo: OnlineRepo, code: Callable[..., Any], output: FeastType, **asked: FeastType) -> OnlineReader:
    """A reader of `made`, computed from a request alone."""
    source = RequestSource(name="asked", schema=[Field(name=name, dtype=kind) for name, kind in asked.items()])
    schema = [Field(name="made", dtype=output)]
    view = on_demand_feature_view(sources=[source], schema=schema, mode="python")(code)
    return open_reader(repo.apply(view, FeatureService(name="service", features=[view])), "service", columns=["made"])


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
    reader = computed(sqlite_repo, first, Float64, it=kind)
    assert (reader.keys, reader.request) == ({}, {"it": kind})
    sqlite_repo.open().write_to_online_store  # noqa: B018 - the store has a file once something was written
    features = reader.read({}, request={"it": given})
    assert [None if np.isnan(one) else one for one in features.matrix[:, 0].tolist()] == found
    assert features.oldest.tolist() == features.event_times()["made"].tolist() == [UNREAD, UNREAD]
    assert reader.lacking() == ()
