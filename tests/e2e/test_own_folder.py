"""A project's folder is its own: copied, moved or restored, it works there and touches nothing else."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import httpx
import pandas as pd
import pytest
from support.projects import copy_project, digests, run_pipeline
from support.servers import Serving, serving

PIPELINES = ("training", "materialize", "batch", "reporting")
DRIVERS = list(range(1001, 1051))
STORES = "data/04_feature"


def ranked(server: Serving) -> list[float]:
    """The drivers and their scores, best first, as a client is told."""
    ids = {"name": "driver_id", "shape": [len(DRIVERS)], "datatype": "INT64", "data": DRIVERS}
    answer = httpx.post(server.infer_url, json={"parameters": {"top_k": len(DRIVERS)}, "inputs": [ids]}, timeout=30)
    assert answer.status_code == httpx.codes.OK, answer.text
    return [value for output in answer.json()["outputs"][:2] for value in output["data"]]


def scores(project: Path) -> pd.DataFrame:
    return pd.read_parquet(project / "data/07_model_output/batch_output.parquet").drop(columns="model_version")


def online_rows(project: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(project / STORES / "online_store.db")) as connection:
        query = "SELECT entity_key, feature_name, value, event_ts FROM driver_ranking_driver_stats ORDER BY 1, 2"
        return connection.execute(query).fetchall()


def run_all(project: Path) -> None:
    for pipeline in PIPELINES:
        run_pipeline(project, pipeline)


def feast(project: Path, *arguments: str) -> None:
    command = [str(Path(sys.executable).with_name("feast")), "-c", "feature_repo", *arguments]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def unchanging(project: Path) -> dict[str, str]:
    """What a project consists of, without what its server logs; SQLite's files beside a database come and go."""
    found = {name: digest for name, digest in digests(project).items() if not name.endswith(("-shm", "-wal", ".pyc"))}
    return {name: digest for name, digest in found.items() if not name.startswith("data/09_prediction_log")}


@pytest.fixture
def original(_trained_once: Path, tmp_path: Path) -> Path:
    """A project with all that runs have made, in a place of its own: its registries name that place."""
    project = copy_project(tmp_path / "original" / "a project")
    run_all(project)
    return project


@pytest.mark.slow
def test_a_project_that_is_copied_while_it_is_served_works_and_the_original_goes_on(
    original: Path, tmp_path: Path
) -> None:
    with serving(original) as server:
        before, rows = ranked(server), online_rows(original)
        copy = shutil.copytree(original, tmp_path / "copy" / "another name")
        files = unchanging(original)
        run_all(copy)
        feast(copy, "apply")
        feast(copy, "materialize", "2026-06-01T00:00:00", "2026-06-15T00:00:00")
        assert unchanging(original) == files
        assert online_rows(original) == rows == online_rows(copy)
        with serving(copy) as other:
            assert ranked(other) == before == ranked(server)
        assert server.is_ready()
    assert unchanging(original) == files


@pytest.mark.slow
def test_a_project_that_is_moved_and_reached_by_a_link_runs_every_pipeline_and_the_server(
    original: Path, tmp_path: Path
) -> None:
    rows, scored = online_rows(original), scores(original)
    shutil.copytree(original, tmp_path / "backup")
    moved = Path(shutil.move(original, tmp_path / "moved"))
    (tmp_path / "link").symlink_to(moved)
    for place in (moved, tmp_path / "link"):
        run_pipeline(place, "batch")  # with the champion that was trained in the old place
        pd.testing.assert_frame_equal(scores(place), scored)
        run_all(place)
        assert online_rows(place) == rows
    feast(moved, "apply")
    with serving(moved) as server:
        assert len(ranked(server)) == 2 * len(
            {key for key, *_ in rows} - {key for key, _, value, _ in rows if not value}
        )
    assert not original.exists()
    restored = Path(shutil.move(tmp_path / "backup", original.parent / "restored"))
    shutil.rmtree(moved)
    run_all(restored)
    assert online_rows(restored) == rows


@pytest.mark.parametrize("gone", ["online_store.db", "registry.db", ""])
def test_a_store_that_is_gone_is_made_again_by_the_run_that_needs_it(original: Path, gone: str) -> None:
    rows, scored = online_rows(original), scores(original)
    lost = original / STORES / gone
    shutil.rmtree(lost) if lost.is_dir() else lost.unlink()
    run_pipeline(original, "batch")
    pd.testing.assert_frame_equal(scores(original), scored)
    run_pipeline(original, "materialize")
    assert online_rows(original) == rows


def test_feast_by_hand_makes_a_store_again_that_is_gone(original: Path) -> None:
    rows = online_rows(original)
    (original / STORES / "online_store.db").unlink()
    feast(original, "materialize-incremental", "2026-06-30T00:00:00")
    assert online_rows(original) == rows


def test_a_copy_with_another_online_store_fills_it(original: Path, tmp_path: Path) -> None:
    rows, files = online_rows(original), unchanging(original)
    copy = shutil.copytree(original, tmp_path / "copy")
    config = copy / "feature_repo/feature_store.yaml"
    config.write_text(config.read_text(encoding="utf-8").replace("online_store.db", "new/online_store.db"))
    run_pipeline(copy, "materialize")
    shutil.copy2(copy / STORES / "new/online_store.db", copy / STORES / "online_store.db")
    assert online_rows(copy) == rows
    assert unchanging(original) == files


def test_a_copy_on_feasts_own_sqlite_store_leaves_the_originals_alone(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "original")
    config = project / "feature_repo/feature_store.yaml"
    ours = "feast_columnar.SharedSqliteOnlineStore"
    config.write_text(config.read_text(encoding="utf-8").replace(ours, "sqlite"), encoding="utf-8")
    feast(project, "apply")  # Feast itself writes the absolute paths down
    run_pipeline(project, "materialize")
    rows = online_rows(project)
    copy = shutil.copytree(project, tmp_path / "copy")
    (copy / STORES / "online_store.db").unlink()
    run_pipeline(copy, "materialize")
    assert online_rows(project) == rows == online_rows(copy)
