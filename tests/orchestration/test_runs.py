"""Runs of the DAGs, by `airflow dags test`: what they leave is what `kedro run` leaves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import pytest
from support.orchestration import DAGS, airflow, airflow_environment
from support.projects import copy_project, digests, run_pipeline

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

pytestmark = pytest.mark.slow

REQUEST = "event_timestamp,driver_id,note\n2026-06-14T12:00:00Z,1001,first\n2026-06-13,1002,$HOME\n2026-06-13,9001,\n"
DATED = ("05_model_input", "07_model_output")


def run_dag(
    home: Path, project: Path, date: str, *options: str, pipeline: str = "batch", dags: Path = DAGS
) -> subprocess.CompletedProcess[str]:
    environment = airflow_environment(home, project, dags)
    return airflow(environment, "dags", "test", f"driver_ranking_{pipeline}", date, *options)


def dated_files(project: Path, date: str) -> dict[str, str]:
    return {part: digest for folder in DATED for part, digest in digests(project / "data" / folder / date).items()}


def test_each_date_gets_what_kedro_run_gives(project: Path, airflow_home: Path) -> None:
    (project / "data/request.csv").write_text(REQUEST, encoding="utf-8")
    expected = {}
    for date, params in {"2026-06-14": {}, "2026-06-15": {"batch_request": "data/request.csv"}}.items():
        run_pipeline(project, "batch", {**params, "run_date": date})
        output = project / f"data/07_model_output/{date}/batch_output.parquet"
        expected[date] = pq.read_table(output)
        output.unlink()
        (project / f"data/05_model_input/{date}/batch_input.parquet").unlink()

    first = run_dag(airflow_home, project, "2026-06-14")
    assert first.returncode == 0, first.stdout + first.stderr
    after_first = dated_files(project, "2026-06-14")
    second = run_dag(airflow_home, project, "2026-06-15", "--conf", '{"batch_request": "data/request.csv"}')
    assert second.returncode == 0, second.stdout + second.stderr
    assert dated_files(project, "2026-06-14") == after_first

    for date, table in expected.items():
        output = pq.read_table(project / f"data/07_model_output/{date}/batch_output.parquet")
        assert output.equals(table, check_metadata=True)

    again = run_dag(airflow_home, project, "2026-06-14")
    assert again.returncode == 0, again.stdout + again.stderr
    assert dated_files(project, "2026-06-14") == after_first


def test_on_spark_a_date_gets_what_the_local_run_gives(project: Path, airflow_home: Path) -> None:
    run_pipeline(project, "batch", {"run_date": "2026-06-14"})
    folder = project / "data/07_model_output/2026-06-14"
    run = run_dag(airflow_home, project, "2026-06-14", pipeline="spark_batch")
    assert run.returncode == 0, run.stdout + run.stderr
    assert sorted(path.name for path in folder.glob("[!.]*")) == ["batch_output", "batch_output.parquet"]
    order = [("driver_id", "ascending"), ("event_timestamp", "ascending")]
    local, spark = (pq.read_table(path).sort_by(order) for path in sorted(folder.glob("[!.]*"), reverse=True))
    assert spark.drop("score").equals(local.drop("score"))
    np.testing.assert_allclose(spark["score"].to_numpy(), local["score"].to_numpy(), rtol=1e-12, atol=1e-12)


def test_without_a_champion_the_task_that_needs_it_fails_and_says_so(
    airflow_home: Path, prompt_dags: Path, tmp_path: Path
) -> None:
    project = copy_project(tmp_path / "a project")
    run = run_dag(airflow_home, project, "2026-06-15", dags=prompt_dags)
    assert run.returncode != 0
    log = run.stdout + run.stderr
    assert "Train and register one with `kedro run --pipelines training`" in log
    assert "--nodes=update_feature_store" in log
    assert log.count("'--nodes=extract_features'") == 3  # the first try and two more
    assert "--nodes=predict" not in log
    assert not (project / "data/07_model_output").exists()
    assert not (project / "data/05_model_input").exists()


def test_a_project_is_brought_up_by_the_other_dags(airflow_home: Path, tmp_path: Path) -> None:
    project = copy_project(tmp_path / "a project")
    trained = run_dag(airflow_home, project, "2026-06-15", pipeline="training")
    assert trained.returncode == 0, trained.stdout + trained.stderr
    assert (project / "data/06_models/registered_model_version.json").is_file()
    assert (project / "data/08_reporting/2026-06-15/evaluation_metrics.json").is_file()

    first_day = ("--conf", '{"start": "2026-06-01"}')
    materialized = run_dag(airflow_home, project, "2026-06-15", *first_day, pipeline="materialize")
    assert materialized.returncode == 0, materialized.stdout + materialized.stderr
    record = json.loads((project / "data/04_feature/2026-06-15/materialization.json").read_text(encoding="utf-8"))
    assert (record["mode"], record["start"]) == ("full", "2026-06-01T00:00:00+00:00")
