"""The scenarios of Feast's own tests of historical retrieval that apply to a local store, made anew.

The page on the store lists which those are, and which do not apply and why.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pytest
from feast import FeatureService, Field, RequestSource
from feast.errors import FeatureNameCollisionError, RequestDataNotFoundInEntityDfException
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int32, Int64

if TYPE_CHECKING:
    from columnar_support.asof_repos import AsofRepo

pytestmark = pytest.mark.filterwarnings("ignore:On demand feature view is an experimental feature")

WEEK = timedelta(days=7)


def table(**columns: Any) -> pa.Table:
    return pa.table(columns)


def views(repo: AsofRepo, ttl: timedelta = WEEK) -> dict[str, Any]:
    """Return views of drivers, customers, orders (two keys), places, the whole world (no key) and a mapped source."""
    noon = repo.noon
    places = {"location_id": [1, 2, 1], "event_timestamp": [noon(0), noon(0), noon(6)], "temperature": [20, 30, 21]}
    orders = {"driver_id": [1, 1], "customer_id": [7, 8], "event_timestamp": [noon(1), noon(2)], "success": [1, 0]}
    tables = {
        "drivers": table(driver_id=[1, 2], event_timestamp=[noon(0), noon(1)], conv_rate=[0.5, 0.25], trips=[10, 20]),
        "customers": table(customer_id=[7, 8], event_timestamp=[noon(0), noon(3)], balance=[1.5, 2.5]),
        "orders": table(**orders),
        "places": table(**places),
        "world": table(event_timestamp=[noon(0), noon(4)], rides=[100, 200]),
        "mapped": table(event_timestamp=[noon(2)], column_name=[9]),
    }
    keys = {
        "drivers": ["driver"],
        "customers": ["customer"],
        "orders": ["driver", "customer"],
        "places": ["location"],
        "world": [],
        "mapped": [],
    }
    features: dict[str, list[Field]] = {
        "drivers": [Field(name="conv_rate", dtype=Float64), Field(name="trips", dtype=Int64)],
        "customers": [Field(name="balance", dtype=Float64)],
        "orders": [Field(name="success", dtype=Int64)],
        "places": [Field(name="temperature", dtype=Int64)],
        "world": [Field(name="rides", dtype=Int64)],
        "mapped": [Field(name="feature_name", dtype=Int64)],
    }
    entities = {
        name: repo.entity(name, key)
        for name, key in (("driver", "driver_id"), ("customer", "customer_id"), ("location", "location_id"))
    }
    made: dict[str, Any] = {**entities}
    for name, rows in tables.items():
        mapping = {"column_name": "feature_name"} if name == "mapped" else {}
        source = repo.source(repo.write(f"{name}.parquet", rows), created_timestamp_column="", field_mapping=mapping)
        view_entities = [entities[key] for key in keys[name]]
        made[name] = repo.view(name, source=source, entities=view_entities, schema=features[name], ttl=ttl)
    return made


def plus(drivers: Any) -> Any:
    @on_demand_feature_view(  # type: ignore[untyped-decorator]  # Feast leaves it untyped
        sources=[drivers, RequestSource(name="input", schema=[Field(name="to_add", dtype=Int64)])],
        schema=[
            Field(name="plus_100", dtype=Float64),
            Field(name="plus_input", dtype=Float64),
            Field(name="rounded", dtype=Int32),
        ],
        mode="pandas",
    )
    def computed(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "plus_100": inputs["conv_rate"] + 100,
                "plus_input": inputs["conv_rate"] + inputs["to_add"],
                "rounded": (inputs["conv_rate"] + 100).round().fillna(0).astype("int32"),
            },
        )

    return computed


@pytest.fixture
def made(asof_repo: AsofRepo) -> dict[str, Any]:
    objects = views(asof_repo)
    asof_repo.apply(*objects.values(), plus(objects["drivers"]))
    return objects


@pytest.fixture
def asked(asof_repo: AsofRepo) -> pd.DataFrame:
    noon = asof_repo.noon
    return pd.DataFrame(
        {
            "order_id": [1, 2, 3],
            "driver_id": [1, 2, 1],
            "customer_id": [7, 8, 8],
            "origin_id": [1, 2, 1],
            "destination_id": [2, 1, 1],
            "to_add": [5, 6, 7],
            "event_timestamp": [noon(2), noon(4), noon(9)],
        },
    )


REFS = {
    "drivers:conv_rate": [0.5, 0.25, 0.5],
    "drivers:trips": [10, 20, 10],
    "customers:balance": [1.5, 2.5, 2.5],
    "computed:plus_100": [100.5, 100.25, 100.5],
    "computed:plus_input": [5.5, 6.25, 7.5],
    "orders:success": [1, None, 0],
    "world:rides": [100, 200, 200],
    "mapped:feature_name": [9, 9, 9],
}


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize("full_feature_names", [True, False])
def test_everything_at_once(asof_repo: AsofRepo, asked: pd.DataFrame, *, full_feature_names: bool) -> None:
    rows = asof_repo.job(asked, tuple(REFS), full_feature_names=full_feature_names).to_arrow()
    assert sorted(set(rows.column_names) - set(asked.columns)) == sorted(
        ref.replace(":", "__") if full_feature_names else ref.split(":")[1] for ref in REFS
    )
    for ref, values in REFS.items():
        name = ref.replace(":", "__") if full_feature_names else ref.split(":")[1]
        assert rows[name].to_pylist() == values
    assert rows.select(["order_id"]).to_pydict() == {"order_id": [1, 2, 3]}


@pytest.mark.parametrize("full_feature_names", [True, False])
def test_a_feature_service_with_an_on_demand_view(
    asof_repo: AsofRepo, made: dict[str, Any], asked: pd.DataFrame, *, full_feature_names: bool
) -> None:
    store = asof_repo.open()
    service = FeatureService(
        name="rates", features=[made["drivers"][["conv_rate"]], store.get_on_demand_feature_view("computed")]
    )
    asof_repo.apply(service)
    rows = asof_repo.features(
        asked, asof_repo.open().get_feature_service("rates"), full_feature_names=full_feature_names
    )
    prefix = "computed__" if full_feature_names else ""
    assert [row[f"{prefix}rounded"] for row in rows] == [100, 100, 100]
    assert [row[f"{prefix}plus_100"] for row in rows] == REFS["computed:plus_100"]


def test_one_view_twice_under_other_names_and_keys(
    asof_repo: AsofRepo, made: dict[str, Any], asked: pd.DataFrame
) -> None:
    service = FeatureService(
        name="trip",
        features=[
            made["places"].with_name("origin").with_join_key_map({"location_id": "origin_id"}),
            made["places"].with_name("destination").with_join_key_map({"location_id": "destination_id"}),
        ],
    )
    asof_repo.apply(service)
    rows = asof_repo.features(asked, asof_repo.open().get_feature_service("trip"), full_feature_names=True)
    assert [row["origin__temperature"] for row in rows] == [20, 30, 21]
    assert [row["destination__temperature"] for row in rows] == [30, 20, 21]
    with pytest.raises(FeatureNameCollisionError):
        asof_repo.features(asked, asof_repo.open().get_feature_service("trip"))


def test_a_feature_that_only_another_view_of_the_source_has(asof_repo: AsofRepo, asked: pd.DataFrame) -> None:
    source = asof_repo.source(asof_repo.write("stats.parquet", []))
    asof_repo.apply(
        asof_repo.view("narrow", source=source),
        asof_repo.view(
            "wide", source=source, schema=[Field(name="trips", dtype=Int32), Field(name="conv_rate", dtype=Float64)]
        ),
    )
    with pytest.raises(KeyError):
        asof_repo.job(asked, ("narrow:conv_rate",))


@pytest.mark.usefixtures("made")
def test_request_data_that_is_missing(asof_repo: AsofRepo, asked: pd.DataFrame) -> None:
    with pytest.raises(RequestDataNotFoundInEntityDfException):
        asof_repo.job(asked.drop(columns="to_add"), ("computed:plus_100", "computed:plus_input"))


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize("full_feature_names", [True, False])
def test_entity_rows_from_a_query(asof_repo: AsofRepo, asked: pd.DataFrame, *, full_feature_names: bool) -> None:
    path = asof_repo.write("orders_to_come.parquet", pa.Table.from_pandas(asked))
    query = f"SELECT driver_id, customer_id, order_id, event_timestamp FROM '{path}' ORDER BY order_id"
    refs = ("customers:balance", "orders:success", "world:rides", "mapped:feature_name")
    rows = asof_repo.features(query, refs, full_feature_names=full_feature_names)
    for ref in refs:
        name = ref.replace(":", "__") if full_feature_names else ref.split(":")[1]
        assert [row[name] for row in rows] == REFS[ref]


def test_no_ttl(asof_repo: AsofRepo, asked: pd.DataFrame) -> None:
    objects = views(asof_repo, ttl=timedelta(0))
    asof_repo.apply(*objects.values())
    asked["event_timestamp"] += timedelta(days=3_650)
    rows = asof_repo.features(asked, ("customers:balance", "world:rides", "drivers:trips"))
    assert [(row["balance"], row["rides"], row["trips"]) for row in rows] == [
        (1.5, 200, 10),
        (2.5, 200, 20),
        (2.5, 200, 10),
    ]


def test_backfills(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon
    today, tomorrow = noon(), noon(24 * 60)
    rows = [
        (1, today, today, 10),
        (1, today, tomorrow, 20),  # the same moment, written again later
        (2, today, tomorrow, 30),  # an earlier moment, written later
        (2, tomorrow, today, 40),
    ]
    asof_repo.apply(asof_repo.view(rows=rows))
    naive = noon(48 * 60).replace(tzinfo=None)
    assert asof_repo.trips(pd.DataFrame({"driver_id": [1, 2], "event_timestamp": [naive, naive]})) == [20, 40]


def test_a_join_key_that_the_source_calls_otherwise(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon()
    path = asof_repo.write("stats.parquet", table(id=[1, 2], event_timestamp=[noon] * 2, trips=[10, 20]))
    source = asof_repo.source(path, created_timestamp_column="", field_mapping={"id": "driver_id"})
    schema = [Field(name="driver_id", dtype=Int64), Field(name="trips", dtype=Int64)]
    asof_repo.apply(asof_repo.view(source=source, schema=schema))
    assert asof_repo.trips(pd.DataFrame({"driver_id": [2, 1], "event_timestamp": [noon] * 2})) == [20, 10]


def test_a_range_of_time_instead_of_entity_rows(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon
    history = [(driver, noon(day * 1440), None, driver * 10 + day) for driver in (1, 2) for day in (-2, -1, 0)]
    asof_repo.apply(asof_repo.view(rows=history))
    rows = asof_repo.features(None, start_date=noon(-3 * 1440), end_date=noon(60))
    assert [(row["driver_id"], row["trips"]) for row in rows] == [(1, 10), (2, 20)]


def test_a_range_of_time_starts_the_longest_ttl_before_its_end(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon
    asof_repo.apply(asof_repo.view(rows=[(1, noon(0), None, 1), (2, noon(30), None, 2)], ttl=timedelta(hours=1)))
    rows = asof_repo.features(None, end_date=noon(75))
    assert [(row["driver_id"], row["trips"]) for row in rows] == [(2, 2)]


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize("full_feature_names", [True, False])
def test_of_an_on_demand_view_only_what_is_asked_for(
    asof_repo: AsofRepo, asked: pd.DataFrame, *, full_feature_names: bool
) -> None:
    prefix = "computed__" if full_feature_names else ""
    for features in (["plus_100"], ["plus_100", "plus_input"]):
        refs = tuple(f"computed:{feature}" for feature in features)
        names = asof_repo.job(asked, refs, full_feature_names=full_feature_names).to_arrow().column_names
        computed = {f"{prefix}{name}" for name in ("plus_100", "plus_input", "rounded")}
        assert computed & set(names) == {f"{prefix}{feature}" for feature in features}


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.int32(), [1, None]),
        (pa.int64(), [2**60, None]),
        (pa.float32(), [0.5, None]),
        (pa.float64(), [0.1, None]),
        (pa.string(), ["a", None]),
        (pa.bool_(), [True, None]),
        (pa.binary(), [b"\x00", None]),
        (pa.list_(pa.int64()), [[1, 2], []]),
        (pa.list_(pa.string()), [["a"], None]),
        (pa.list_(pa.bool_()), [[True], [False]]),
    ],
    ids=str,
)
def test_every_type_of_key_feature_and_value_comes_through(asof_repo: AsofRepo, kind: pa.DataType, values: Any) -> None:
    noon = asof_repo.noon()
    for keys in ([1, 2], ["one", "two"]):
        rows = pa.table({"driver_id": keys, "event_timestamp": [noon] * 2, "trips": pa.array(values, kind)})
        source = asof_repo.source(asof_repo.write("typed.parquet", rows), created_timestamp_column="")
        asof_repo.apply(asof_repo.view(source=source))
        got = asof_repo.job(pd.DataFrame({"driver_id": keys, "event_timestamp": [noon] * 2})).to_arrow()
        assert got["trips"].to_pylist() == values
        assert got["trips"].combine_chunks().cast(kind).type == kind
