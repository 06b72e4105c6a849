"""Airflow's own database, and what Airflow makes of a folder of DAGs."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from support.orchestration import AIRFLOW, DAGS, Describe, airflow, airflow_environment
from support.projects import ROOT, copy_project
from support.registries import registry_forgotten
from support.servers import BIN

if TYPE_CHECKING:
    from collections.abc import Iterator

INSIDE = Path(__file__).parent / "inside"
NO_CLUSTER = (
    "clusters: [{name: a, cluster: {server: 'http://127.0.0.1:1'}}], contexts: [{name: a, context: {cluster: a}}]"
)


@pytest.fixture(autouse=True)
def _own_registry() -> Iterator[None]:
    with registry_forgotten():
        yield


@pytest.fixture(scope="session")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with Airflow's database; no process of Airflow runs."""
    home = tmp_path_factory.mktemp("airflow")
    made = airflow(airflow_environment(home, ROOT), "db", "migrate")
    assert made.returncode == 0, made.stderr
    return home


@pytest.fixture
def describe(airflow_home: Path, tmp_path: Path) -> Describe:
    """A way to ask Airflow's Python what it makes of a folder of DAGs, from a folder that is neither's."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(f"{{apiVersion: v1, kind: Config, current-context: a, {NO_CLUSTER}}}", encoding="utf-8")

    def described(
        dags: Path = DAGS,
        *,
        logical_date: str | None = "2026-06-15T00:00:00+00:00",
        conf: dict[str, dict[str, object]] | None = None,
        absent: str = "",
        project: Path = ROOT,
        **variables: str,
    ) -> dict[str, Any]:
        environment = airflow_environment(airflow_home, project, dags, KUBECONFIG=str(kubeconfig), **variables)
        run = json.dumps({"logical_date": logical_date, "conf": conf or {}})
        command = [str(AIRFLOW / "python"), str(INSIDE / "describe_dags.py"), str(dags), run, absent]
        ended = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert ended.returncode == 0, ended.stderr
        said: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
        return said

    return described


@pytest.fixture
def prompt_dags(tmp_path: Path) -> Path:
    """A project's DAGs, generated anew with a schedule of none and retries that hardly wait."""
    return dags_with(tmp_path / "generated", schedule=None, retry_delay_seconds=2, max_retry_delay_seconds=4)


def dags_with(target: Path, **settings: object) -> Path:
    """Generate DAGs from a copy of the project, with settings that hold for all of its pipelines."""
    copy = copy_project(target)
    shutil.copytree(ROOT / "deploy/airflow", copy / "deploy/airflow")
    config = copy / "conf/base/airflow.yml"
    given = yaml.safe_load(config.read_text(encoding="utf-8"))
    changed = {name: {**own, **settings} for name, own in given.items()}
    config.write_text(yaml.safe_dump(changed), encoding="utf-8")
    made = subprocess.run(
        [str(BIN / "python"), str(copy / "deploy/airflow/generate.py")], capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    return copy / "deploy/airflow/dags"
