"""Where feature values come from."""

from feast import Field, FileSource, RequestSource
from feast.data_format import ParquetFormat
from feast.types import Float64

driver_stats_source = FileSource(
    name="driver_stats_source",
    path="../data/01_raw/driver_stats.parquet",
    file_format=ParquetFormat(),
    timestamp_field="datetime",
    created_timestamp_column="created",
    description="Hourly statistics of every driver; a correction repeats the hour with a later `created`",
)

zone_stats_source = FileSource(
    name="zone_stats_source",
    path="../data/01_raw/zone_stats.parquet",
    file_format=ParquetFormat(),
    timestamp_field="datetime",
    created_timestamp_column="created",
    description="Hourly statistics of every zone",
)
trip_request = RequestSource(
    name="trip_request",
    schema=[Field(name="trip_distance_km", dtype=Float64, description="How far the trip goes")],
    description="What only the request knows of a trip",
)
