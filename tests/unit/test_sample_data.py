"""The sample data: seeded, with the faults of a real feed, and the same as what is committed."""

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.projects import ROOT

from driver_ranking import sample_data
from driver_ranking.sample_data import (
    DRIVER_STATS_SCHEMA,
    ENTITY_ROWS_SCHEMA,
    ZONE_STATS_SCHEMA,
    SampleSize,
    driver_stats_batches,
    entity_row_batches,
    write_sample,
)

RAW = ROOT / "data/01_raw"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder)
    return folder


@pytest.mark.parametrize("name", ["driver_orders.csv", "trips.csv", "batch_request.csv"])
def test_the_committed_text_is_what_the_generator_makes(written: Path, name: str) -> None:
    assert (written / name).read_bytes() == (RAW / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "schema"),
    [("driver_stats.parquet", DRIVER_STATS_SCHEMA), ("zone_stats.parquet", ZONE_STATS_SCHEMA)],
)
def test_the_committed_statistics_are_what_the_generator_makes(written: Path, name: str, schema: pa.Schema) -> None:
    made = pq.read_table(written / name)
    assert made.schema == schema
    assert made.equals(pq.read_table(RAW / name))


def test_a_trip_is_one_time_place_and_distance_for_several_drivers_of_whom_one_completes_it_or_none() -> None:
    found = duckdb.sql(
        f"""
        SELECT count(DISTINCT (event_timestamp, trip_distance_km, pickup_zone)), count(DISTINCT driver_id) = count(*),
               count(*), sum(trip_completed)
        FROM '{RAW}/trips.csv' GROUP BY trip_id
        """
    ).fetchall()
    assert len(found) == 3000
    assert {(same, distinct) for same, distinct, *_ in found} == {(1, True)}
    assert {(count > 1, completed) for *_, count, completed in found} == {(False, 1), (True, 0), (True, 1)}
    assert max(count for *_, count, _ in found) == 6


def test_the_rows_of_the_request_at_one_time_are_of_one_trip() -> None:
    request = duckdb.sql(f"SELECT * FROM read_csv('{RAW}/batch_request.csv', delim='\t')").to_arrow_table()
    assert request.num_rows == 14
    trips = {tuple(row[name] for name in row if name != "driver_id") for row in request.to_pylist()}
    assert len(trips) == len({trip[0] for trip in trips}) == 7


def test_the_feed_has_the_faults_of_a_real_one() -> None:
    found = duckdb.sql(
        f"""
        SELECT count(*) AS row_count,
               count(DISTINCT (driver_id, datetime)) AS hours,
               count(*) FILTER (conv_rate IS NULL) AS no_conv_rate,
               count(*) FILTER (avg_daily_trips IS NULL) AS no_trips,
               count(*) FILTER (created - datetime > INTERVAL 1 HOUR) AS late
        FROM '{RAW}/driver_stats.parquet'
        """
    ).fetchone()
    assert found is not None
    row_count, hours, no_conv_rate, no_trips, late = found
    assert 50 * 14 * 24 > hours > 0.95 * 50 * 14 * 24, "some hours are missing"
    assert row_count > hours, "some hours come twice, as corrections"
    assert min(no_conv_rate, no_trips, late) > 10


def test_corrections_have_the_same_event_time_and_a_later_created() -> None:
    pairs = duckdb.sql(
        f"""
        SELECT max(created) > min(created), count(*) FROM '{RAW}/driver_stats.parquet'
        GROUP BY driver_id, datetime HAVING count(*) > 1
        """
    ).fetchall()
    assert len(pairs) > 100
    assert set(pairs) == {(True, 2)}


def test_a_seed_gives_the_same_rows_and_another_one_others() -> None:
    first, again, other = (
        pa.Table.from_batches(driver_stats_batches(SampleSize(drivers=3, hours=5, seed=seed))) for seed in (1, 1, 2)
    )
    assert first.equals(again)
    assert not first.equals(other)


def test_large_data_comes_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_data, "_ROWS_PER_CHUNK", 100)
    size = SampleSize.of_rows(1000, drivers=20)
    batches = list(driver_stats_batches(size))
    assert (size.hours, len(batches)) == (50, 10)
    assert max(batch.num_rows for batch in batches) <= 120
    rows = list(entity_row_batches(size, 250))
    assert [batch.num_rows for batch in rows] == [100, 100, 50]
    assert rows[0].schema == ENTITY_ROWS_SCHEMA
    times = pa.Table.from_batches(rows).column("event_timestamp")
    assert len(set(times.to_pylist())) > 200
