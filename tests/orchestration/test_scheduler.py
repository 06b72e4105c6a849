"""Airflow as `make airflow` starts it: a scheduler runs what is triggered through the REST API."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped]
import pyarrow.parquet as pq
import pytest
from support.orchestration import RunningAirflow, running_airflow, task_instances, until
from support.projects import digests

from driver_ranking.sample_data import ENTITY_ROWS_SCHEMA, SampleSize, entity_row_batches, write_parquet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

pytestmark = pytest.mark.slow

DAG = "driver_ranking_batch"
ROWS = 3_000_000
OUTPUT = "data/07_model_output/{}/batch_output.parquet"
INPUT = "data/05_model_input/{}/batch_input.parquet"


@pytest.fixture
def running(project: Path, prompt_dags: Path, tmp_path: Path) -> Iterator[RunningAirflow]:
    """Airflow with DAGs that retry at once, and tasks that work in a project of the test's own."""
    with running_airflow(tmp_path, project, prompt_dags) as started:
        yield started


def trigger(client: httpx.Client, run_id: str, logical_date: str | None, **conf: object) -> None:
    run = {"dag_run_id": run_id, "logical_date": logical_date, "conf": conf}
    client.post(f"/dags/{DAG}/dagRuns", json=run).raise_for_status()


def wait_for_run(client: httpx.Client, run_id: str, state: str = "success") -> dict[str, dict[str, Any]]:
    def ended() -> bool:
        found = client.get(f"/dags/{DAG}/dagRuns/{run_id}").raise_for_status().json()["state"]
        assert found in {"queued", "running", state}, task_instances(client, DAG, run_id)
        return bool(found == state)

    until(ended, seconds=300)
    return task_instances(client, DAG, run_id)


def wait_for_task(client: httpx.Client, run_id: str, task_id: str, state: str) -> None:
    until(lambda: task_instances(client, DAG, run_id).get(task_id, {}).get("state") == state, seconds=240)


def log_of(client: httpx.Client, run_id: str, task_id: str, attempt: int) -> str:
    url = f"/dags/{DAG}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{attempt}"
    return client.get(url, headers={"Accept": "application/x-ndjson"}).raise_for_status().text


def kedro_of(project: Path, node: str) -> list[psutil.Process]:
    """Return the processes that run a node of a project."""
    return [
        process
        for process in psutil.process_iter(["cmdline", "cwd"])
        if f"--nodes={node}" in (process.info["cmdline"] or []) and process.info["cwd"] == str(project)
    ]


def partial_output(project: Path, date: str) -> list[Path]:
    """Return the temporary files of an output that is being written, once rows are in them."""
    folder = (project / OUTPUT.format(date)).parent
    return [path for path in folder.glob(".batch_output.parquet.*.tmp") if path.stat().st_size > 100_000]


def digest_of(path: Path) -> str:
    return digests(path.parent)[path.name]


def write_large_request(path: Path) -> None:
    write_parquet(path, ENTITY_ROWS_SCHEMA, entity_row_batches(SampleSize(), ROWS))


def test_the_scheduler_runs_retries_and_goes_on_from_what_is_there(running: RunningAirflow, project: Path) -> None:
    large = project / "data/large.parquet"
    write_large_request(large)
    with running.client() as client:
        assert client.get("/importErrors").json()["total_entries"] == 0
        client.patch(f"/dags/{DAG}", json={"is_paused": False}).raise_for_status()

        # a task fails once, and succeeds when it is tried again
        late = project / "data/late.csv"
        trigger(client, "late", "2026-06-15T00:00:00Z", batch_request="data/late.csv")
        wait_for_task(client, "late", "extract_features", "up_for_retry")
        assert "late.csv: there is no such file. Nothing was written." in log_of(client, "late", "extract_features", 1)
        late.write_text("event_timestamp,driver_id\n2026-06-14,1001\n2026-06-14,9001\n", encoding="utf-8")
        tasks = wait_for_run(client, "late")
        assert tasks["update_feature_store"]["try_number"] == 1
        assert tasks["extract_features"]["try_number"] > 1
        output = project / OUTPUT.format("2026-06-15")
        assert pq.read_table(output).column("status").to_pylist() == ["ok", "missing_features"]

        # a task is killed while it writes: the last output stays, and the next try goes on from the extracted rows
        before = digests(output.parent)
        trigger(client, "killed", "2026-06-15T01:00:00Z", batch_request=str(large))
        until(lambda: bool(partial_output(project, "2026-06-15")), seconds=240)
        extracted = (project / INPUT.format("2026-06-15")).stat().st_mtime_ns
        (kedro,) = kedro_of(project, "predict")
        kedro.send_signal(signal.SIGKILL)
        (left,) = partial_output(project, "2026-06-15")
        assert digests(output.parent).items() >= before.items(), f"{left} was finished before the kill"
        tasks = wait_for_run(client, "killed")
        assert "kedro ended with exit code -9" in log_of(client, "killed", "predict", 1)
        assert {name: task["try_number"] for name, task in tasks.items()} == {
            "update_feature_store": 1,
            "extract_features": 1,
            "predict": 2,
        }
        assert (project / INPUT.format("2026-06-15")).stat().st_mtime_ns == extracted
        assert pq.read_metadata(output).num_rows == ROWS

        # a run is stopped in Airflow: its program is ended, and the last output stays
        kept = digest_of(output)
        trigger(client, "stopped", "2026-06-15T02:00:00Z", batch_request=str(large))
        until(lambda: bool(kedro_of(project, "predict")), seconds=240)
        client.patch(f"/dags/{DAG}/dagRuns/stopped", json={"state": "failed"}).raise_for_status()
        until(lambda: not kedro_of(project, "predict"), seconds=60)
        assert digest_of(output) == kept

        # a configuration that can't be passed on fails at once
        trigger(client, "refused", None, batch_request="a,run_date=2020-01-01")
        tasks = wait_for_run(client, "refused", "failed")
        assert tasks["update_feature_store"]["try_number"] == 1
        assert "can't be passed on" in log_of(client, "refused", "update_feature_store", 1)

        # so does one that names a file that it may not
        trigger(client, "prying", None, batch_request="/etc/shadow")
        tasks = wait_for_run(client, "prying", "failed")
        assert tasks["update_feature_store"]["try_number"] == 1
        assert "may name: data." in log_of(client, "prying", "update_feature_store", 1)

        # Ctrl-C ends everything, the task that runs as well
        trigger(client, "interrupted", None, batch_request=str(large))
        until(lambda: bool(kedro_of(project, "extract_features")), seconds=240)
    known = running.processes()
    assert {process.pid for process in kedro_of(project, "extract_features")} < {process.pid for process in known}
    running.interrupt()
    assert [process for process in known if process.is_running()] == []
    assert kedro_of(project, "extract_features") == []
