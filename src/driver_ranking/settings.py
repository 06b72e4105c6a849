"""Kedro's settings of this project."""

import os
from datetime import date

from omegaconf.resolvers import oc

from driver_ranking.errors import RequestError, SettingError
from driver_ranking.hooks import CheckInputs, CheckParameters, ConfigureSpark, EndAfterFailedValidation
from driver_ranking.output_locks import OutputLocks
from driver_ranking.quiet_logs import quieten_runners

# nothing phones home; .telemetry says the same to kedro-telemetry
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


def dated_folder(run_date: object) -> str:
    """Return ``YYYY-MM-DD/`` for a run's date, nothing for none.

    Raises:
        RequestError: It is not a date.
    """
    if run_date is None:
        return ""
    try:
        return f"{date.fromisoformat(str(run_date)).isoformat()}/"
    except ValueError as error:
        message = f"run_date={run_date} is not a date such as 2026-06-15."
        raise RequestError(message) from error


def required_env(name: str) -> str:
    """Return an environment variable that the configuration can't do without.

    Raises:
        SettingError: It is not set, or empty.
    """
    if not os.environ.get(name):
        message = f"The environment variable {name} is not set, and this environment of the project needs it."
        raise SettingError(message)
    return os.environ[name]


quieten_runners()

HOOKS = (CheckParameters(), ConfigureSpark(), CheckInputs(), OutputLocks(), EndAfterFailedValidation())
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-telemetry",)

CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "config_patterns": {"airflow": ["airflow*", "airflow/**"], "spark": ["spark*", "spark*/**"]},
    "merge_strategy": {"airflow": "soft"},  # an environment says only what differs
    "custom_resolvers": {"oc.env": oc.env, "dated_folder": dated_folder, "required_env": required_env},
}
