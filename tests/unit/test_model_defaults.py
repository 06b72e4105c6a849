"""What stands for missing features: the tags of the feature repo and of the model's version, in the columns' types."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Bool, Bytes, Float32, Float64, Int32, Int64, String
from hypothesis import given
from hypothesis import strategies as st

from driver_ranking.errors import ModelTagError
from driver_ranking.feature_store.repo import find_service
from driver_ranking.model_defaults import has_default
from driver_ranking.model_features import features_of
from driver_ranking.model_version import RegisteredModel

if TYPE_CHECKING:
    from pathlib import Path

    from driver_ranking.features import Defaults

DRIVER = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
SOURCE = FileSource(path="stats.parquet", timestamp_field="event_timestamp")


def service_of(**fields: tuple[Any, str | None]) -> FeatureService:
    """Return a service of one view, whose fields have types and maybe defaults."""
    schema = [
        Field(name=name, dtype=dtype, tags={} if default is None else {"default": default})
        for name, (dtype, default) in fields.items()
    ]
    view = FeatureView(name="stats", entities=[DRIVER], schema=schema, source=SOURCE)
    return FeatureService(name="drivers_v1", features=[view])


def model_of(defaults: dict[str, Any] | None = None, **types: str) -> RegisteredModel:
    kinds = tuple(types.values())
    model = RegisteredModel("drivers", "7", None, "source", "drivers_v1", tuple(types), "nowhere", kinds)
    return replace(model, defaults=tuple((defaults or {}).items()))


def defaults_of(model: RegisteredModel, service: FeatureService) -> Defaults:
    defaults = features_of(model, service).defaults
    assert defaults is not None
    return defaults


REPO = service_of(
    rate=(Float32, "0.1"),
    exact=(Float64, None),
    trips=(Int32, "12"),
    total=(Int64, "-3"),
    busy=(Bool, " True"),
    city=(String, "Hanoi "),
    mark=(Bytes, "Å"),
    unused=(Float64, "none of the model's"),
)


def test_the_repos_defaults_are_read_as_the_features_types() -> None:
    model = model_of(
        city="string", busy="boolean", total="long", exact="double", rate="float", trips="integer", mark="binary"
    )
    defaults = defaults_of(model, REPO)
    np.testing.assert_array_equal(defaults.numbers, [1, -3, np.nan, np.float32(0.1), 12])
    assert defaults.texts == {"city": "Hanoi ", "mark": "Å".encode()}


def test_the_versions_defaults_come_first() -> None:
    given_defaults = {"rate": 0.25, "exact": 7, "city": "", "busy": False, "mark": "b"}
    model = model_of(
        given_defaults, rate="double", exact="double", trips="double", city="string", busy="double", mark="binary"
    )
    defaults = defaults_of(model, REPO)
    assert defaults.numbers.tolist() == [0.25, 7, 12, 0]
    assert defaults.texts == {"city": "", "mark": b"b"}


def test_what_comes_with_the_request_may_have_defaults() -> None:
    model = replace(model_of({"km": 2.5}, km="float", exact="double"), request_features=("km",))
    np.testing.assert_array_equal(defaults_of(model, REPO).numbers, [2.5, np.nan])


def test_without_defaults_there_are_none() -> None:
    assert features_of(model_of(exact="double"), REPO).defaults is None


def test_defaults_of_an_applied_repo_are_its_defaults(tmp_path: Path) -> None:
    config = RepoConfig(
        project="drivers",
        registry=str(tmp_path / "registry.db"),
        provider="local",
        online_store={"type": "sqlite", "path": str(tmp_path / "online.db")},
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    views: list[Any] = REPO._features  # noqa: SLF001 - what a service was made of
    store.apply([DRIVER, SOURCE, *views, REPO], skip_feature_view_validation=True)
    assert defaults_of(model_of(trips="integer"), find_service(store, "drivers_v1")).numbers.tolist() == [12]


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_a_float32_is_named_by_its_shortest_decimal_or_by_all_its_digits(value: float) -> None:
    for named in (value, float(str(np.float32(value)))):
        assert defaults_of(model_of({"rate": named}, rate="float"), REPO).numbers.tolist() == [value]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("float", 0.123456789),
        ("float", 1e300),
        ("float", 10**400),
        ("float", 2**24 + 1),
        ("double", float("inf")),
        ("double", 10**400),
        ("double", 2**53 + 1),
        ("long", 0.5),
        ("long", 2**53),
        ("integer", 2**31),
        ("boolean", 2),
    ],
)
def test_a_number_that_its_column_can_not_hold_is_refused(kind: str, value: float) -> None:
    with pytest.raises(
        ModelTagError, match=rf"The default of 'busy' in .*'defaults' of .* version 7 is .* which {kind}, "
    ):
        features_of(model_of({"busy": value}, busy=kind), REPO)


@pytest.mark.parametrize(
    ("name", "kind", "value", "why"),
    [
        ("rate", "float", "fast", "is the text 'fast', and the model takes it as float"),
        ("rate", "float", True, "is true or false, and the model takes it as float"),
        ("city", "string", 5, r"is 5, and the model takes it as a text \(string\)"),
        ("mark", "binary", False, r"is False, and the model takes it as a text \(binary\)"),
        ("city", "string", "\ud800", "half a character"),
    ],
)
def test_a_default_of_another_kind_is_refused(name: str, kind: str, value: Any, why: str) -> None:
    with pytest.raises(ModelTagError, match=f"The default of '{name}' in the tag 'defaults' of .* {why}"):
        features_of(model_of({name: value}, **{name: kind}), REPO)


def test_a_default_of_what_the_signature_lacks_is_refused() -> None:
    with pytest.raises(ModelTagError, match="The tag 'defaults' of the model 'drivers' version 7 names 'trips', but"):
        features_of(model_of({"trips": 1}, rate="float"), REPO)


@pytest.mark.parametrize(
    ("dtype", "kind", "text"),
    [
        (Float64, "double", "1,5"),
        (Float64, "double", "nan"),
        (Float32, "float", "-inf"),
        (Int64, "long", "1.5"),
        (Int32, "integer", str(2**31)),
        (Bool, "boolean", "yes"),
    ],
)
def test_a_tag_of_the_repo_that_is_no_value_of_its_type_is_refused(dtype: Any, kind: str, text: str) -> None:
    with pytest.raises(ModelTagError, match="The tag 'default' of the feature 'own' in the feature repo is"):
        features_of(model_of(own=kind), service_of(own=(dtype, text)))


def test_which_features_have_a_default_and_which_a_request_may_lack() -> None:
    model = replace(
        model_of({"wait": 1, "pickup": "here"}, rate="float", wait="double", pickup="string", note="string"),
        request_features=("note", "pickup", "wait"),
    )
    defaults = defaults_of(model, service_of(rate=(Float32, None)))
    found = {name: has_default(model, defaults, name) for name in model.feature_names}
    assert found == {"rate": False, "wait": True, "pickup": True, "note": False}
    assert model.optional_columns == ("pickup", "wait")
