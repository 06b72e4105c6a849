"""The features."""

from datetime import timedelta

from feast import FeatureView, Field
from feast.types import Float32, Int32

from data_sources import driver_stats_source
from entities import driver

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
