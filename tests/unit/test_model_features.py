"""A model and its feature service are checked against each other: names, and types that hold each other's values."""

from __future__ import annotations

import pytest
from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.types import Bool, Bytes, Float32, Float64, Int32, String

from driver_ranking.errors import MissingFeatureError, ModelSignatureError, ModelTagError
from driver_ranking.model_features import features_of
from driver_ranking.model_version import RegisteredModel

DRIVER = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
STATS = FeatureView(
    name="stats",
    entities=[DRIVER],
    schema=[
        Field(name="rate", dtype=Float32),
        Field(name="exact", dtype=Float64),
        Field(name="trips", dtype=Int32),
        Field(name="city", dtype=String),
        Field(name="mark", dtype=Bytes),
        Field(name="busy", dtype=Bool),
    ],
    source=FileSource(path="stats.parquet", timestamp_field="event_timestamp"),
)
SERVICE = FeatureService(name="drivers_v1", features=[STATS])


def model_of(*requested: str, **types: str) -> RegisteredModel:
    return RegisteredModel(
        "drivers",
        "7",
        None,
        "source",
        "drivers_v1",
        tuple(types),
        "nowhere",
        tuple(types.values()),
        request_features=requested,
    )


def test_the_natural_types_fit() -> None:
    features = features_of(model_of(rate="float", trips="integer", exact="double"), SERVICE)
    assert features.service.columns == ("rate", "exact", "trips", "city", "mark", "busy")
    assert (features.stored, features.requested, features.defaults) == (("rate", "trips", "exact"), (), None)


def test_columns_named_by_their_views_are_checked_as_well() -> None:
    assert features_of(model_of(stats__rate="float"), SERVICE).service.full_names
    with pytest.raises(ModelSignatureError, match="'stats__exact' is Float64 in the feature repo and float"):
        features_of(model_of(stats__exact="float"), SERVICE)


@pytest.mark.parametrize(("name", "kind"), [("exact", "float"), ("rate", "integer"), ("trips", "boolean")])
def test_a_column_that_would_change_its_values_is_refused(name: str, kind: str) -> None:
    with pytest.raises(ModelSignatureError, match=f"version 7 can't be given its features exactly: '{name}' is"):
        features_of(model_of(**{name: kind}), SERVICE)


def test_texts_and_bytes_are_features_as_any_other() -> None:
    assert features_of(model_of(city="string", rate="float", mark="binary"), SERVICE).stored == ("city", "rate", "mark")


@pytest.mark.parametrize(
    ("name", "kind"), [("city", "double"), ("rate", "string"), ("city", "binary"), ("mark", "string")]
)
def test_a_feature_of_another_kind_is_refused(name: str, kind: str) -> None:
    with pytest.raises(ModelSignatureError, match=f"'{name}' is .* in the feature repo and {kind} in the signature"):
        features_of(model_of(**{name: kind}), SERVICE)


def test_a_feature_that_neither_the_service_nor_the_request_has_is_refused() -> None:
    with pytest.raises(
        MissingFeatureError, match=r"wants 'tips', but the feature service 'drivers_v1' offers .*'request_features'"
    ):
        features_of(model_of("km", km="double", tips="double"), SERVICE)


def test_what_comes_with_the_request_is_in_the_order_of_the_signature() -> None:
    model = model_of("zone", "km", km="float", rate="float", zone="string")
    features = features_of(model, SERVICE)
    assert (features.stored, features.requested) == (("rate",), ("km", "zone"))
    assert features_of(model_of("km", km="double"), SERVICE).stored == ()


def test_a_request_feature_beside_columns_named_by_their_views() -> None:
    features = features_of(model_of("km", km="double", stats__rate="float"), SERVICE)
    assert (features.stored, features.requested, features.service.full_names) == (("stats__rate",), ("km",), True)


def test_a_request_feature_that_the_service_offers_too_is_refused() -> None:
    with pytest.raises(ModelTagError, match="names 'rate', which the feature service 'drivers_v1' offers as well"):
        features_of(model_of("rate", rate="float", exact="double"), SERVICE)


def test_a_request_feature_that_the_signature_lacks_is_refused() -> None:
    with pytest.raises(
        ModelTagError, match="The tag 'request_features' of the model 'drivers' version 7 names 'km', but"
    ):
        features_of(model_of("km", rate="float"), SERVICE)
