"""Seeded sample data: the committed files of ``data/01_raw`` and the large inputs of the benchmarks.

Each driver has two hidden rates that drift over the day, and a daily number of trips. The feed ``driver_stats``
publishes them hourly with measurement noise and with the faults of a real feed: hours that are missing, null values,
rows that arrive late, and corrections (the same event time again, with a later ``created`` and other values). Orders
are completed with a probability that depends on the hidden state at the order's time, so a model can learn it from the
features.

Trips are what a model learns from that ranks drivers for a trip. Each is offered to drivers, one after the other, until
one completes it, and an order is an offer. Drivers differ in which trips they are good at: who makes few trips a day is
used to long ones, who makes many to short ones. How long a trip takes depends on its distance and on the speed in its
zone, which the feed ``zone_stats`` publishes hourly.

Everything is generated in chunks of hours, so the memory does not grow with the number of rows. The same
``SampleSize`` gives the same rows.
"""

import argparse
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

FIRST_HOUR = datetime(2026, 6, 1, tzinfo=UTC)
FIRST_DRIVER_ID = 1001
ZONES = ("airport", "center", "harbour", "hills", "old_town", "station", "suburbs", "university")

DRIVER_STATS_SCHEMA = pa.schema(
    [
        ("datetime", pa.timestamp("us", tz="UTC")),
        ("driver_id", pa.int64()),
        ("conv_rate", pa.float32()),
        ("acc_rate", pa.float32()),
        ("avg_daily_trips", pa.int32()),
        ("created", pa.timestamp("us", tz="UTC")),
    ]
)
ZONE_STATS_SCHEMA = pa.schema(
    [
        ("datetime", pa.timestamp("us", tz="UTC")),
        ("pickup_zone", pa.string()),
        ("avg_speed_kmh", pa.float32()),
        ("open_requests", pa.int32()),
        ("created", pa.timestamp("us", tz="UTC")),
    ]
)
ENTITY_ROWS_SCHEMA = pa.schema([("event_timestamp", pa.timestamp("us", tz="UTC")), ("driver_id", pa.int64())])

_HOUR = np.int64(3_600_000_000)  # microseconds
_MINUTE = np.int64(60_000_000)
_EPOCH = np.int64(FIRST_HOUR.timestamp()) * 1_000_000
_ROWS_PER_CHUNK = 500_000

_GAP = 0.03  # share of the driver-hours that the feed lost
_NULL = 0.01  # share of null values, each feature on its own
_LATE = 0.005  # share of rows that arrive up to a day late
_CORRECTED = 0.02  # share of rows that a correction follows
_NOISE = 0.02  # standard deviation of the published rates around the hidden ones

_TRIP_COLUMNS = ("trip_distance_km", "pickup_zone")
_OFFERS = 6  # drivers that a trip is offered to at most
_MINUTES_A_DAY = 600.0  # that a driver drives


@dataclass(frozen=True)
class SampleSize:
    """How much to generate.

    Attributes:
        drivers: Number of drivers; their ids count up from 1001.
        hours: Number of hours of driver statistics, from 2026-06-01 00:00 UTC.
        seed: Seed of every random draw.
    """

    drivers: int = 50
    hours: int = 14 * 24
    seed: int = 17

    @classmethod
    def of_rows(cls, rows: int, *, drivers: int = 10_000, seed: int = 17) -> "SampleSize":
        """Return the size with about ``rows`` rows of driver statistics."""
        return cls(drivers=drivers, hours=max(1, round(rows / drivers)), seed=seed)


@dataclass(frozen=True)
class _DriverState:
    """The hidden state of driver-hours: two rates in 0..1 and trips per day, float64 arrays of one shape."""

    conv_rate: NDArray[np.float64]
    acc_rate: NDArray[np.float64]
    avg_daily_trips: NDArray[np.float64]

    @property
    def completion_probability(self) -> NDArray[np.float64]:
        """Return the probability that an order is completed, in 0.03..0.97."""
        return _probability(self.reliability)

    @property
    def reliability(self) -> NDArray[np.float64]:
        """Return how likely the driver is to complete any order."""
        busy = np.clip(self.avg_daily_trips / 80.0, 0.0, 1.0)
        return np.asarray(0.75 * self.conv_rate + 0.25 * self.acc_rate - 0.15 * busy)


def _probability(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.clip(linear, 0.03, 0.97))


@dataclass(frozen=True)
class _ZoneState:
    """The hidden state of zones at hours: arrays of one shape."""

    speed_kmh: NDArray[np.float64]
    open_requests: NDArray[np.float64]
    ease: NDArray[np.float64]


@dataclass(frozen=True)
class _Trips:
    """Trips: ``second`` since the first hour, ``zone`` (an index) and ``distance_km``, arrays ``[n]``."""

    second: NDArray[np.int64]
    zone: NDArray[np.int64]
    distance_km: NDArray[np.float64]

    def completion_probability(self, size: "SampleSize", driver: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the probability that a driver completes a trip, of drivers ``[n, k]`` each."""
        hour = np.broadcast_to(self.second[:, None] / 3600.0, driver.shape)
        state = _hidden_state(size, driver, hour)
        place = _zone_state(size, self.zone, self.second / 3600.0)
        minutes, usual = (
            60.0 * self.distance_km / place.speed_kmh,
            _MINUTES_A_DAY / np.maximum(state.avg_daily_trips, 1.0),
        )
        unusual = np.minimum(np.abs(np.log(minutes[:, None] / usual)), 2.5)
        here = 0.55 + place.ease - 0.1 * place.open_requests / 60.0
        return _probability(state.reliability + here[:, None] - 0.5 * unusual)


def _driver_traits(size: SampleSize) -> NDArray[np.float64]:
    """Return the fixed traits of every driver, float64 ``[4, drivers]``, each uniform in 0..1."""
    return np.random.default_rng([size.seed, 0]).random((4, size.drivers))


def _hidden_state(size: SampleSize, driver: NDArray[np.int64], hour: NDArray[np.float64]) -> _DriverState:
    """Return the hidden state of drivers (indices from 0) at hours (fractions allowed) since the first hour."""
    quality, acceptance, phase, business = _driver_traits(size)[:, driver]
    daily = np.sin(2 * np.pi * (hour / 24.0 + phase))
    weekly = np.sin(2 * np.pi * (hour / 168.0 + quality))
    return _DriverState(
        conv_rate=np.clip(0.05 + 0.9 * quality + 0.08 * daily, 0.0, 1.0),
        acc_rate=np.clip(0.1 + 0.8 * acceptance + 0.1 * weekly, 0.0, 1.0),
        avg_daily_trips=np.round(5 + 70 * business + 5 * weekly),
    )


def _zone_state(size: SampleSize, zone: NDArray[np.int64], hour: NDArray[np.float64]) -> _ZoneState:
    """Return the hidden state of zones (indices) at hours since the first hour: slow and busy twice a day."""
    pace, demand, ease = np.random.default_rng([size.seed, 4]).random((3, len(ZONES)))[:, zone]
    of_day = hour % 24.0
    rush = np.exp(-(((of_day - 8.0) / 2.0) ** 2)) + np.exp(-(((of_day - 17.5) / 2.0) ** 2))
    return _ZoneState(
        speed_kmh=(16.0 + 30.0 * pace) * (1.0 - 0.35 * rush),
        open_requests=np.round(5.0 + 25.0 * demand + 30.0 * rush),
        ease=0.2 * ease - 0.1,
    )


def _trips(size: SampleSize, count: int, stream: int) -> _Trips:
    """Return random trips in order of their time, from the second day on."""
    rng = np.random.default_rng([size.seed, stream])
    second = np.sort(rng.integers(24 * 3600, size.hours * 3600, count))
    distance_km = np.clip(rng.lognormal(np.log(7.0), 0.8, count), 0.5, 60.0).round(1)
    return _Trips(second, rng.integers(0, len(ZONES), count), distance_km)


def _measured(
    rng: np.random.Generator, state: _DriverState
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]:
    """Return what the feed publishes of a hidden state: the rates with noise, the trips as they are."""
    shape = state.conv_rate.shape
    conv = np.clip(state.conv_rate + rng.normal(0, _NOISE, shape), 0, 1)
    acc = np.clip(state.acc_rate + rng.normal(0, _NOISE, shape), 0, 1)
    return conv.astype(np.float32), acc.astype(np.float32), state.avg_daily_trips.astype(np.int32)


def _published_hours(size: SampleSize, first_hour: int, last_hour: int) -> pa.RecordBatch:
    """Return the rows of the feed for the hours ``first_hour <= hour < last_hour``, in order of arrival by hour."""
    rng = np.random.default_rng([size.seed, 1, first_hour])
    hour, driver = (axis.ravel() for axis in np.mgrid[first_hour:last_hour, 0 : size.drivers])
    kept = rng.random(hour.size) >= _GAP
    hour, driver = hour[kept], driver[kept]
    corrected = np.flatnonzero(rng.random(hour.size) < _CORRECTED)
    row = np.sort(np.concatenate([np.arange(hour.size), corrected]), kind="stable")
    is_correction = np.concatenate([[False], row[1:] == row[:-1]]) if row.size else np.zeros(0, dtype=bool)
    hour, driver = hour[row], driver[row]

    event_time = _EPOCH + hour * _HOUR
    delay = rng.integers(1, 30, hour.size) * _MINUTE
    delay += np.where(rng.random(hour.size) < _LATE, rng.integers(1, 24, hour.size) * _HOUR, 0)
    delay += np.where(is_correction, 30 * _MINUTE, 0)
    columns: list[pa.Array] = [
        pa.array(event_time).cast(DRIVER_STATS_SCHEMA.field("datetime").type),
        pa.array(driver + FIRST_DRIVER_ID),
    ]
    measured = _measured(rng, _hidden_state(size, driver, hour.astype(np.float64)))
    columns += [pa.array(values, mask=rng.random(hour.size) < _NULL) for values in measured]
    columns.append(pa.array(event_time + delay).cast(DRIVER_STATS_SCHEMA.field("created").type))
    return pa.record_batch(columns, schema=DRIVER_STATS_SCHEMA)


def driver_stats_batches(size: SampleSize) -> Iterator[pa.RecordBatch]:
    """Yield the driver statistics in order of their hour, as record batches of ``DRIVER_STATS_SCHEMA``."""
    step = max(1, _ROWS_PER_CHUNK // size.drivers)
    for first in range(0, size.hours, step):
        yield _published_hours(size, first, min(first + step, size.hours))


def zone_stats(size: SampleSize) -> pa.RecordBatch:
    """Return the zones' statistics in order of their hour, as ``ZONE_STATS_SCHEMA``; some hours are missing."""
    rng = np.random.default_rng([size.seed, 5])
    hour, zone = (axis.ravel() for axis in np.mgrid[0 : size.hours, 0 : len(ZONES)])
    kept = rng.random(hour.size) >= _GAP
    hour, zone = hour[kept], zone[kept]
    state = _zone_state(size, zone, hour.astype(np.float64))
    speed_kmh = state.speed_kmh * rng.normal(1.0, _NOISE, hour.size)
    event_time = _EPOCH + hour * _HOUR
    time_type = ZONE_STATS_SCHEMA.field("datetime").type
    columns: list[pa.Array] = [
        pa.array(event_time).cast(time_type),
        pa.array(np.array(ZONES)[zone]),
        pa.array(speed_kmh.astype(np.float32)),
        pa.array(state.open_requests.astype(np.int32)),
        pa.array(event_time + rng.integers(1, 30, hour.size) * _MINUTE).cast(time_type),
    ]
    return pa.record_batch(columns, schema=ZONE_STATS_SCHEMA)


def entity_row_batches(size: SampleSize, rows: int) -> Iterator[pa.RecordBatch]:
    """Yield ``rows`` random entity rows within the hours of ``size``, as batches of ``ENTITY_ROWS_SCHEMA``."""
    rng = np.random.default_rng([size.seed, 2])
    for first in range(0, rows, _ROWS_PER_CHUNK):
        count = min(_ROWS_PER_CHUNK, rows - first)
        event_time = _EPOCH + rng.integers(0, size.hours * int(_HOUR), count)
        driver_id = rng.integers(0, size.drivers, count) + FIRST_DRIVER_ID
        time_type = ENTITY_ROWS_SCHEMA.field("event_timestamp").type
        yield pa.record_batch([pa.array(event_time).cast(time_type), pa.array(driver_id)], schema=ENTITY_ROWS_SCHEMA)


def write_parquet(path: Path, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> int:
    """Write record batches to one Parquet file and return the number of rows."""
    rows = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


def write_driver_orders(path: Path, size: SampleSize, orders: int) -> None:
    """Write labelled orders as CSV: ``event_timestamp`` (ISO 8601, UTC), ``driver_id``, ``trip_completed`` (0 or 1)."""
    rng = np.random.default_rng([size.seed, 3])
    seconds = np.sort(rng.integers(24 * 3600, size.hours * 3600, orders))
    driver = rng.integers(0, size.drivers, orders)
    state = _hidden_state(size, driver, seconds / 3600.0)
    completed = rng.random(orders) < state.completion_probability
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["event_timestamp", "driver_id", "trip_completed"])
        for second, index, label in zip(seconds.tolist(), driver.tolist(), completed.tolist(), strict=True):
            time = FIRST_HOUR + timedelta(seconds=second)
            writer.writerow([time.isoformat(), FIRST_DRIVER_ID + index, int(label)])


def write_trips(path: Path, size: SampleSize, trips: int) -> None:
    """Write labelled orders of trips as CSV, those of a trip by driver and at one time.

    Columns: ``event_timestamp`` (ISO 8601, UTC), ``trip_id``, ``driver_id``, ``trip_distance_km``, ``pickup_zone`` and
    ``trip_completed`` (0 or 1). Of the orders of a trip one is completed, or none.
    """
    made = _trips(size, trips, 6)
    rng = np.random.default_rng([size.seed, 7])
    driver = np.argsort(rng.random((trips, size.drivers)), axis=1)[:, :_OFFERS]
    completed = rng.random(driver.shape) < made.completion_probability(size, driver)
    offered: NDArray[np.bool_] = np.cumsum(completed, axis=1) - completed == 0  # nobody before has completed it
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["event_timestamp", "trip_id", "driver_id", *_TRIP_COLUMNS, "trip_completed"])
        for trip in range(trips):
            time = (FIRST_HOUR + timedelta(seconds=int(made.second[trip]))).isoformat()
            for place in np.argsort(driver[trip]).tolist():
                if offered[trip, place]:
                    order = FIRST_DRIVER_ID + int(driver[trip, place]), *_trip_values(made, trip)
                    writer.writerow([time, trip + 1, *order, int(completed[trip, place])])


def _trip_values(trips: _Trips, trip: int) -> tuple[float, str]:
    return float(trips.distance_km[trip]), ZONES[trips.zone[trip]]


def write_batch_request(path: Path, size: SampleSize) -> None:
    """Write the sample request, tab-separated: ``event_timestamp`` (ISO 8601 with offset), ``driver_id`` and the trip.

    Drivers 1001 to 1005 after the last hour of the feed, others at various times and offsets, one row twice, and rows
    without features: drivers that the feed does not know, and a time before its first hour. Rows of one time are
    candidates of one trip: ``trip_id``, ``trip_distance_km`` and ``pickup_zone``.
    """
    end = FIRST_HOUR + timedelta(hours=size.hours)
    rows = [(end, FIRST_DRIVER_ID + index) for index in range(5)]
    abroad = timezone(timedelta(hours=7))
    rows += [((end - timedelta(hours=5 * k, minutes=13 * k)).astimezone(abroad), 1006 + 3 * k) for k in range(1, 6)]
    rows += [(end, 9001), (FIRST_HOUR - timedelta(days=1), 1002), (end, 1003), (end, 9002)]
    times = sorted({time for time, _ in rows})
    made = _trips(size, len(times), 9)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["event_timestamp", "driver_id", "trip_id", *_TRIP_COLUMNS])
        for time, driver_id in rows:
            trip = times.index(time)
            writer.writerow([time.isoformat(), driver_id, trip + 1, *_trip_values(made, trip)])


def write_sample(folder: Path, size: SampleSize | None = None, *, orders: int = 4000, trips: int = 3000) -> None:
    """Write the feeds, the orders that models learn from, and a request into a folder, each a file."""
    size = size or SampleSize()
    folder.mkdir(parents=True, exist_ok=True)
    write_parquet(folder / "driver_stats.parquet", DRIVER_STATS_SCHEMA, driver_stats_batches(size))
    write_parquet(folder / "zone_stats.parquet", ZONE_STATS_SCHEMA, iter([zone_stats(size)]))
    write_driver_orders(folder / "driver_orders.csv", size, orders)
    write_trips(folder / "trips.csv", size, trips)
    write_batch_request(folder / "batch_request.csv", size)


def main() -> None:
    """Write the committed sample: ``python -m driver_ranking.sample_data [FOLDER]``."""
    parser = argparse.ArgumentParser(description="Write the seeded sample data.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("data/01_raw"))
    write_sample(parser.parse_args().folder)


if __name__ == "__main__":
    main()
