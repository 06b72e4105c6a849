"""Which columns a feature service and a model want of entity rows, by what the repo and the signature declare."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from feast import Entity, FeatureService, FeatureView, Field, RequestSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.repo_contents import RepoContents
from feast.types import Array, Bool, Float32, Float64, Int32, Int64, String

from driver_ranking.errors import FeatureStoreError, ModelSignatureError, RequestError
from driver_ranking.feature_store.entity_columns import (
    EntityColumn,
    Reading,
    require_request_features,
    service_columns,
    with_request_features,
)
from driver_ranking.feature_store.joinable import DefinedViews
from driver_ranking.model_version import RegisteredModel

if TYPE_CHECKING:
    from columnar_support.asof_repos import AsofRepo

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*experimental feature", "ignore:Entity value_type will be mandatory:DeprecationWarning"
)


def entity(name: str, value_type: ValueType | None = None) -> Entity:
    return Entity(name=name, join_keys=[name], value_type=value_type)


def view(repo: AsofRepo, name: str, *entities: Entity, schema: tuple[Field, ...] = ()) -> FeatureView:
    source = repo.source(repo.write(f"{name}.parquet", [(1, repo.noon(), repo.noon(), 4)]), name=name)
    fields = [Field(name=f"{name}_trips", dtype=Int32), *schema]
    return FeatureView(name=name, entities=list(entities), schema=fields, source=source)


def on_demand(name: str, source: FeatureView, **wanted: Any) -> Any:
    fields = [Field(name=one, dtype=dtype) for one, dtype in wanted.items()]

    def transform(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({f"{name}_made": inputs["made"]})

    transform.__name__ = name
    return on_demand_feature_view(
        sources=[source, RequestSource(name=f"{name}_request", schema=fields)],
        schema=[Field(name=f"{name}_made", dtype=Float64)],
    )(transform)


def wanted_of(entities: list[Entity], *views: Any, used: list[Any] | None = None) -> dict[str, EntityColumn]:
    """Return what a repo that has not been applied wants."""
    plain = [one for one in views if isinstance(one, FeatureView)]
    made = [one for one in views if not isinstance(one, FeatureView)]
    defined = DefinedViews.of_repo(RepoContents([], [], plain, made, [], [], entities, [], []))
    return service_columns(FeatureService(name="all", features=list(used or views)), defined)


def readings(columns: dict[str, EntityColumn]) -> dict[str, Reading]:
    return {name: column.reading for name, column in columns.items()}


def model_of(**types: str) -> RegisteredModel:
    return RegisteredModel("m", "1", None, "", "all", tuple(types), "", tuple(types.values()))


def test_keys_are_those_of_the_views_of_the_types_that_are_declared(asof_repo: AsofRepo) -> None:
    rider, driver = entity("rider", ValueType.STRING), entity("driver", ValueType.INT32)
    zone, day = entity("zone"), entity("day", ValueType.UNIX_TIMESTAMP)
    typed = view(asof_repo, "typed", zone, schema=(Field(name="zone", dtype=String),))
    pairs, days, world = view(asof_repo, "pairs", rider, driver), view(asof_repo, "days", day), view(asof_repo, "world")
    renamed = typed.with_name("pickup").with_join_key_map({"zone": "pickup_zone"})
    views = (pairs, days, world, typed)
    wanted = wanted_of([rider, driver, zone, day], *views, used=[pairs, days, world, renamed])
    assert readings(wanted) == {
        "rider": Reading.TEXT,
        "driver": Reading.SHORT_INTEGER,
        "day": Reading.TIME,
        "pickup_zone": Reading.TEXT,
    }
    assert all(column.required for column in wanted.values())
    assert wanted["pickup_zone"].role == "the join key of the feature view 'pickup'"


def test_what_feast_finds_out_of_a_source_is_known_once_the_repo_is_applied(asof_repo: AsofRepo) -> None:
    driver = entity("driver_id")
    stats = FeatureView(
        name="stats",
        entities=[driver],
        schema=[Field(name="trips", dtype=Int32)],
        source=asof_repo.source(asof_repo.write("stats.parquet", [(1, asof_repo.noon(), None, 1)]), name="stats"),
    )
    assert readings(wanted_of([driver], stats)) == {"driver_id": Reading.UNKNOWN}
    store = asof_repo.open()
    store.apply([driver, stats])
    service = FeatureService(name="all", features=[store.get_feature_view("stats")])
    assert readings(service_columns(service, DefinedViews.of_store(store))) == {"driver_id": Reading.INTEGER}
    assert service_columns(service, DefinedViews({}, {})) == {}


def test_a_key_of_32_bits_may_be_one_of_64_to_another_view_but_no_other_column(asof_repo: AsofRepo) -> None:
    wide, narrow = entity("driver", ValueType.INT64), Entity(name="n", join_keys=["driver"], value_type=ValueType.INT32)
    views = [view(asof_repo, "wide", wide), view(asof_repo, "narrow", narrow)]
    for ordered in (views, views[::-1]):
        assert readings(wanted_of([wide, narrow], *ordered)) == {"driver": Reading.INTEGER}
    fares = on_demand("fares", views[0], stops=Int64), on_demand("tolls", views[0], stops=Int32)
    with pytest.raises(FeatureStoreError, match=r"'stops' is declared in two ways: .* an integer of 32 bits"):
        wanted_of([wide], views[0], *fares)


def test_what_on_demand_views_take_from_the_request_is_wanted_with_their_sources_keys(asof_repo: AsofRepo) -> None:
    driver = entity("driver", ValueType.INT64)
    stats = view(asof_repo, "stats", driver)
    made = on_demand("made", stats, km=Float32, stops=Int64, night=Bool, zone=String, seen=Array(Int64), driver=Float64)
    wanted = wanted_of([driver], stats, made, used=[made])
    assert readings(wanted) == {
        "driver": Reading.INTEGER,  # what is a key as well is read as one
        "km": Reading.NUMBER,
        "stops": Reading.INTEGER,
        "night": Reading.BOOLEAN,
        "zone": Reading.TEXT,
        "seen": Reading.OTHER,
    }
    assert wanted["km"] == EntityColumn(
        "km", Reading.NUMBER, "what the on-demand feature view 'made' takes from the request"
    )


def test_a_column_that_is_declared_in_two_ways_is_refused(asof_repo: AsofRepo) -> None:
    text, number = entity("zone", ValueType.STRING), Entity(name="n", join_keys=["zone"], value_type=ValueType.INT64)
    unknown = Entity(name="u", join_keys=["zone"])
    texts, numbers, any_of = (
        view(asof_repo, name, one) for name, one in (("texts", text), ("numbers", number), ("any", unknown))
    )
    message = (
        "'zone' is declared in two ways: as the join key of the feature view 'texts' it is a text, as the join key of "
        "the feature view 'numbers' an integer"
    )
    with pytest.raises(FeatureStoreError, match=message):
        wanted_of([text, number], texts, numbers)
    for views in ((any_of, texts), (texts, any_of)):
        assert readings(wanted_of([text, unknown], *views)) == {"zone": Reading.TEXT}
    fares, tolls = on_demand("fares", texts, km=Float64), on_demand("tolls", texts, km=Int64)
    with pytest.raises(FeatureStoreError, match="as what the on-demand feature view 'fares' takes from the request it"):
        wanted_of([text], texts, fares, tolls)


@pytest.mark.parametrize(
    ("kind", "reading"),
    [
        ("double", Reading.NUMBER),
        ("float", Reading.FLOAT),
        ("long", Reading.EXACT_INTEGER),
        ("integer", Reading.SHORT_INTEGER),
        ("boolean", Reading.BOOLEAN),
        ("string", Reading.TEXT),
        ("binary", Reading.BYTES),
    ],
)
def test_a_request_feature_is_read_as_the_signature_has_it(kind: str, reading: Reading) -> None:
    model = model_of(rate="double", surge=kind)
    found = with_request_features({}, model, ("surge",))
    assert found == {"surge": EntityColumn("surge", reading, "a request feature of the model 'm' version 1")}


@pytest.mark.parametrize(
    ("declared", "kind", "reading"),
    [
        (Reading.INTEGER, "double", Reading.EXACT_INTEGER),
        (Reading.INTEGER, "integer", Reading.SHORT_INTEGER),
        (Reading.SHORT_INTEGER, "double", Reading.SHORT_INTEGER),
        (Reading.NUMBER, "float", Reading.FLOAT),
        (Reading.BOOLEAN, "double", Reading.BOOLEAN),
        (Reading.TEXT, "string", Reading.TEXT),
        (Reading.UNKNOWN, "string", Reading.UNKNOWN),
        (Reading.NUMBER, "long", None),
        (Reading.TEXT, "double", None),
        (Reading.INTEGER, "boolean", None),
        (Reading.TIME, "string", None),
    ],
)
def test_what_the_repo_declares_too_is_read_as_that_says_if_it_fits(
    declared: Reading, kind: str, reading: Reading | None
) -> None:
    columns = {"x": EntityColumn("x", declared, "the join key of the feature view 'v'", required=True)}
    if reading is None:
        with pytest.raises(ModelSignatureError, match=f"takes 'x' as {kind}, but it is a.* as the join key of the"):
            with_request_features(columns, model_of(x=kind), ("x",))
    else:
        (column,) = with_request_features(columns, model_of(x=kind), ("x",)).values()
        assert (column.reading, column.required) == (reading, True)


def test_a_request_feature_that_is_not_there_is_named() -> None:
    model = model_of(rate="double", surge="double")
    require_request_features(model, ("surge",), ("driver", "surge"))
    with pytest.raises(RequestError, match="lack the column 'surge', which the model 'm' version 1 takes from the req"):
        require_request_features(model, ("surge",), ("driver", "rate"))
    optional = replace(model, request_features=("surge",), defaults=(("surge", 1.0),))
    assert require_request_features(optional, ("surge",), ("driver", "rate")) == ()
