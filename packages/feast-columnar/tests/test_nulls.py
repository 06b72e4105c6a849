"""Nulls in what on-demand feature views compute from: the same features offline and online, whatever the company."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from columnar_support.online_repos import NOON, NOON_US, ON_DEMAND, fresh
from feast import FeatureService, FeatureStore, FeatureView, Field, RepoConfig, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Bool, Float32, Float64, Int32, Int64, String

from feast_columnar.errors import AsofError, OnDemandFeatureError
from feast_columnar.nulls import compute_apart, groups_by_nulls
from feast_columnar.online.reader import open_reader

if TYPE_CHECKING:
    from collections.abc import Callable

    from columnar_support.asof_repos import AsofRepo

pytestmark = ON_DEMAND

TYPES = {"km": Float64, "stops": Int64, "express": Bool, "note": String}
STORED: dict[int, tuple[Any, Any]] = {1: (0.1, 7), 2: (None, 3), 3: (0.5, None)}  # rate and trips


# Feast keeps the source of each function alone: it has all that it needs within


def takes_no_null(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"made": [rate * km for rate, km in zip(inputs["rate"], inputs["km"], strict=True)]}


def needs_km_where_it_is_express(inputs: dict[str, Any]) -> dict[str, Any]:
    rows = zip(inputs["express"], inputs["km"], inputs["stops"], strict=True)
    return {"made": [km * 2 if express else stops for express, km, stops in rows]}


def takes_null_for_one(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"made": [1.0 if km is None else km for km in inputs["km"]]}


def of_one_row(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"made": inputs["km"] + inputs["trips"]}


def with_pandas(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"made": inputs["rate"] * inputs["km"] * 1.1 + inputs["stops"]})


def with_a_condition(inputs: pd.DataFrame) -> pd.DataFrame:
    import numpy as np

    return pd.DataFrame({"made": np.where((inputs["km"] > 1) & (inputs["trips"] > 5), 1.0, 0.25)})


def with_something_filled_in(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"made": inputs["km"].fillna(9.0) * inputs["trips"].fillna(3)})


def with_texts(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"made": inputs["note"].str.len() + inputs["express"].astype("float64")})


def leaves_where_something_is_null(inputs: dict[str, Any]) -> dict[str, Any]:
    if None in inputs["km"]:
        raise SystemExit(3)
    return {"made": inputs["km"]}


CODES: dict[Callable[..., Any], dict[str, Any]] = {
    takes_no_null: {"mode": "python"},
    needs_km_where_it_is_express: {"mode": "python"},
    takes_null_for_one: {"mode": "python"},
    of_one_row: {"mode": "python", "singleton": True},
    leaves_where_something_is_null: {"mode": "python"},
    with_pandas: {"mode": "pandas"},
    with_a_condition: {"mode": "pandas"},
    with_something_filled_in: {"mode": "pandas"},
    with_texts: {"mode": "pandas"},
}


def store_with(repo: AsofRepo, code: Callable[..., Any], **options: Any) -> FeatureStore:
    """Return a store of drivers, offline and online, with a view that computes."""
    config = RepoConfig(
        project="nulls",
        provider="local",
        registry=str(repo.folder / "nulls.db"),
        online_store={"type": "feast_columnar.SharedSqliteOnlineStore", "path": str(repo.folder / "nulls_online.db")},
        offline_store={"type": "feast_columnar.AsofOfflineStore"},
        entity_key_serialization_version=3,
    )
    config.repo_path = repo.folder
    store = FeatureStore(config=config)
    rows = [(driver, NOON, rate, trips) for driver, (rate, trips) in STORED.items()]
    names = ["driver_id", "event_timestamp", "rate", "trips"]
    table = pa.Table.from_pylist(
        [dict(zip(names, row, strict=True)) for row in rows],
        pa.schema(zip(names, [pa.int64(), pa.timestamp("us", "UTC"), pa.float32(), pa.int32()], strict=True)),
    )
    fields = [Field(name="rate", dtype=Float32), Field(name="trips", dtype=Int32)]
    source = repo.source(repo.write("drivers.parquet", table), name="drivers", created_timestamp_column=None)
    view = FeatureView(name="drivers", entities=[repo.entity()], schema=fields, source=source)
    asked = RequestSource(name="asked", schema=[Field(name=name, dtype=kind) for name, kind in TYPES.items()])
    other = RequestSource(name="more", schema=[Field(name="more", dtype=Float64)])
    make = on_demand_feature_view(sources=[view, asked], schema=[Field(name="made", dtype=Float64)], **options)
    beside = on_demand_feature_view(sources=[view, other], schema=[Field(name="beside", dtype=Float64)], mode="python")
    views = [make(fresh(code)), beside(fresh(needs_trips))]
    store.apply([repo.entity(), view, *views, FeatureService(name="service", features=views)])
    store.write_to_online_store(
        "drivers", df=table.to_pandas().astype({"rate": object, "trips": object}).replace({np.nan: None})
    )
    return store


def needs_trips(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"beside": [100.0 / trips for trips in inputs["trips"]]}


VALUES: dict[str, list[Any]] = {
    "km": [2.5, None],
    "stops": [4, None],
    "express": [True, False, None],
    "note": ["ä", None],
}
ROWS = [
    {"driver_id": driver, "more": 1.0 if place % 3 else None, **dict(zip(VALUES, values, strict=True))}
    for place, (driver, *values) in enumerate(itertools.product([*STORED, 9], *VALUES.values()))
]


def offline(store: FeatureStore, rows: list[dict[str, Any]]) -> list[list[float | None]]:
    """Return what a batch of rows has, `made` and `beside`."""
    kinds = {"km": pa.float64(), "stops": pa.int64(), "express": pa.bool_(), "note": pa.string(), "more": pa.float64()}
    schema = pa.schema({"driver_id": pa.int64(), "event_timestamp": pa.timestamp("us", "UTC"), **kinds})
    asked = pa.Table.from_pylist([{**row, "event_timestamp": NOON} for row in rows], schema)
    job: Any = store.get_historical_features(asked, store.get_feature_service("service"))
    found = job.in_request_order().transforming_complete_rows().to_arrow()
    return [[row["made"], row["beside"]] for row in found.to_pylist()]


def online(store: FeatureStore, rows: list[dict[str, Any]]) -> list[list[float | None]]:
    """Return what a request of rows has."""
    reader = open_reader(store, "service", columns=["made", "beside"])
    request = {name: [row[name] for row in rows] for name in (*TYPES, "more")}
    matrix = reader.read({"driver_id": [row["driver_id"] for row in rows]}, NOON_US, request=request).matrix
    return [[None if np.isnan(value) else value for value in row] for row in matrix.tolist()]


def without_nan(rows: list[list[float | None]]) -> list[list[float | None]]:
    return [[None if value is None or np.isnan(value) else value for value in row] for row in rows]


@pytest.mark.filterwarnings("ignore:Downcasting object dtype arrays")
@pytest.mark.parametrize("code", CODES)
def test_rows_have_the_same_features_offline_and_online_together_and_alone(
    asof_repo: AsofRepo, code: Callable[..., Any]
) -> None:
    store = store_with(asof_repo, code, **CODES[code])
    found = without_nan(offline(store, ROWS))
    assert online(store, ROWS) == found
    assert [row for one in ROWS[::5] for row in online(store, [one])] == found[::5]
    assert [row for one in ROWS[::7] for row in without_nan(offline(store, [one]))] == found[::7]
    assert {made for made, _ in found} > {None}, "some can be computed, some not"
    beside = [None if row["driver_id"] in {3, 9} else 100 / STORED[row["driver_id"]][1] for row in ROWS]
    assert [one for _, one in found] == beside, "what is null for one view alone is of no matter to the other"


def test_what_fails_where_nothing_is_null_is_an_error_on_both_sides(asof_repo: AsofRepo) -> None:
    store = store_with(asof_repo, divides_by_km, mode="python")
    rows = [{"driver_id": 1, "more": 1.0, "km": km, "stops": 1, "express": True, "note": ""} for km in (4.0, 2.0)]
    rows[1]["more"] = None  # which is no reason for it
    with pytest.raises(AsofError, match="'divides_by_km' fails on the joined rows"):
        offline(store, rows)
    with pytest.raises(OnDemandFeatureError, match="'divides_by_km' can't be computed: ZeroDivisionError"):
        online(store, rows)


def divides_by_km(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"made": [1 / (km - 2) for km in inputs["km"]]}


def test_rows_are_grouped_by_which_of_their_values_are_null() -> None:
    nulls = np.array([[0, 0], [1, 0], [0, 1], [1, 0], [1, 1], [0, 0]], dtype=np.bool_)
    complete, groups = groups_by_nulls(nulls)
    assert complete.tolist() == [0, 5]
    assert sorted(group.tolist() for group in groups) == [[1, 3], [2], [4]]
    assert [one.tolist() if isinstance(one, np.ndarray) else one for one in groups_by_nulls(nulls[:1])] == [[0], []]
    assert groups_by_nulls(np.zeros((2, 0), dtype=np.bool_))[0].tolist() == [0, 1]


def test_a_group_that_fails_is_tried_row_by_row() -> None:
    tried: list[list[int]] = []

    def compute(rows: Any) -> None:
        tried.append(rows.tolist())
        if 3 in rows:
            raise ValueError

    compute_apart([np.array([1, 2]), np.array([3]), np.array([3, 4])], compute, ValueError)
    assert tried == [[1, 2], [3], [3, 4], [3], [4]]
