"""Rides: a pair of keys, a zone, a driver, and what only the request knows. A test copies it into a project."""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.data_format import ParquetFormat
from feast.types import Bool, Float32, Float64, Int64, String


def source(name: str) -> FileSource:
    """Return the source of a view."""
    path = f"../data/01_raw/{name}.parquet"
    return FileSource(name=f"{name}_source", path=path, file_format=ParquetFormat(), timestamp_field="at")


rider = Entity(name="rider", join_keys=["rider_id"], value_type=ValueType.INT64)
driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.STRING)
zone = Entity(name="zone", join_keys=["zone"], value_type=ValueType.STRING)
pairs = FeatureView(
    name="pairs",
    entities=[rider, driver],
    ttl=timedelta(days=30),
    schema=[
        Field(name="shared_trips", dtype=Int64),
        Field(name="tip_rate", dtype=Float64, tags={"default": "0.05"}),
    ],
    source=source("pairs"),
)
zones = FeatureView(
    name="zones",
    entities=[zone],
    ttl=timedelta(hours=6),
    schema=[Field(name="demand", dtype=Float64), Field(name="nickname", dtype=String)],
    source=source("zones"),
)
drivers = FeatureView(
    name="drivers",
    entities=[driver],
    ttl=timedelta(days=1),
    schema=[Field(name="acceptance", dtype=Float32), Field(name="on_shift", dtype=Bool)],
    source=source("drivers"),
)
rides_v1 = FeatureService(name="rides_v1", features=[pairs, zones[["demand"]], drivers])
