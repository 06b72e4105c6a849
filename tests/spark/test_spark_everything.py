"""``--env spark`` gives what the local run gives with on-demand views, partitions, field mapping and aliases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
from spark.test_spark_batch import assert_equal_rows, batch
from support.everything import add_everything
from support.projects import copy_project, kedro_command, run_pipeline
from support.registries import registry_forgotten

if TYPE_CHECKING:
    from pathlib import Path

TRAINING_ROWS = "data/05_model_input/training_rows.parquet"
SERVED = "training.feature_service=served_v1"
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*experimental feature")]


def test_on_demand_features_are_those_of_the_local_run(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "a project")
    add_everything(project)
    training = {"feature_service": "served_v1", "thresholds": {"rmse": 9, "mae": 9}}
    with registry_forgotten():
        run_pipeline(project, "training", {"training": training})
        run_pipeline(project, "batch")
    run = batch(project)
    assert run.returncode == 0, run.stderr
    rows = assert_equal_rows(project)
    assert {"ok", "missing_features"} == set(rows["status"].to_pylist())
    local = pq.read_table(project / TRAINING_ROWS)
    ended = kedro_command(project, "run", "--env", "spark", "--nodes", "extract_training_rows", "--params", SERVED)
    assert ended.returncode == 0, ended.stderr
    on_spark = pq.read_table(project / TRAINING_ROWS)
    assert on_spark.column_names == local.column_names
    computed = set(on_spark.column_names) - {"event_timestamp", "driver_id", "trip_completed"}
    assert any(local[name].null_count for name in computed), "some rows lack features"
    for name in local.column_names:
        assert on_spark[name].to_pylist() == local[name].to_pylist(), name
