"""What the pipeline ``materialize`` leaves in the ledger, and what it makes of it."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from processes import free_port
from support.projects import run_pipeline
from support.redis_projects import RedisProject

from driver_ranking.errors import FeatureStoreError
from driver_ranking.feature_store.extraction import ExtractedFeatures
from driver_ranking.feature_store.repo import FeatureRepo
from driver_ranking.pipelines.times import time_of
from feast_columnar import open_ledger

if TYPE_CHECKING:
    from pathlib import Path

    from feast_columnar.ledger.entries import Entry


def entries(project: Path) -> list[Entry]:
    return list(open_ledger(FeatureRepo(project / "feature_repo").open()).entries())


def record(project: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((project / "data/04_feature/materialization.json").read_text(encoding="utf-8"))
    return found


def test_each_run_is_in_the_ledger_and_the_last_one_in_the_file(project: Path) -> None:
    run_pipeline(project, "materialize", {"start": "2026-06-01", "end": "2026-06-10T12:00:00+02:00"})
    run_pipeline(project, "materialize")
    found = entries(project)
    views = ["driver_stats", "zone_stats"]
    # the order of the views within a run is the registry's
    assert [sorted(entry.view for entry in one) for one in (found[:2], found[2:])] == [views, views]
    assert [entry.store_was_empty for entry in found] == [True, True, False, False]
    runs = [entry.run for entry in found]
    assert runs[0] == runs[1]
    assert runs[0] is not None
    assert (runs[0].mode, runs[0].start, runs[0].end) == (
        "full",
        "2026-06-01T00:00:00+00:00",
        "2026-06-10T12:00:00+02:00",
    )
    last = runs[3]
    assert last is not None
    assert record(project) == {"mode": "incremental", "start": None, "end": last.end, "feature_views": views}
    (drivers,) = (entry for entry in found[:2] if entry.view == "driver_stats")
    assert drivers.brought.rows == 50
    assert drivers.brought.newest_event_time == time_of("2026-06-10T10:00:00", "a time")
    assert drivers.sources[0].path == "../data/01_raw/driver_stats.parquet"


def test_a_ledger_that_fails_is_said_and_the_run_ends_well(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = project / "data/04_feature/ledger"
    shutil.rmtree(place, ignore_errors=True)
    place.write_text("in its place")
    run_pipeline(project, "materialize")
    assert record(project)["feature_views"] == ["driver_stats", "zone_stats"]
    said = [entry.getMessage() for entry in caplog.records if entry.levelname == "ERROR"]
    assert len(said) == 5
    for view in ("driver_stats", "zone_stats"):
        assert any(f"can't take the materialization of {view}, which is finished" in one for one in said[:4])
    assert "can't be read: " in said[4]


def test_what_the_ledger_has_lost_is_said(
    project: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from feast_columnar.ledger.books import Ledger

    monkeypatch.setattr(Ledger, "run", lambda *_, **__: [])
    run_pipeline(project, "materialize")
    assert record(project)["feature_views"] == ["driver_stats", "zone_stats"]
    assert "lacks what was brought of driver_stats, zone_stats." in caplog.text


def test_a_repo_without_a_ledger_is_materialized_as_ever(project: Path) -> None:
    config = project / "feature_repo/feature_store.yaml"
    text = config.read_text(encoding="utf-8")
    config.write_text(text[: text.index("  ledger:")], encoding="utf-8")
    run_pipeline(project, "materialize")
    assert record(project)["feature_views"] == ["driver_stats", "zone_stats"]
    assert not (project / "data/04_feature/ledger").exists()


def test_what_is_brought_to_redis_is_recorded_without_its_password(project: Path, tmp_path: Path) -> None:
    store = RedisProject(project, free_port(), tmp_path / "redis")
    with store.redis():
        store.materialize()
    (first, _) = entries(project)
    assert (first.store.type, first.store.address) == (
        "feast_columnar.SecretRedisOnlineStore",
        f"127.0.0.1:{store.port}",
    )
    assert first.store.overwrites is False


def test_an_offline_store_that_can_not_tell_what_was_known_is_refused() -> None:
    moment = time_of("2026-06-10", "as_known_at")
    assert moment is not None
    job: Any = object()
    with pytest.raises(
        FeatureStoreError, match=r"can't join what was known at a time\. Leave as_known_at out, or name"
    ):
        ExtractedFeatures(job).as_known_at(moment)
