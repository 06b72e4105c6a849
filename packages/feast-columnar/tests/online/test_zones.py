"""The zone of no process has a say in what the SQLite store gives: any writer, any reader, summer or winter."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from columnar_support.online_repos import OURS, OnlineRepo, read
from columnar_support.zones import zone
from feast import FeatureService, FeatureStore, RepoConfig
from feast.infra.online_stores.sqlite import SqliteOnlineStore
from feast.infra.provider import get_provider
from feast.types import Float64

from feast_columnar.errors import RepoError, StoreUnavailableError
from feast_columnar.online.sqlite_store import SharedSqliteOnlineStore
from feast_columnar.online.sqlite_times import moment_of, require_utc_for, stored_time, time_of

if TYPE_CHECKING:
    from pathlib import Path

ENGINE = "feast_columnar.StreamingComputeEngine"
ZONES = ["UTC", "Asia/Tokyo", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe"]
TIMES = [
    datetime(2026, 3, 8, 2, 30, tzinfo=UTC),  # read as New York's time, it does not exist
    datetime(2026, 11, 1, 1, 30, tzinfo=UTC),  # there it is twice
    datetime(2026, 3, 29, 2, 30, tzinfo=UTC),  # likewise in Berlin
    datetime(2026, 10, 25, 2, 30, tzinfo=UTC),
    datetime(2026, 10, 4, 2, 15, tzinfo=UTC),  # and on Lord Howe, by half an hour
    datetime(2026, 4, 5, 1, 45, tzinfo=UTC),
    datetime(2026, 6, 15, 12, 0, 0, 123_456, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(1970, 1, 2, tzinfo=UTC),
    datetime(1950, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
]
DRIVERS = list(range(1, len(TIMES) + 1))
WRITERS = ["our engine", "Feast's engine", "push", "push of naive times"]


@pytest.fixture
def repo(tmp_path: Path) -> OnlineRepo:
    """A repo with a view of SQLite in which nothing is too old."""
    made = OnlineRepo(tmp_path, "zones", {"type": OURS, "path": str(tmp_path / "online.db")})
    view = made.view({"rate": Float64})
    made.apply(view, FeatureService(name="service", features=[view]))
    return made


def write(repo: OnlineRepo, writer: str) -> None:
    columns = {"driver_id": DRIVERS, "event_timestamp": TIMES, "rate": [float(one) for one in DRIVERS]}
    frame = pd.DataFrame(columns)
    if writer.startswith("push"):
        if writer.endswith("naive times"):
            frame["event_timestamp"] = frame["event_timestamp"].dt.tz_localize(None)
        repo.open().write_to_online_store("stats", df=frame)
        return
    types = pa.schema(
        [("driver_id", pa.int64()), ("event_timestamp", pa.timestamp("us", "UTC")), ("rate", pa.float64())]
    )
    pq.write_table(pa.table(columns, schema=types), repo.folder / "stats.parquet")
    config = RepoConfig(
        project=repo.project,
        provider="local",
        registry=str(repo.folder / "registry.db"),
        online_store=repo.online_store,
        offline_store={"type": "feast_columnar.AsofOfflineStore"},
        batch_engine={"type": ENGINE} if writer == "our engine" else "local",
        entity_key_serialization_version=3,
        repo_path=repo.folder,
    )
    FeatureStore(config=config).materialize(datetime(1900, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC))


def microseconds(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def feast_times(repo: OnlineRepo) -> list[datetime | None]:
    """What Feast's own read of the store gives."""
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    store = repo.open()
    keys = [EntityKey(join_keys=["driver_id"], entity_values=[Value(int64_val=one)]) for one in DRIVERS]
    rows = get_provider(store.config).online_read(store.config, store.get_feature_view("stats"), keys, ["rate"])
    return [moment for moment, _ in rows]


def our_times(repo: OnlineRepo) -> list[int]:
    reader = repo.reader("service", "rate")
    found = read(reader, *DRIVERS, now=microseconds(datetime(2027, 1, 1, tzinfo=UTC)))
    reader.close()
    assert found.matrix[:, 0].tolist() == DRIVERS
    times: list[int] = found.oldest.tolist()
    return times


@pytest.mark.parametrize("writer", WRITERS)
def test_a_row_has_the_time_that_it_was_written_with_whatever_the_zones(repo: OnlineRepo, writer: str) -> None:
    for writing in ZONES:
        with zone(writing):
            write(repo, writer)
        for reading in ZONES:
            with zone(reading):
                assert feast_times(repo) == TIMES, (writing, reading)
                assert our_times(repo) == [microseconds(one) for one in TIMES], (writing, reading)


def test_the_ttl_counts_from_the_microsecond_in_every_zone(tmp_path: Path) -> None:
    repo = OnlineRepo(tmp_path, "ttl", {"type": OURS, "path": str(tmp_path / "online.db")})
    view = repo.view({"rate": Float64}, ttl=timedelta(hours=1))
    repo.apply(view, FeatureService(name="service", features=[view]))
    at = datetime(2026, 6, 15, 12, 0, 0, 123_456, tzinfo=UTC)
    hour = 3_600_000_000
    with zone("America/New_York"):
        repo.write("stats", [(1, at, {"rate": 0.5})])
    for reading in ZONES:
        with zone(reading):
            reader = repo.reader("service", "rate")
            ages = {age: read(reader, 1, now=microseconds(at) + age).matrix[0, 0] for age in (-1, 0, hour, hour + 1)}
            assert [bool(np.isnan(value)) for value in ages.values()] == [True, False, False, True]


@pytest.mark.parametrize("name", ["Asia/Tokyo", "Europe/London", "UTC-9"])
def test_what_feasts_own_class_wrote_is_refused_where_the_zone_is_not_utc(repo: OnlineRepo, name: str) -> None:
    stock = OnlineRepo(repo.folder, repo.project, {**repo.online_store, "type": "sqlite"})
    stock.write("stats", [(1, TIMES[0], {"rate": 0.5})])
    written = microseconds(TIMES[0])
    assert read(repo.reader("service", "rate"), 1, now=written).oldest.tolist() == [written]
    assert read(stock.reader("service", "rate"), 1, now=written).oldest.tolist() == [written]
    time_of.cache_clear()
    with zone(name):
        with pytest.raises(StoreUnavailableError, match="rows that Feast's own SQLite store wrote, whose times depend"):
            read(repo.reader("service", "rate"), 1)
        with pytest.raises(RepoError, match=r"type: sqlite.*whose times depend on the time zone of each process"):
            stock.reader("service", "rate")


def test_a_subclass_of_feasts_store_can_say_that_it_keeps_utc() -> None:
    class Careful(SqliteOnlineStore):
        keeps_utc = True

    with zone("Asia/Tokyo"):
        require_utc_for(Careful())
        require_utc_for(SharedSqliteOnlineStore())
        with pytest.raises(RepoError):
            require_utc_for(type("Inherits", (SqliteOnlineStore,), {})())


@pytest.mark.parametrize("days", [-4, -3, -1, 0, 1, 3, 4, 20_000, -20_000])
def test_a_time_is_told_from_what_feast_would_have_written(days: int) -> None:
    micros = days * 86_400_000_000 + 1
    stored = stored_time(micros)
    assert time_of(stored) == micros
    assert isinstance(stored, str) == (abs(days) <= 3)
    assert moment_of(stored) == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=days, microseconds=1)
