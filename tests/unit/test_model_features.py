"""A model and its feature service are checked against each other: names, and types that hold each other's values."""

from __future__ import annotations

import pytest
from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.types import Float32, Float64, Int32, String

from driver_ranking.errors import MissingFeatureError, ModelSignatureError
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
    ],
    source=FileSource(path="stats.parquet", timestamp_field="event_timestamp"),
)
SERVICE = FeatureService(name="drivers_v1", features=[STATS])


def model_of(**types: str) -> RegisteredModel:
    return RegisteredModel("drivers", "7", None, "source", "drivers_v1", tuple(types), "nowhere", tuple(types.values()))


def test_the_natural_types_fit() -> None:
    features = features_of(model_of(rate="float", trips="integer", exact="double"), SERVICE)
    assert features.columns == ("rate", "exact", "trips", "city")


def test_columns_named_by_their_views_are_checked_as_well() -> None:
    assert features_of(model_of(stats__rate="float"), SERVICE).full_names
    with pytest.raises(ModelSignatureError, match="'stats__exact' is Float64 in the feature repo and float"):
        features_of(model_of(stats__exact="float"), SERVICE)


@pytest.mark.parametrize(("name", "kind"), [("exact", "float"), ("rate", "integer"), ("trips", "boolean")])
def test_a_column_that_would_change_its_values_is_refused(name: str, kind: str) -> None:
    with pytest.raises(ModelSignatureError, match=f"version 7 can't be given its features exactly: '{name}' is"):
        features_of(model_of(**{name: kind}), SERVICE)


def test_a_feature_that_is_no_number_is_refused() -> None:
    with pytest.raises(ModelSignatureError, match="'city' is String in the feature repo"):
        features_of(model_of(city="double"), SERVICE)


def test_a_feature_that_is_not_there_is_refused() -> None:
    with pytest.raises(MissingFeatureError, match="'tips'"):
        features_of(model_of(tips="double"), SERVICE)
