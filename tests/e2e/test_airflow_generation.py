"""The DAGs in git are those that the pipelines and airflow.yml give, and what they promise holds of the catalog."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from support.orchestration import DAGS, MAKE
from support.projects import ROOT, digests, kedro_command, run_pipeline

AIRFLOW_YML = ROOT / "conf/base/airflow.yml"
DATES = ("2026-06-14", "2026-06-15")
# what all runs share: the feature store, the model registry, and the record of what is in it
SHARED = (
    "04_feature/registry.db",
    "04_feature/online_store.db",
    "04_feature/ledger/",
    "06_models/mlflow/",
    "06_models/registered_model_version",
)


def generate(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    shutil.copytree(ROOT / "deploy/airflow", project / "deploy/airflow", dirs_exist_ok=True)
    command = [sys.executable, str(project / "deploy/airflow/generate.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_the_dags_in_git_are_not_stale(tmp_path: Path) -> None:
    made = subprocess.run([MAKE, "airflow-dags", f"DAGS={tmp_path}"], cwd=ROOT, capture_output=True, check=False)
    assert made.returncode == 0, made.stderr
    committed = {path.name: path.read_text(encoding="utf-8") for path in DAGS.glob("*_dag.py")}
    assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == committed, (
        "run `make airflow-dags`"
    )
    assert len(committed) >= 3


def test_a_key_that_nobody_reads_is_refused(fresh_project: Path) -> None:
    config = fresh_project / "conf/base/airflow.yml"
    config.write_text(config.read_text(encoding="utf-8").replace('schedule: "0 6', 'shedule: "0 6'), encoding="utf-8")
    refused = generate(fresh_project)
    assert refused.returncode != 0
    assert refused.stderr.splitlines()[-1].startswith(
        "airflow.yml: batch has shedule; what can be set is allowed_places, description, "
    )


def test_an_environment_says_only_what_differs(fresh_project: Path) -> None:
    (fresh_project / "conf/nightly").mkdir()
    (fresh_project / "conf/nightly/airflow.yml").write_text("batch: {schedule: '@daily'}\n", encoding="utf-8")
    made = generate(fresh_project, "--env", "nightly", "--pipelines", "batch")
    assert made.returncode == 0, made.stderr
    dags = fresh_project / "deploy/airflow/dags"
    changed = (dags / "driver_ranking_nightly_batch_dag.py").read_text(encoding="utf-8").splitlines()
    usual = (dags / "driver_ranking_batch_dag.py").read_text(encoding="utf-8").splitlines()
    differing = [
        (before.strip(), after.strip()) for before, after in zip(usual, changed, strict=True) if before != after
    ]
    assert differing == [
        ('env="local",', 'env="nightly",'),
        ('"schedule": "0 6 * * *",', '"schedule": "@daily",'),
    ]


def test_the_template_of_kedro_airflow_reads_the_same_settings(fresh_project: Path) -> None:
    made = kedro_command(fresh_project, "airflow", "create", "--pipelines", "batch,training", "--target-dir", "dags")
    assert made.returncode == 0, made.stderr
    for name in ("batch", "training"):
        written = (fresh_project / f"dags/driver_ranking_{name}_dag.py").read_text(encoding="utf-8")
        compile(written, name, "exec")
        starts = [
            node.args
            for node in ast.walk(ast.parse(written))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "datetime"
        ]
        assert [[ast.literal_eval(part) for part in date] for date in starts] == [[2026, 6, 1]]


def test_an_environment_without_pipelines_is_refused(fresh_project: Path) -> None:
    refused = generate(fresh_project, "--env", "nightly")
    assert refused.returncode != 0
    assert "Name the pipelines of the environment 'nightly' with --pipelines." in refused.stderr


def filepaths(project: Path, run_date: str) -> dict[str, str]:
    """Return the path of each dataset that has one, in the configuration of a run."""
    bootstrap_project(project)
    with KedroSession.create(project_path=project, runtime_params={"run_date": run_date}) as session:
        catalog = cast("KedroSession", session).load_context().config_loader["catalog"]
    return {name: entry["filepath"] for name, entry in catalog.items() if "filepath" in entry}


@pytest.fixture(scope="module")
def settings() -> dict[str, dict[str, Any]]:
    """What airflow.yml says of each pipeline."""
    given = yaml.safe_load(AIRFLOW_YML.read_text(encoding="utf-8"))
    default = given.pop("default")
    return {name: default | own for name, own in given.items()}


def test_a_run_may_set_what_its_pipeline_takes(settings: dict[str, dict[str, Any]]) -> None:
    bootstrap_project(ROOT)
    from kedro.framework.project import pipelines

    catalog = yaml.safe_load((ROOT / "conf/base/catalog.yml").read_text(encoding="utf-8"))
    for name, given in settings.items():
        taken = {one.removeprefix("params:").split(".")[0] for one in pipelines[name].inputs() if "params:" in one}
        for dataset in pipelines[name].datasets() - {"feature_store"}:
            if dataset in pipelines[name].inputs():
                taken |= set(re.findall(r"runtime_params:(\w+)", str(catalog.get(dataset)))) - {"run_date"}
        assert set(given["parameters"]) == taken, name


@pytest.mark.parametrize("env", ["base", "spark"])
def test_every_parameter_that_names_a_file_is_known_as_one(settings: dict[str, dict[str, Any]], env: str) -> None:
    catalog = (ROOT / f"conf/{env}/catalog.yml").read_text(encoding="utf-8")
    whole = set(re.findall(r"(?:filepath|path|uri): \$\{runtime_params:(\w+)", catalog))
    assert whole == {"batch_request"}
    for name, given in settings.items():
        assert set(given["path_parameters"]) == whole & set(given["parameters"]), name


def test_the_doc_names_the_output_of_the_catalog(settings: dict[str, dict[str, Any]]) -> None:
    known = filepaths(ROOT, "2026-06-15")
    for name, given in settings.items():
        assert given["output"].format(run_date="2026-06-15") in known.values(), name


@pytest.mark.parametrize("pipeline", ["batch", "materialize", "training", "reporting"])
def test_two_dates_do_not_touch_each_others_files(project: Path, pipeline: str) -> None:
    for date in DATES:
        if pipeline == "reporting":
            run_pipeline(project, "batch", {"run_date": date})
        before = digests(project / "data")
        run_pipeline(project, pipeline, {"run_date": date})
        after = digests(project / "data")
        changed = {path for path in after.keys() | before.keys() if after.get(path) != before.get(path)}
        own = {path for path in changed if not path.startswith(SHARED) and not Path(path).name.startswith(".registry")}
        assert own, pipeline
        assert all(f"/{date}/" in path for path in own), own
