"""An Airflow DAG of a Kedro pipeline: a task for each node, or namespace, that runs ``kedro run`` for it alone."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException

from driver_ranking_airflow.operators import operator_maker
from driver_ranking_airflow.parameters import ParameterError, kedro_params, run_date
from driver_ranking_airflow.places import Places
from driver_ranking_airflow.settings import PREFIX, DagSettings, VirtualEnvironment, runner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow.sdk.types import DagRunProtocol as DagRun

    from driver_ranking_airflow.settings import Runner

_DEFAULT_ENV = "local"  # kedro-airflow's word for: none was asked for
_PARAMS = "--params={{ kedro_params(dag_run) }}"


@dataclass(frozen=True)
class KedroTask:
    """A part of a pipeline that is one task.

    Attributes:
        name: The node, or the namespace.
        kind: ``nodes`` or ``namespace``, as kedro-airflow says.
        after: The names of the tasks that must have succeeded before.
    """

    name: str
    kind: str
    after: list[str]


def create_dag(  # noqa: PLR0913 - what kedro-airflow tells its template
    *,
    package: str,
    pipeline: str,
    env: str,
    conf_source: str,
    tasks: Sequence[KedroTask],
    settings: Mapping[str, Any],
) -> DAG:
    """Return the DAG of a pipeline.

    Args:
        package: The project's package.
        pipeline: The registered pipeline.
        env: The configuration environment; ``local`` for the project's default.
        conf_source: The configuration's folder; empty for the project's own.
        tasks: Its parts.
        settings: What airflow.yml says of it.

    Raises:
        SettingsError: A setting of airflow.yml or of the environment is missing or wrong.
    """
    checked, where = DagSettings.of(settings), runner()
    named = [package, pipeline] if env == _DEFAULT_ENV else [package, env, pipeline]
    with _empty_dag("_".join(named), checked, where) as dag:
        make = operator_maker(where)
        common = _arguments(pipeline, env, conf_source)
        made = {task.name: make([*common, _part(task), _PARAMS], {"task_id": task.name}) for task in tasks}
        for task in tasks:
            for before in task.after:
                made[before] >> made[task.name]
    return dag


def _empty_dag(dag_id: str, settings: DagSettings, where: Runner) -> DAG:
    return DAG(
        dag_id,
        description=settings.description,
        doc_md=doc(settings, where),
        schedule=settings.schedule,
        start_date=settings.start,
        catchup=False,
        max_active_runs=1,
        dagrun_timeout=timedelta(minutes=settings.run_timeout_minutes),
        tags=settings.tags,
        default_args=_default_args(settings),
        user_defined_macros={"kedro_params": _params_macro(settings, _places(settings, where))},
    )


def _default_args(settings: DagSettings) -> dict[str, Any]:
    return {
        "owner": settings.owner,
        "pool": settings.pool,
        "retries": settings.retries,
        "retry_delay": timedelta(seconds=settings.retry_delay_seconds),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(seconds=settings.max_retry_delay_seconds),
        "execution_timeout": timedelta(minutes=settings.task_timeout_minutes),
    }


def _places(settings: DagSettings, where: Runner) -> Places:
    project = where.project if isinstance(where, VirtualEnvironment) else None
    return Places(settings.allowed_places, settings.path_parameters, project)


def _params_macro(settings: DagSettings, places: Places) -> Callable[[DagRun], str]:
    def macro(dag_run: DagRun) -> str:
        try:
            params = kedro_params(run_date(dag_run.logical_date, dag_run.run_after), dag_run.conf, settings.parameters)
            places.check(dag_run.conf)
        except ParameterError as error:  # no retry can mend it
            raise AirflowFailException(str(error)) from error
        return params

    return macro


def _arguments(pipeline: str, env: str, conf_source: str) -> list[str]:
    arguments = ["run", f"--pipelines={pipeline}"]
    if env != _DEFAULT_ENV:
        arguments.append(f"--env={env}")
    if conf_source:
        arguments.append(f"--conf-source={conf_source}")
    return arguments


def _part(task: KedroTask) -> str:
    return f"--{'namespaces' if task.kind == 'namespace' else 'nodes'}={task.name}"


def doc(settings: DagSettings, where: Runner) -> str:
    """Return the text that Airflow shows with a DAG, in Markdown."""
    lines = [f"{settings.description or 'A Kedro pipeline'}. Each task is a `kedro run` of one part of the pipeline."]
    if settings.output:
        folder, _, _ = settings.output.partition("{run_date}")
        address = _address(folder, where)
        lines.append(f"A run leaves `{settings.output}`" + (f", in [{folder}]({address})." if address else "."))
    names = ", ".join(f"`{name}`" for name in settings.parameters) or "nothing"
    lines.append(f"The date of a run is its logical date in UTC. Its configuration may set {names}.")
    if settings.path_parameters:
        of = ", ".join(f"`{place}`" for place in settings.allowed_places) or "nowhere"
        lines.append(f"Files that it names are in: {of}.")
    return "\n\n".join(lines)


def _address(folder: str, where: Runner) -> str | None:
    """Return the address of a folder of the project: where it is published, else where it is on this machine."""
    published = os.environ.get(f"{PREFIX}OUTPUT_URL")
    if published:
        return f"{published.rstrip('/')}/{folder}"
    return (where.project / folder).as_uri() if isinstance(where, VirtualEnvironment) else None
