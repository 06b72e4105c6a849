"""The Airflow operators that run ``kedro``: in the project's own environment, in its image, or as a pod."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.standard.hooks.subprocess import SubprocessHook
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from driver_ranking_airflow.settings import Image, Pod, Runner, SettingsError, VirtualEnvironment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_NOT_VALID = 3  # how `kedro run` ends if the trained model did not pass its validation
# what belongs to the environment that Airflow runs in
_NOT_PASSED_ON = ("AIRFLOW", "_AIRFLOW", "PYTHON", "VIRTUAL_ENV")


class KedroOperator(BaseOperator):  # type: ignore[misc] # Airflow has an environment of its own
    """Runs ``kedro`` as a program, without a shell; what it prints is the task's log."""

    template_fields: ClassVar[Sequence[str]] = ("arguments",)
    ui_color = "#ffe680"

    def __init__(self, *, kedro: Path, project: Path, arguments: list[str], **options: object) -> None:
        """Name the program, the folder to run it in, and its arguments, which are templates, each one argument."""
        super().__init__(**options)
        self.kedro = str(kedro)
        self.project = str(project)
        self.arguments = arguments
        self._hook = SubprocessHook()

    def execute(self, context: Mapping[str, Any]) -> None:  # noqa: ARG002 - Airflow's interface
        """Run it.

        Raises:
            AirflowFailException: The trained model did not pass its validation: no retry can mend it.
            AirflowException: It failed.
        """
        command = [self.kedro, *self.arguments]
        ended = self._hook.run_command(command, env=project_environment(os.environ), cwd=self.project)
        if ended.exit_code != 0:
            message = f"kedro ended with exit code {ended.exit_code}; its last line was: {ended.output}"
            raise (AirflowFailException if ended.exit_code == _NOT_VALID else AirflowException)(message)

    def on_kill(self) -> None:
        """End it, as the task is ended."""
        self._hook.send_sigterm()


def project_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return a task's environment without what is Airflow's own: its settings, credentials and Python."""
    return {name: value for name, value in environment.items() if not name.startswith(_NOT_PASSED_ON)}


def operator_maker(runner: Runner) -> Callable[[list[str], dict[str, Any]], BaseOperator]:
    """Return what makes operators: from the arguments of ``kedro`` and the options of any operator.

    Raises:
        SettingsError: Airflow lacks the provider.
    """
    match runner:
        case VirtualEnvironment():
            return lambda arguments, options: KedroOperator(
                kedro=runner.kedro, project=runner.project, arguments=arguments, **options
            )
        case Image():
            return _containers(runner)
        case Pod():
            return _pods(runner)


def _containers(image: Image) -> Callable[[list[str], dict[str, Any]], BaseOperator]:
    try:
        from airflow.providers.docker.operators.docker import DockerOperator
        from docker.types import Mount
    except ImportError as error:
        raise SettingsError(_lacking("docker")) from error
    kind = "bind" if image.data.startswith("/") else "volume"
    mount = Mount(source=image.data, target=image.mounted_at, type=kind)
    return lambda arguments, options: DockerOperator(
        image=image.image,
        command=["kedro", *arguments],
        private_environment=dict(image.variables),  # not shown among the rendered fields, unlike `environment`
        mounts=[mount],
        mount_tmp_dir=False,
        network_mode=image.network,
        auto_remove="force",
        **options,
    )


def _pods(pod: Pod) -> Callable[[list[str], dict[str, Any]], BaseOperator]:
    try:
        from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
    except ImportError as error:
        raise SettingsError(_lacking("cncf-kubernetes")) from error
    return lambda arguments, options: KubernetesPodOperator(
        image=pod.image,
        arguments=["kedro", *arguments],
        namespace=pod.namespace,
        pod_template_file=str(pod.template),
        **options,
    )


def _lacking(provider: str) -> str:
    return f"Airflow lacks the package apache-airflow-providers-{provider}. Install it where Airflow is installed."
