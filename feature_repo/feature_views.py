"""The features."""

from datetime import timedelta

import numpy as np
import pandas as pd
from feast import FeatureView, Field
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float32, Float64, Int32

from data_sources import driver_stats_source, trip_request, zone_stats_source
from entities import driver, zone

driver_stats = FeatureView(
    name="driver_stats",
    entities=[driver],
    ttl=timedelta(days=36500),
    schema=[
        Field(name="conv_rate", dtype=Float32, description="Share of the offered trips that the driver completed"),
        Field(name="acc_rate", dtype=Float32, description="Share of the offered trips that the driver accepted"),
        Field(name="avg_daily_trips", dtype=Int32, description="Trips per day"),
    ],
    source=driver_stats_source,
    online=True,
    description="Hourly statistics of every driver",
)
zone_stats = FeatureView(
    name="zone_stats",
    entities=[zone],
    ttl=timedelta(days=36500),
    schema=[
        Field(name="avg_speed_kmh", dtype=Float32, description="How fast the zone's traffic is"),
        Field(name="open_requests", dtype=Int32, description="Trips that no driver has taken yet"),
    ],
    source=zone_stats_source,
    online=True,
    description="Hourly statistics of every zone",
)


@on_demand_feature_view(  # type: ignore[untyped-decorator] # Feast has no types
    sources=[driver_stats[["avg_daily_trips"]], zone_stats[["avg_speed_kmh"]], trip_request],
    schema=[  # without descriptions: Feast compares them with what the function gives, which has none
        Field(name="trip_minutes", dtype=Float64),
        Field(name="unusual_length", dtype=Float64),
    ],
    mode="pandas",
    description="A trip beside what a driver is used to, in ten hours of driving a day",
)
def driver_for_trip(inputs: pd.DataFrame) -> pd.DataFrame:
    """Return how long the trip takes, and how far from usual that is for the driver, 0 or more.

    A distance or a speed of 0 or less gives nothing.
    """
    values = inputs[["trip_distance_km", "avg_speed_kmh", "avg_daily_trips"]].astype("float64")
    known = (values["trip_distance_km"] > 0) & (values["avg_speed_kmh"] > 0)
    minutes = (60 * values["trip_distance_km"] / values["avg_speed_kmh"]).where(known)
    usual = 600 / values["avg_daily_trips"].clip(lower=1)
    return pd.DataFrame({"trip_minutes": minutes, "unusual_length": np.abs(np.log(minutes / usual))})
