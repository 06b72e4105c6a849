"""The project as Kedro, Feast and their plugins see it."""

import subprocess
import sys
from pathlib import Path
from typing import cast

import pandas as pd
import pytest
import yaml
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro_viz.data_access import DataAccessManager
from kedro_viz.integrations.kedro.data_loader import load_data
from kedro_viz.server import populate_data
from support.projects import ROOT, kedro_command, run_pipeline

PIPELINES = ["__default__", "batch", "materialize", "parity", "reporting", "training"]
VIEWS = 2  # that are materialized
LAYERS = ["01_raw", "04_feature", "05_model_input", "06_models", "07_model_output", "08_reporting"]


def test_kedro_run_batch_is_all_that_scoring_takes(project: Path) -> None:
    (project / "data/07_model_output/batch_output.parquet").unlink()
    run = kedro_command(project, "run", "--pipeline", "batch")
    assert run.returncode == 0, run.stderr
    assert "Scored 14 rows with the model 'driver_ranking' version 1: 11 ok, 3 missing_features." in run.stderr
    assert "Best row 5" in run.stderr
    assert (project / "data/07_model_output/batch_output.parquet").is_file()


def test_kedro_run_takes_a_request_and_a_date(project: Path) -> None:
    params = "batch_request=data/01_raw/batch_request.csv,run_date=2026-06-15"
    run = kedro_command(project, "run", "--pipelines", "batch", "--params", params)
    assert run.returncode == 0, run.stderr
    assert (project / "data/07_model_output/2026-06-15/batch_output.parquet").is_file()


def test_kedro_run_fails_with_a_clear_last_line(project: Path) -> None:
    run = kedro_command(project, "run", "--pipelines", "batch", "--params", "batch_request=nowhere.csv")
    assert run.returncode != 0
    assert run.stderr.splitlines()[-1].endswith("nowhere.csv: there is no such file. Nothing was written.")


@pytest.mark.parametrize(
    "program", [[sys.executable, "-m", "driver_ranking"], [str(Path(sys.executable).with_name("driver_ranking"))]]
)
def test_the_package_runs_as_a_program(project: Path, program: list[str]) -> None:
    command = [*program, "--pipelines", "reporting"]
    run = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr


def test_kedro_lists_the_pipelines() -> None:
    listed = kedro_command(ROOT, "registry", "list")
    assert listed.returncode == 0, listed.stderr
    assert sorted(yaml.safe_load(listed.stdout)) == PIPELINES


def test_kedro_describes_the_datasets(fresh_project: Path) -> None:
    described = kedro_command(fresh_project, "catalog", "describe-datasets")
    assert described.returncode == 0, described.stderr
    assert "champion_model" in described.stdout
    assert "RegisteredModelDataset" in described.stdout


@pytest.mark.parametrize("name", PIPELINES)
def test_every_pipeline_and_node_is_described(fresh_project: Path, name: str) -> None:
    bootstrap_project(fresh_project)
    from kedro.framework.project import pipelines

    nodes = pipelines[name].nodes
    assert nodes
    assert all((node.func.__doc__ or "").strip() for node in nodes)


def test_every_dataset_has_a_description_and_a_layer(fresh_project: Path) -> None:
    bootstrap_project(fresh_project)
    with KedroSession.create(project_path=fresh_project) as session:
        catalog = cast("KedroSession", session).load_context().catalog
    names = [name for name in catalog if not name.startswith("param")]
    assert len(names) > 10
    for name in names:
        metadata = catalog[name].metadata
        assert metadata["description"], name
        assert metadata["kedro-viz"]["layer"] in LAYERS, name


@pytest.mark.parametrize("env", ["local", "spark"])
def test_kedro_viz_draws_the_layers_in_their_order(fresh_project: Path, env: str) -> None:
    catalog, registered, extras = load_data(fresh_project, env=env)
    shown = DataAccessManager()
    populate_data(shown, catalog, registered, extras)
    for name in PIPELINES:
        assert shown.get_sorted_layers_for_registered_pipeline(name), f"a circle in the layers of {name}"
    assert shown.get_sorted_layers_for_registered_pipeline("__default__") == LAYERS


def test_each_node_is_tagged_with_the_pipelines_that_have_it(fresh_project: Path) -> None:
    bootstrap_project(fresh_project)
    from kedro.framework.project import pipelines

    whole = pipelines["__default__"]
    for name in ("batch", "materialize", "reporting", "training"):
        assert {node.name for node in whole.only_nodes_with_tags(name).nodes} == {
            node.name for node in pipelines[name].nodes
        }


def test_kedro_viz_builds_the_site(project: Path) -> None:
    run_pipeline(project, "reporting")
    built = kedro_command(project, "viz", "build")
    assert built.returncode == 0, built.stderr
    main = (project / "build/api/main").read_text(encoding="utf-8")
    for part in ("score_distribution", "top_drivers", *LAYERS):
        assert part in main


def feast_command(repo: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("feast")), "-c", str(repo), *arguments]
    return subprocess.run(command, cwd=repo.parent, capture_output=True, text=True, timeout=120, check=False)


def test_feast_works_by_hand(fresh_project: Path) -> None:
    repo = fresh_project / "feature_repo"
    before = {path.name for path in fresh_project.rglob("*") if "__pycache__" not in path.parts}
    for arguments in (
        ["apply"],
        ["materialize", "2026-06-01T00:00:00", "2026-06-15T00:00:00"],
        ["feature-views", "list"],
    ):
        done = feast_command(repo, *arguments)
        assert done.returncode == 0, done.stderr + done.stdout
    assert "driver_stats" in done.stdout
    passed_over = {"__pycache__", "ledger"}
    made = {path.name for path in fresh_project.rglob("*") if not passed_over & set(path.parts)} - before
    assert made == {"04_feature", "registry.db", "online_store.db"}
    assert len(list((fresh_project / "data/04_feature/ledger").rglob("*.json"))) == VIEWS
    answer = feast_command(repo, "get-online-features", "-e", "driver_id=1001", "-f", "driver_stats:conv_rate")
    assert answer.returncode == 0, answer.stderr
    assert "conv_rate" in answer.stdout


def test_nothing_phones_home() -> None:
    assert yaml.safe_load((ROOT / ".telemetry").read_text(encoding="utf-8")) == {"consent": False}
    shown = subprocess.run(
        [sys.executable, "-c", "import driver_ranking.settings, os; print(os.environ['MLFLOW_DISABLE_TELEMETRY'])"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.strip() == "true"


def test_the_plots_show_the_output(project: Path) -> None:
    run_pipeline(project, "reporting")
    output = pd.read_parquet(project / "data/07_model_output/batch_output.parquet")
    distribution = yaml.safe_load((project / "data/08_reporting/score_distribution.json").read_text(encoding="utf-8"))
    assert distribution["layout"]["title"]["text"] == "Scores of 11 rows (3 more have none)"
    top = yaml.safe_load((project / "data/08_reporting/top_drivers.json").read_text(encoding="utf-8"))
    best = output.dropna(subset="score").groupby("driver_id")["score"].max().sort_values(ascending=False)
    assert top["data"][0]["x"] == [str(driver_id) for driver_id in best.index[:10]]
