"""Couriers: views of different ttl, one twice, one of no key, and what is computed. A test copies it into a project."""

from datetime import timedelta
from typing import Any

import pandas as pd
from feast import Entity, FeatureService, FeatureView, Field, FileSource, RequestSource, ValueType
from feast.data_format import ParquetFormat
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Bool, Float32, Float64, Int32, Int64


def source(name: str) -> FileSource:
    """Return the source of a view."""
    path = f"../data/01_raw/{name}.parquet"
    return FileSource(name=f"{name}_source", path=path, file_format=ParquetFormat(), timestamp_field="at")


courier = Entity(name="courier", join_keys=["courier_id"], value_type=ValueType.INT32)
riding = FeatureView(
    name="riding",
    entities=[courier],
    ttl=timedelta(days=2),
    schema=[Field(name="speed", dtype=Float32), Field(name="deliveries", dtype=Int32)],
    source=source("riding"),
)
moods = FeatureView(
    name="moods",
    entities=[courier],
    ttl=timedelta(hours=6),
    schema=[Field(name="energy", dtype=Float64, tags={"default": "0.25"})],
    source=source("moods"),
)
weather = FeatureView(
    name="weather",
    entities=[],
    ttl=timedelta(0),
    schema=[Field(name="rain", dtype=Float32), Field(name="is_dark", dtype=Bool)],
    source=source("weather"),
)
basket = RequestSource(name="basket", schema=[Field(name="weight_kg", dtype=Float64), Field(name="stops", dtype=Int64)])
promise = RequestSource(name="promise", schema=[Field(name="is_express", dtype=Bool)])


@on_demand_feature_view(  # type: ignore[untyped-decorator] # Feast leaves it untyped
    sources=[riding, basket], schema=[Field(name="minutes", dtype=Float64)], mode="pandas"
)
def arrival(inputs: pd.DataFrame) -> pd.DataFrame:
    """Say how long it takes: of nothing, nothing."""
    rows = inputs[["weight_kg", "stops", "speed"]].astype("float64")
    return pd.DataFrame({"minutes": 60 * (1 + rows["stops"]) / rows["speed"] + rows["weight_kg"] / 3})


@on_demand_feature_view(  # type: ignore[untyped-decorator] # Feast leaves it untyped
    sources=[riding, weather, promise], schema=[Field(name="bonus", dtype=Float64)], mode="python"
)
def pay(inputs: dict[str, Any]) -> dict[str, Any]:
    """Say what is paid beside the wage: of nothing, nothing."""
    rows = zip(inputs["deliveries"], inputs["rain"], inputs["is_express"], strict=True)
    return {"bonus": [None if None in row else 2.5 * row[2] + 0.01 * row[0] * (1 + row[1]) for row in rows]}


couriers_v1 = FeatureService(
    name="couriers_v1",
    features=[
        riding,
        riding.with_name("buddy").with_join_key_map({"courier_id": "buddy_id"})[["speed"]],
        moods,
        weather,
        arrival,
        pay,
    ],
)
