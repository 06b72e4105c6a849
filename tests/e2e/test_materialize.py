"""Pipeline ``materialize``: offline to online, full or incremental."""

import json
import sqlite3
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.projects import run_pipeline

from driver_ranking.errors import FeatureStoreError, RequestError
from driver_ranking.feature_store.repo import FeatureRepo

FEATURES = ["conv_rate", "acc_rate", "avg_daily_trips"]


def online_rows(project: Path) -> list[tuple[Any, ...]]:
    """What the online store holds, whole."""
    with sqlite3.connect(project / "data/04_feature/online_store.db") as connection:
        rows = connection.execute("SELECT * FROM driver_ranking_driver_stats ORDER BY entity_key, feature_name")
        found = rows.fetchall()
    connection.close()
    return found


def online_features(project: Path, driver_ids: list[int]) -> list[list[float | None]]:
    store = FeatureRepo(project / "feature_repo").open()
    answer = store.get_online_features(
        features=store.get_feature_service("driver_ranking_v1"), entity_rows=[{"driver_id": i} for i in driver_ids]
    ).to_dict()
    return [[answer[name][index] for name in FEATURES] for index in range(len(driver_ids))]


def latest(project: Path, driver_id: int, until: datetime) -> list[float | None]:
    rows = pq.read_table(project / "data/01_raw/driver_stats.parquet").to_pylist()
    mine = [row for row in rows if row["driver_id"] == driver_id and row["datetime"] <= until]
    best = max(mine, key=lambda row: (row["datetime"], row["created"]))
    return [best[name] for name in FEATURES]


def record(project: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((project / "data/04_feature/materialization.json").read_text(encoding="utf-8"))
    return found


def test_the_online_store_has_the_latest_values(fresh_project: Path) -> None:
    run_pipeline(fresh_project, "materialize")
    drivers = list(range(1001, 1051))
    expected = [latest(fresh_project, driver_id, datetime.now(tz=UTC)) for driver_id in drivers]
    assert online_features(fresh_project, drivers) == expected
    assert record(fresh_project)["mode"] == "incremental"
    assert record(fresh_project)["feature_views"] == ["driver_stats", "zone_stats"]


def test_an_unknown_driver_has_none(fresh_project: Path) -> None:
    run_pipeline(fresh_project, "materialize")
    assert online_features(fresh_project, [9001]) == [[None, None, None]]


def test_a_time_range_is_materialized_in_full(fresh_project: Path) -> None:
    run_pipeline(fresh_project, "materialize", {"start": "2026-06-01", "end": "2026-06-05T12:00:00+02:00"})
    until = datetime(2026, 6, 5, 10, tzinfo=UTC)
    assert online_features(fresh_project, [1001, 1002]) == [latest(fresh_project, i, until) for i in (1001, 1002)]
    assert record(fresh_project) == {
        "mode": "full",
        "start": "2026-06-01T00:00:00+00:00",
        "end": "2026-06-05T12:00:00+02:00",
        "feature_views": ["driver_stats", "zone_stats"],
    }


@pytest.mark.parametrize("params", [{}, {"start": 20260601, "end": "2026-06-10"}])
def test_materializing_twice_changes_nothing(fresh_project: Path, params: dict[str, object]) -> None:
    run_pipeline(fresh_project, "materialize", params)
    before = online_rows(fresh_project)
    run_pipeline(fresh_project, "materialize", params)
    assert len(before) == 50 * len(FEATURES)
    assert online_rows(fresh_project) == before


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"start": "Monday"}, "start=Monday is not a time such as"),
        ({"end": "2026-13-01"}, "end=2026-13-01 is not a time such as"),
        ({"start": "2026-06-02", "end": "2026-06-02"}, "is not before end="),
        ({"end": "2200-01-01"}, "is in the future"),
        ({"start": "2199-01-01", "end": "2200-01-01"}, "start=2199-01-01T00:00:00.00:00 is in the future"),
        ({"end": "9999-01-01"}, "is not a time that the stores can keep: give a year from 1678 to 2261"),
        ({"start": "0001-01-01", "end": "2026-06-02"}, "start=0001-01-01T00:00:00.00:00 is not a time that the stores"),
        ({"start": "0001-01-01T00:00:00+23:00"}, "start=0001-01-01T00:00:00.23:00 is not a time that the stores"),
        ({"start": 2026}, "start=2026 is not a time such as"),
        ({"start": 10**400}, r"start=10+\.\.\. \(401 characters\) is not a time such as"),
        ({"start": 10**5000}, r"start=\(a number of thousands of digits\) is not a time such as"),
        ({"end": float("inf")}, "end=inf is not a time such as"),
    ],
)
def test_bad_times_are_refused(fresh_project: Path, params: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        run_pipeline(fresh_project, "materialize", params)
    assert online_rows(fresh_project) == []


def add_rows(project: Path, driver_id: int, *times: datetime) -> None:
    """Add rows to the source whose trips are 1, 2, 3 ..."""
    path = project / "data/01_raw/driver_stats.parquet"
    table = pq.read_table(path)
    rows = [
        {**table.slice(0, 1).to_pylist()[0], "driver_id": driver_id, "datetime": time, "created": time}
        | {"avg_daily_trips": number}
        for number, time in enumerate(times, start=1)
    ]
    pq.write_table(pa.concat_tables([table, pa.Table.from_pylist(rows, schema=table.schema)]), path)


def trips(project: Path, driver_id: int) -> float | None:
    return online_features(project, [driver_id])[0][FEATURES.index("avg_daily_trips")]


def test_after_a_range_that_ends_in_the_future_rows_that_arrive_are_brought(fresh_project: Path) -> None:
    run_pipeline(fresh_project, "materialize", {"start": "2026-06-01", "end": "2200-01-01"})
    assert datetime.fromisoformat(record(fresh_project)["end"]) <= datetime.now(tz=UTC)
    add_rows(fresh_project, 7001, datetime.now(tz=UTC))
    run_pipeline(fresh_project, "materialize")
    assert trips(fresh_project, 7001) == 1


def ask_feast_for_the_future(project: Path, end: datetime) -> None:
    FeatureRepo(project / "feature_repo").open().materialize(datetime(2026, 6, 1, tzinfo=UTC), end)


def test_after_feast_was_asked_for_the_future_by_hand_rows_that_arrive_are_brought(
    fresh_project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run_pipeline(fresh_project, "materialize")
    ask_feast_for_the_future(fresh_project, datetime(2200, 1, 1, tzinfo=UTC))
    for driver_id, known in ((7001, False), (7002, True)):
        caplog.clear()
        add_rows(fresh_project, driver_id, datetime.now(tz=UTC))
        run_pipeline(fresh_project, "materialize")
        assert trips(fresh_project, driver_id) == 1
        assert ("what of it has been brought is not known" not in caplog.text) is known


@pytest.mark.slow
def test_rows_that_arrive_before_the_future_comes_are_brought_after_it_has_come(fresh_project: Path) -> None:
    run_pipeline(fresh_project, "materialize")
    end = datetime.now(tz=UTC) + timedelta(seconds=20)
    ask_feast_for_the_future(fresh_project, end)
    run_pipeline(fresh_project, "materialize")
    add_rows(fresh_project, 7001, datetime.now(tz=UTC))
    assert datetime.now(tz=UTC) < end
    time.sleep((end - datetime.now(tz=UTC)).total_seconds())
    run_pipeline(fresh_project, "materialize")
    assert trips(fresh_project, 7001) == 1


def test_an_end_before_the_last_brings_nothing_says_so_and_changes_nothing(
    fresh_project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run_pipeline(fresh_project, "materialize")
    before = online_rows(fresh_project)
    add_rows(fresh_project, 7001, datetime(2026, 6, 2, tzinfo=UTC), datetime.now(tz=UTC))
    run_pipeline(fresh_project, "materialize", {"end": "2026-06-05"})
    assert "Nothing to bring to driver_stats: it is materialized up to" in caplog.text
    assert "and end=2026-06-05T00:00:00+00:00 is not after that." in caplog.text
    assert online_rows(fresh_project) == before
    run_pipeline(fresh_project, "materialize")
    assert trips(fresh_project, 7001) == 2


def test_a_store_that_was_lost_is_filled_up_to_where_it_was_whatever_end_is_given(fresh_project: Path) -> None:
    run_pipeline(fresh_project, "materialize")
    before = online_rows(fresh_project)
    (fresh_project / "data/04_feature/online_store.db").unlink()
    run_pipeline(fresh_project, "materialize", {"end": "2026-06-05"})
    assert online_rows(fresh_project) == before


def test_rows_that_a_range_leaves_out_are_named(fresh_project: Path, caplog: pytest.LogCaptureFixture) -> None:
    run_pipeline(fresh_project, "materialize", {"start": "2026-06-01", "end": "2026-06-05"})
    assert "are not brought" not in caplog.text
    run_pipeline(fresh_project, "materialize", {"start": "2026-06-08", "end": "2026-06-10"})
    assert "The rows of driver_stats between 2026-06-05T00:00:00+00:00" in caplog.text


def test_a_store_that_fails_is_an_error(fresh_project: Path) -> None:
    (fresh_project / "data/01_raw/driver_stats.parquet").write_bytes(b"not Parquet")
    with pytest.raises(FeatureStoreError):
        run_pipeline(fresh_project, "materialize")
