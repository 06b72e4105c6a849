"""Restaurants: text ids, and a text, a boolean and numbers as features. A test copies it into a project as its repo."""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.data_format import ParquetFormat
from feast.types import Bool, Float64, Int32, Int64, String

restaurant = Entity(name="restaurant", join_keys=["restaurant_id"], value_type=ValueType.STRING)
menus = FeatureView(
    name="menus",
    entities=[restaurant],
    ttl=timedelta(days=1),
    schema=[
        Field(name="rating", dtype=Float64),
        Field(name="orders_per_day", dtype=Int64),
        Field(name="cuisine", dtype=String),
        Field(name="delivers", dtype=Bool),
        Field(name="price_level", dtype=Int32, tags={"default": "2"}),
    ],
    source=FileSource(
        name="menus_source",
        path="../data/01_raw/menus.parquet",
        file_format=ParquetFormat(),
        timestamp_field="seen_at",
        created_timestamp_column="created",
    ),
)
restaurants_v1 = FeatureService(name="restaurants_v1", features=[menus])
