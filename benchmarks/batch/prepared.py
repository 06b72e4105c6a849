"""What the programs read: statistics, a request, and the input of scoring as the pipeline would write it.

Each is made in a process of its own, which imports what it needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch.extraction import sql_by_hand
from batch.scoring import resolve

if TYPE_CHECKING:
    from pathlib import Path

HOURS = 1000  # of hourly rows per driver: six weeks


def make_data(folder: Path, features: int, requests: int) -> None:
    """Write the driver statistics and the request."""
    from driver_ranking import sample_data as sample

    size = sample.SampleSize.of_rows(features, drivers=max(1, features // HOURS))
    stats = sample.driver_stats_batches(size)
    sample.write_parquet(folder / "stats.parquet", sample.DRIVER_STATS_SCHEMA, stats)
    rows = sample.entity_row_batches(size, requests)
    sample.write_parquet(folder / "requests.parquet", sample.ENTITY_ROWS_SCHEMA, rows)


def _extract_input(folder: Path, rows: str, output: str) -> None:
    """Write the input of scoring as the pipeline would."""
    import duckdb

    version = resolve(folder).version
    sql = sql_by_hand(folder).replace("output-sql", output)
    sql = sql.replace(f"read_parquet('{folder}/requests.parquet', file_row_number = true)", rows)
    named = f"KV_METADATA {{'driver_ranking.model_version': '{version}', 'driver_ranking.request': 'request'}}"
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(sql.replace("(FORMAT parquet)", f"(FORMAT parquet, {named})"))


def extract_input(folder: Path) -> None:
    """Write the input of scoring."""
    _extract_input(folder, f"read_parquet('{folder}/requests.parquet', file_row_number = true)", "input")


def extract_input_tenth(folder: Path) -> None:
    """Write a tenth of the input of scoring."""
    every_tenth = f"read_parquet('{folder}/requests.parquet', file_row_number = true) WHERE file_row_number % 10 = 0"
    _extract_input(folder, f"(SELECT * FROM {every_tenth})", "input-tenth")
