"""Print, as JSON, what Airflow makes of a folder of DAGs: run by Airflow's Python, with nothing of the project's.

The first argument is the folder; the second a run as JSON that templates are rendered for: `logical_date`, and
`conf` by DAG. A third one names modules, with commas between them, that this environment is taken to lack.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

ABSENT: dict[str, Any] = dict.fromkeys(filter(None, "".join(sys.argv[3:]).split(",")))
sys.modules.update(ABSENT)

from airflow.dag_processing.dagbag import DagBag  # noqa: E402 - those are absent from here on


def run_of(dag_id: str, given: dict[str, Any]) -> SimpleNamespace:
    """Return what templates know as `dag_run`."""
    date = given["logical_date"]
    logical_date = datetime.fromisoformat(date) if date else None
    return SimpleNamespace(
        logical_date=logical_date, run_after=datetime(2026, 7, 1, 1, tzinfo=UTC), conf=given["conf"].get(dag_id)
    )


def described(dag: Any, run: SimpleNamespace) -> dict[str, Any]:
    """Return a DAG's settings and tasks."""
    return {
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "start_date": dag.start_date.isoformat(),
        "schedule": dag.schedule,
        "run_timeout": dag.dagrun_timeout.total_seconds(),
        "tags": sorted(dag.tags),
        "doc": dag.doc_md,
        "tasks": {task.task_id: of_task(task, dag, run) for task in dag.tasks},
    }


def of_task(task: Any, dag: Any, run: SimpleNamespace) -> dict[str, Any]:
    """Return a task's settings and what it would run."""
    upstream = sorted(task.upstream_task_ids)
    task.render_template_fields({"dag_run": run}, dag.get_template_env())
    return {
        "operator": type(task).__name__,
        "upstream": upstream,
        "owner": task.owner,
        "pool": task.pool,
        "retries": task.retries,
        "retry_delay": task.retry_delay.total_seconds(),
        "backs_off": bool(task.retry_exponential_backoff),
        "timeout": task.execution_timeout.total_seconds(),
        "runs": WHAT_RUNS[type(task).__name__](task),
    }


WHAT_RUNS: dict[str, Any] = {
    "KedroOperator": lambda task: {"command": [task.kedro, *task.arguments], "project": task.project},
    "DockerOperator": lambda task: {
        "image": task.image,
        "command": task.command,
        "formatted": task.format_command(task.command),
        "mounts": task.mounts,
        "variables": task._private_environment,  # noqa: SLF001 - what the container is given
        "network": task.network_mode,
    },
    "KubernetesPodOperator": lambda task: {"pod": task.build_pod_request_obj().to_dict()},
}

bag = DagBag(sys.argv[1], bundle_name="described", collect_dags=True)
wanted = json.loads(sys.argv[2])
said = {
    "import_errors": bag.import_errors,
    "dags": {dag_id: described(dag, run_of(dag_id, wanted)) for dag_id, dag in bag.dags.items()},
}
print("\n" + json.dumps(said, default=str))  # noqa: T201 - read by a test
