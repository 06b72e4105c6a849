"""Make the Airflow DAGs of the project's pipelines: ``kedro airflow create`` with the template beside this program.

python deploy/airflow/generate.py                                   # all that are committed
python deploy/airflow/generate.py --env spark --pipelines batch     # those of one environment
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import cast

from jinja2 import Environment, meta
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

BIN = Path(sys.executable).parent
HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
TEMPLATE = HERE / "dag.py.j2"
COMMITTED: dict[str, tuple[str, ...]] = {"local": ("batch", "materialize", "parity", "training"), "spark": ("batch",)}
"""The pipelines that DAGs are made of, by configuration environment."""

# what kedro-airflow itself tells the template
_KEDRO_AIRFLOW = {"conf_source", "dag_name", "env", "node_objs", "package_name", "pipeline", "pipeline_name"}


def main() -> None:
    """Generate what the command line asks for."""
    asked = parse(sys.argv[1:])
    wanted = COMMITTED
    if asked.env or asked.pipelines:
        env = asked.env or "local"
        wanted = {env: tuple(asked.pipelines.split(",")) if asked.pipelines else COMMITTED.get(env, ())}
    for env, pipelines in wanted.items():
        generate(env, pipelines, asked.target)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Make the Airflow DAGs of the project's pipelines.")
    parser.add_argument("--env", help="one configuration environment instead of all that are committed")
    parser.add_argument("--pipelines", help="its pipelines, with commas between them")
    parser.add_argument("--target", type=Path, default=HERE / "dags", help="the folder for the DAGs")
    return parser.parse_args(arguments)


def generate(env: str, pipelines: tuple[str, ...], target: Path) -> None:
    """Generate the DAGs of one environment, and format them."""
    if not pipelines:
        sys.exit(f"Name the pipelines of the environment {env!r} with --pipelines.")
    check_keys(env)
    create = ["--pipelines", ",".join(pipelines), "--env", env, "--target-dir", str(target.resolve())]
    command = [str(BIN / "kedro"), "airflow", "create", *create, "--jinja-file", str(TEMPLATE)]
    subprocess.run(command, cwd=PROJECT, check=True)  # noqa: S603 - the project's own command
    generated = [str(target / file_name(env, pipeline)) for pipeline in pipelines]
    ruff = [str(BIN / "ruff"), "format", "--quiet", "--config", str(PROJECT / "pyproject.toml"), *generated]
    subprocess.run(ruff, check=True)  # noqa: S603 - likewise


def file_name(env: str, pipeline: str) -> str:
    """Return how kedro-airflow names the file of a DAG."""
    return "_".join(["driver_ranking", *([] if env == "local" else [env]), pipeline, "dag.py"])


def check_keys(env: str) -> None:
    """End the program if airflow.yml has a key that the template does not take: it would be left out in silence."""
    bootstrap_project(PROJECT)
    with KedroSession.create(project_path=PROJECT, env=env) as session:
        given = cast("KedroSession", session).load_context().config_loader["airflow"]
    parsed = Environment(autoescape=True).parse(TEMPLATE.read_text(encoding="utf-8"))
    known = meta.find_undeclared_variables(parsed) - _KEDRO_AIRFLOW
    for pipeline, settings in given.items():
        unknown = sorted(set(settings) - known)
        if unknown:
            sys.exit(
                f"airflow.yml: {pipeline} has {', '.join(unknown)}; what can be set is {', '.join(sorted(known))}."
            )


if __name__ == "__main__":
    main()
