"""Where feature values come from."""

from feast import FileSource
from feast.data_format import ParquetFormat

driver_stats_source = FileSource(
    name="driver_stats_source",
    path="../data/01_raw/driver_stats.parquet",
    file_format=ParquetFormat(),
    timestamp_field="datetime",
    created_timestamp_column="created",
    description="Hourly statistics of every driver; a correction repeats the hour with a later `created`",
)
