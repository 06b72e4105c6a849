"""What Airflow makes of the DAGs, with tasks of all three kinds."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from kedro.framework.startup import bootstrap_project
from support.orchestration import DAGS
from support.projects import ROOT, copy_project
from support.servers import BIN

if TYPE_CHECKING:
    from pathlib import Path

    from support.orchestration import Describe

pytestmark = pytest.mark.slow

PIPELINES = {
    "driver_ranking_batch": "batch",
    "driver_ranking_materialize": "materialize",
    "driver_ranking_parity": "parity",
    "driver_ranking_training": "training",
    "driver_ranking_spark_batch": "batch",
}
NO_SHELL = "a b; touch pwned; `touch pwned` | \"'&& {{ dag_run }} {% raw %} #x: {y} [z] --env=prod"


@pytest.fixture
def runners(tmp_path: Path) -> dict[str, dict[str, str]]:
    """The variables that choose each kind of task."""
    template = shutil.copy(ROOT / "deploy/airflow/pod.yaml", tmp_path / "pod.yaml")
    image = {"DRIVER_RANKING_IMAGE": "driver-ranking:1.2.3"}
    container = {"DRIVER_RANKING_RUNNER": "docker", "DRIVER_RANKING_DATA": "/srv/data", "REDIS_PASSWORD": "hidden"}
    pod = {"DRIVER_RANKING_RUNNER": "kubernetes", "DRIVER_RANKING_POD_TEMPLATE": str(template)}
    return {"venv": {}, "docker": image | container, "kubernetes": image | pod}


def program_of(task: dict[str, Any]) -> list[str]:
    """Return what a task runs, program and arguments, of whichever kind it is."""
    match task["operator"]:
        case "KubernetesPodOperator":
            container = task["runs"]["pod"]["spec"]["containers"][0]
            assert not container["command"]  # so that the arguments are the image's command
            return list(container["args"])
        case _:
            return list(task["runs"]["command"])


@pytest.mark.parametrize("kind", ["venv", "docker", "kubernetes"])
def test_each_node_is_a_task_with_the_dependencies_of_the_pipeline(
    describe: Describe, runners: dict[str, dict[str, str]], kind: str
) -> None:
    said = describe(**runners[kind])
    assert said["import_errors"] == {}
    assert set(said["dags"]) == set(PIPELINES)
    bootstrap_project(ROOT)
    from kedro.framework.project import pipelines

    for dag, name in PIPELINES.items():
        tasks = said["dags"][dag]["tasks"]
        expected = {
            node.name: sorted(before.name for before in after)
            for node, after in pipelines[name].node_dependencies.items()
        }
        assert {task_id: task["upstream"] for task_id, task in tasks.items()} == expected


@pytest.mark.parametrize("kind", ["venv", "docker", "kubernetes"])
def test_a_task_runs_kedro_with_what_the_run_was_given(
    describe: Describe, runners: dict[str, dict[str, str]], kind: str
) -> None:
    known = "2026-06-10T08:00:00+02:00"
    conf = {"driver_ranking_batch": {"model_version": NO_SHELL, "best_rows_logged": 3, "as_known_at": known}}
    tasks = describe(conf=conf, **runners[kind])["dags"]["driver_ranking_batch"]["tasks"]
    version = NO_SHELL.replace('"', '\\"')
    for node in ("update_feature_store", "extract_features", "predict"):
        program, *arguments = program_of(tasks[node])
        assert program == (str(BIN / "kedro") if kind == "venv" else "kedro")
        assert arguments == [
            "run",
            "--pipelines=batch",
            f"--nodes={node}",
            f'--params=run_date="2026-06-15",model_version="{version}",best_rows_logged=3,as_known_at="{known}"',
        ]


def test_tasks_run_where_the_settings_say(describe: Describe, runners: dict[str, dict[str, str]]) -> None:
    def task(kind: str) -> dict[str, Any]:
        found: dict[str, Any] = describe(**runners[kind])["dags"]["driver_ranking_batch"]["tasks"]["predict"]["runs"]
        return found

    assert task("venv")["project"] == str(ROOT)

    container = task("docker")
    assert container["image"] == "driver-ranking:1.2.3"
    assert container["formatted"] == container["command"]
    assert [(mount["Source"], mount["Target"]) for mount in container["mounts"]] == [("/srv/data", "/app/data")]
    assert container["variables"] == {"REDIS_PASSWORD": "hidden"}

    spec = task("kubernetes")["pod"]["spec"]
    assert spec["containers"][0]["image"] == "driver-ranking:1.2.3"
    assert spec["containers"][0]["volume_mounts"][0]["mount_path"] == "/app/data"
    assert spec["volumes"][0]["persistent_volume_claim"]["claim_name"] == "driver-ranking-data"
    assert spec["containers"][0]["env_from"][0]["secret_ref"]["name"] == "driver-ranking"


def test_the_settings_are_those_of_airflow_yml(describe: Describe) -> None:
    given, spark = (yaml.safe_load((ROOT / f"conf/{env}/airflow.yml").read_text()) for env in ("base", "spark"))
    said = describe(DRIVER_RANKING_OUTPUT_URL="https://files.example.com/")["dags"]
    for name, pipeline in PIPELINES.items():
        settings, dag = given["default"] | given[pipeline], said[name]
        if name.startswith("driver_ranking_spark"):
            settings |= spark[pipeline]
        assert dag["catchup"] is False
        assert dag["max_active_runs"] == 1
        assert dag["schedule"] == settings["schedule"]
        assert dag["start_date"] == date(*settings["start_date"]).isoformat() + "T00:00:00+00:00"
        assert dag["run_timeout"] == 60 * settings["run_timeout_minutes"]
        assert dag["tags"] == sorted(settings["tags"])
        folder, _, _ = settings["output"].partition("{run_date}")
        assert f"[{folder}](https://files.example.com/{folder})" in dag["doc"]
        for task in dag["tasks"].values():
            assert (task["owner"], task["pool"]) == (settings["owner"], settings["pool"])
            assert (task["retries"], task["retry_delay"]) == (settings["retries"], settings["retry_delay_seconds"])
            assert task["backs_off"]
            assert task["timeout"] == 60 * settings["task_timeout_minutes"]


def test_a_run_without_a_logical_date_has_the_date_of_its_start(describe: Describe) -> None:
    task = describe(logical_date=None)["dags"]["driver_ranking_batch"]["tasks"]["predict"]
    assert program_of(task)[-1] == '--params=run_date="2026-07-01"'


def test_the_dags_work_from_any_folder(describe: Describe, tmp_path: Path) -> None:
    elsewhere = tmp_path / "airflow dags"
    shutil.copytree(DAGS, elsewhere / "team/driver ranking", ignore=shutil.ignore_patterns("__pycache__"))
    said = describe(elsewhere)
    assert said["import_errors"] == {}
    assert set(said["dags"]) == set(PIPELINES)


@pytest.mark.parametrize(
    ("variables", "absent", "message"),
    [
        ({"DRIVER_RANKING_PROJECT": ""}, "", "DRIVER_RANKING_PROJECT is not set"),
        ({"DRIVER_RANKING_PROJECT": "/no/project"}, "", "/no/project: there is no project"),
        ({"DRIVER_RANKING_RUNNER": "docker"}, "", "DRIVER_RANKING_IMAGE is not set"),
        (
            {"DRIVER_RANKING_RUNNER": "docker", "DRIVER_RANKING_IMAGE": "a", "DRIVER_RANKING_DATA": "b"},
            "airflow.providers.docker.operators.docker",
            "Airflow lacks the package apache-airflow-providers-docker",
        ),
        (
            {
                "DRIVER_RANKING_RUNNER": "kubernetes",
                "DRIVER_RANKING_IMAGE": "a",
                "DRIVER_RANKING_POD_TEMPLATE": str(ROOT / "deploy/airflow/pod.yaml"),
            },
            "airflow.providers.cncf.kubernetes.operators.pod",
            "Airflow lacks the package apache-airflow-providers-cncf-kubernetes",
        ),
    ],
)
def test_what_is_missing_is_the_import_error(
    describe: Describe, variables: dict[str, str], absent: str, message: str
) -> None:
    said = describe(absent=absent, **variables)
    assert said["dags"] == {}
    assert len(said["import_errors"]) == len(PIPELINES)
    for error in said["import_errors"].values():
        assert message in error.splitlines()[-1]


def test_an_environment_has_dags_of_its_own(describe: Describe, tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    shutil.copytree(ROOT / "deploy/airflow", project / "deploy/airflow")
    (project / "conf/nightly").mkdir()
    program = [sys.executable, str(project / "deploy/airflow/generate.py")]
    subprocess.run([*program, "--env", "nightly", "--pipelines", "batch"], check=True, capture_output=True)
    said = describe(project / "deploy/airflow/dags")
    task = said["dags"]["driver_ranking_nightly_batch"]["tasks"]["predict"]
    assert program_of(task)[1:4] == ["run", "--pipelines=batch", "--env=nightly"]
    assert len(said["dags"]) == len(PIPELINES) + 1
