"""Restaurants by text ids, and the zones that orders go to: copied into a project as its feature repo."""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.data_format import ParquetFormat
from feast.types import Float32, Int32


def source(name: str) -> FileSource:
    """Return the source of a view."""
    path = f"../data/01_raw/{name}.parquet"
    return FileSource(name=f"{name}_source", path=path, file_format=ParquetFormat(), timestamp_field="datetime")


restaurant = Entity(name="restaurant", join_keys=["restaurant_id"], value_type=ValueType.STRING)
zone = Entity(name="zone", join_keys=["zone"], value_type=ValueType.STRING)
restaurants = FeatureView(
    name="restaurants",
    entities=[restaurant],
    ttl=timedelta(days=36500),
    schema=[
        Field(name="rating", dtype=Float32),
        Field(name="on_time_rate", dtype=Float32),
        Field(name="daily_orders", dtype=Int32),
    ],
    source=source("restaurants"),
)
zones = FeatureView(
    name="zones",
    entities=[zone],
    ttl=timedelta(days=36500),
    schema=[Field(name="open_orders", dtype=Float32)],
    source=source("zones"),
)
restaurants_v1 = FeatureService(name="restaurants_v1", features=[restaurants, zones])
