"""``--env spark`` gives what the local run gives with on-demand views, partitions, field mapping and aliases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from spark.test_spark_batch import assert_equal_rows, batch
from support.everything import add_everything
from support.projects import copy_project, run_pipeline
from support.registries import registry_forgotten

if TYPE_CHECKING:
    from pathlib import Path

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
