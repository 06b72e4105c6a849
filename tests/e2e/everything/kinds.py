"""One of each kind of thing that a feature repo may hold, beside the project's own; tests copy it into one."""

from datetime import timedelta

import pandas as pd
from computed.views import busy, effort, mood, surge
from feast import (
    BatchFeatureView,
    Entity,
    FeatureService,
    FeatureView,
    Field,
    FileSource,
    Project,
    PushSource,
    StreamFeatureView,
    ValueType,
)
from feast.data_format import ParquetFormat
from feast.permissions.action import AuthzedAction
from feast.permissions.permission import Permission
from feast.permissions.policy import RoleBasedPolicy
from feast.types import Array, Bool, Float32, Float64, Int32, Int64, String

from entities import driver
from feature_views import driver_stats

project = Project(name="driver_ranking", description="Everything at once")
zone = Entity(name="district", join_keys=["zone_id"], value_type=ValueType.INT64)
readers = Permission(
    name="readers", types=FeatureView, policy=RoleBasedPolicy(roles=["reader"]), actions=[AuthzedAction.DESCRIBE]
)


def source(name: str, path: str, **options: object) -> FileSource:
    """Return a source of the test's own files."""
    defaults = {"file_format": ParquetFormat(), "timestamp_field": "event_timestamp"}
    return FileSource(name=name, path=f"../data/01_raw/{path}", **{**defaults, **options})


ratings = FeatureView(
    name="ratings",
    entities=[driver],
    ttl=timedelta(days=10),
    schema=[Field(name="driver_id", dtype=Int64), Field(name="stars", dtype=Float64), Field(name="votes", dtype=Int32)],
    source=source(
        "ratings",
        "ratings",
        timestamp_field="when",
        field_mapping={"id": "driver_id", "s": "stars"},
    ),
    tags={"team": "ratings"},
    owner="ratings@example.com",
    enable_validation=True,
)
calls = FeatureView(
    name="calls",
    entities=[driver],
    ttl=timedelta(0),
    schema=[Field(name="calls", dtype=Int64), Field(name="on_duty", dtype=Bool)],
    source=PushSource(name="calls_push", batch_source=source("calls", "calls.parquet")),
)
weather = FeatureView(
    name="weather",
    schema=[Field(name="rain", dtype=Float32)],
    source=source("weather", "weather.parquet"),
)
zones = FeatureView(
    name="zones",
    entities=[driver, zone],
    schema=[Field(name="trips_there", dtype=Int64)],
    source=source("zones", "zones.parquet"),
    online=False,
)
profiles = FeatureView(
    name="profiles",
    entities=[driver],
    schema=[Field(name="vector", dtype=Array(Float32)), Field(name="language", dtype=String)],
    source=source("profiles", "profiles.parquet"),
)


def doubled(rows: pd.DataFrame) -> pd.DataFrame:
    """Make a feature of a source's column."""
    return rows.assign(calls=rows["calls"] * 2)


doubled_calls = BatchFeatureView(
    name="doubled_calls",
    mode="pandas",
    entities=[driver],
    schema=[Field(name="calls", dtype=Int64)],
    source=source("calls_again", "calls.parquet"),
    udf=doubled,
    udf_string="doubled",
    online=True,
)
streamed_calls = StreamFeatureView(
    name="streamed_calls",
    entities=[driver],
    schema=[Field(name="calls", dtype=Int64)],
    source=PushSource(name="streamed_push", batch_source=source("calls_streamed", "calls.parquet")),
)

served = FeatureService(
    name="served_v1",
    features=[driver_stats[["acc_rate"]], ratings[["stars"]], calls.with_name("phone"), effort[["effort"]], busy, mood],
    tags={"stage": "test"},
)
everything = FeatureService(
    name="everything_v1",
    features=[
        driver_stats[["conv_rate"]],
        driver_stats.with_name("partner").with_join_key_map({"driver_id": "partner_id"})[["conv_rate"]],
        ratings,
        weather,
        zones,
        streamed_calls,
        effort.with_name("work"),
        surge,
    ],
)
transformed = FeatureService(name="transformed_v1", features=[doubled_calls])
