"""What was brought is remembered for views of every kind that Feast materializes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from feast import FeatureStore, Field, PushSource, RepoConfig, StreamFeatureView
from feast.types import Int32

from feast_columnar.materialization.intervals import brought_up_to
from feast_columnar.materialization.ranges import materialize_on, materialize_range, online_views

if TYPE_CHECKING:
    from columnar_support.asof_repos import AsofRepo

START, FUTURE = datetime(2026, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def streamed(repo: AsofRepo) -> StreamFeatureView:
    return StreamFeatureView(
        name="streamed",
        entities=[repo.entity()],
        schema=[Field(name="trips", dtype=Int32)],
        source=PushSource(name="pushed", batch_source=repo.source(repo.folder / "streamed.parquet")),
        ttl=timedelta(days=365),
    )


def trips(repo: AsofRepo, driver_id: int, view: str) -> int | None:
    found = repo.open().get_online_features([f"{view}:trips"], [{"driver_id": driver_id}]).to_dict()["trips"]
    return found[0] if found[0] is None else int(found[0])


@pytest.mark.filterwarnings("ignore:Stream feature views are experimental")
@pytest.mark.parametrize("by_hand", [True, False])
def test_a_range_that_ends_in_the_future_ends_no_later_run_of_any_view(asof_repo: AsofRepo, *, by_hand: bool) -> None:
    row = (1, asof_repo.noon(), asof_repo.noon(), 7)
    asof_repo.write("streamed.parquet", [row])
    asof_repo.apply(asof_repo.view(rows=[row]), streamed(asof_repo))
    store, now = asof_repo.open(), datetime.now(tz=UTC)
    assert [view.name for view in online_views(store)] == ["stats", "streamed"]
    if by_hand:
        store.materialize(START, FUTURE)
    else:
        materialize_range(store, START, FUTURE, now)
    arrived = now - timedelta(seconds=1)
    for name in ("stats", "streamed"):
        assert trips(asof_repo, 1, name) == 7
        asof_repo.write(f"{name}.parquet", [row, (2, arrived, arrived, 8)])
    materialize_on(asof_repo.open(), now, now)
    for view in online_views(asof_repo.open()):
        assert trips(asof_repo, 2, view.name) == (8 if by_hand else None)  # else it was brought up to now
        assert brought_up_to(view) == now
    later = now + timedelta(seconds=2)
    for name in ("stats", "streamed"):
        asof_repo.write(f"{name}.parquet", [row, (3, later, later, 9)])
    materialize_on(asof_repo.open(), later, later)
    assert [trips(asof_repo, 3, name) for name in ("stats", "streamed")] == [9, 9]


def test_a_view_that_is_off_is_not_spoken_of(asof_repo: AsofRepo) -> None:
    asof_repo.apply(asof_repo.view(rows=[(1, asof_repo.noon(), asof_repo.noon(), 7)], enabled=False))
    assert online_views(asof_repo.open()) == []


def streaming(repo: AsofRepo) -> FeatureStore:
    """Return the repo's store, with the engine that streams."""
    config = repo.open().config
    given = {"project": config.project, "provider": "local", "registry": str(repo.folder / "registry.db")}
    stores: dict[str, Any] = {
        "online_store": {"type": "sqlite", "path": str(repo.folder / "online.db")},
        "offline_store": {"type": "feast_columnar.AsofOfflineStore"},
        "batch_engine": {"type": "feast_columnar.StreamingComputeEngine"},
    }
    made = RepoConfig(**given, **stores, entity_key_serialization_version=3)
    made.repo_path = repo.folder
    return FeatureStore(config=made)


def test_an_incremental_run_fills_a_store_that_was_lost_and_one_that_ends_before_the_last_brings_nothing(
    asof_repo: AsofRepo, caplog: pytest.LogCaptureFixture
) -> None:
    asof_repo.apply(asof_repo.view(rows=[(1, asof_repo.noon(), asof_repo.noon(), 7)]))
    now = datetime.now(tz=UTC)
    materialize_on(streaming(asof_repo), now, now)
    assert trips(asof_repo, 1, "stats") == 7
    streaming(asof_repo).materialize_incremental(now - timedelta(hours=1))
    assert "has no features" not in caplog.text
    (asof_repo.folder / "online.db").unlink()
    later = now + timedelta(seconds=1)
    materialize_on(streaming(asof_repo), later, later)
    assert trips(asof_repo, 1, "stats") == 7
    assert "has no features of stats" in caplog.text


def test_a_range_that_leaves_a_gap_behind_the_last_one_says_so(
    asof_repo: AsofRepo, caplog: pytest.LogCaptureFixture
) -> None:
    asof_repo.apply(asof_repo.view(rows=[(1, asof_repo.noon(), asof_repo.noon(), 7)]))
    now, first = datetime.now(tz=UTC), asof_repo.noon(60)
    materialize_range(asof_repo.open(), START, first, now)
    assert "are not brought" not in caplog.text
    materialize_range(asof_repo.open(), first + timedelta(hours=1), now, now)
    assert "The rows of stats between 2026-01-31T13:00:00+00:00" in caplog.text
