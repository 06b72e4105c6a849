"""Pipeline ``materialize``: offline to online, full or incremental."""

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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
    assert record(fresh_project)["feature_views"] == ["driver_stats"]


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
        "feature_views": ["driver_stats"],
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
        ({"end": "9999-01-01"}, "is in the future"),
        ({"start": 2026}, "start=2026 is not a time such as"),
    ],
)
def test_bad_times_are_refused(fresh_project: Path, params: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        run_pipeline(fresh_project, "materialize", params)
    assert online_rows(fresh_project) == []


def test_a_store_that_fails_is_an_error(fresh_project: Path) -> None:
    (fresh_project / "data/01_raw/driver_stats.parquet").write_bytes(b"not Parquet")
    with pytest.raises(FeatureStoreError):
        run_pipeline(fresh_project, "materialize")
