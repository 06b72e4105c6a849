"""What the DAGs are told, by airflow.yml and by the environment, and what they say of what is missing."""

from pathlib import Path
from typing import Any

import pytest
from driver_ranking_airflow.settings import DagSettings, Image, Pod, SettingsError, VirtualEnvironment, runner

SETTINGS: dict[str, Any] = {
    "owner": "somebody",
    "description": None,
    "schedule": "@daily",
    "start_date": [2026, 6, 1],
    "pool": "default_pool",
    "tags": ["a"],
    "retries": 0,
    "retry_delay_seconds": 1,
    "max_retry_delay_seconds": 2,
    "task_timeout_minutes": 3,
    "run_timeout_minutes": 4,
    "parameters": [],
    "path_parameters": [],
    "allowed_places": ["data"],
    "output": None,
}


def test_settings_are_taken_as_they_are() -> None:
    settings = DagSettings.of(SETTINGS)
    assert {name: getattr(settings, name) for name in SETTINGS} == SETTINGS
    assert settings.start.isoformat() == "2026-06-01T00:00:00+00:00"


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("owner", None, "str"),
        ("retries", "2", "int"),
        ("retries", True, "int"),
        ("retries", -1, "not negative"),
        ("tags", "a", r"list\[str\]"),
        ("tags", [1], r"list\[str\]"),
        ("start_date", "2026-06-01", r"list\[int\]"),
        ("start_date", [2026, "6", 1], r"list\[int\]"),
        ("schedule", 5, r"str \| None"),
    ],
)
def test_a_setting_of_the_wrong_type_is_refused(name: str, value: object, wanted: str) -> None:
    with pytest.raises(SettingsError, match=f"airflow.yml: {name} is .*{wanted}"):
        DagSettings.of(SETTINGS | {name: value})


@pytest.mark.parametrize("date", [[], [2026, 6], [2026, 6, 31], [2026, 6, 1, 12]])
def test_a_start_date_that_is_none_is_refused(date: list[int]) -> None:
    with pytest.raises(SettingsError, match=r"start_date is \[.*\]; it must be a date such as \[2026, 6, 1\]"):
        _ = DagSettings.of(SETTINGS | {"start_date": date}).start


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that looks like a project with its environment."""
    (tmp_path / "pyproject.toml").touch()
    kedro = tmp_path / ".venv/bin/kedro"
    kedro.parent.mkdir(parents=True)
    kedro.touch(mode=0o755)
    return tmp_path


def test_by_default_tasks_run_in_the_environment_of_the_project(folder: Path) -> None:
    expected = VirtualEnvironment(folder, folder / ".venv/bin/kedro")
    assert runner({"DRIVER_RANKING_PROJECT": str(folder)}) == expected


def test_another_kedro_can_be_named(folder: Path) -> None:
    other = folder / "kedro"
    other.touch(mode=0o755)
    variables = {"DRIVER_RANKING_PROJECT": str(folder), "DRIVER_RANKING_KEDRO": str(other)}
    assert runner(variables) == VirtualEnvironment(folder, other)


def test_containers_get_data_and_the_variables_that_are_set() -> None:
    variables = {
        "DRIVER_RANKING_RUNNER": "docker",
        "DRIVER_RANKING_IMAGE": "driver-ranking:1",
        "DRIVER_RANKING_DATA": "/srv/data",
        "REDIS_PASSWORD": "secret",
        "HOME": "/root",
    }
    expected = Image("driver-ranking:1", "/srv/data", "/app/data", None, {"REDIS_PASSWORD": "secret"})
    assert runner(variables) == expected
    more = {"DRIVER_RANKING_PASS_ON": "HOME, NOT_SET", "DRIVER_RANKING_NETWORK": "host"}
    assert runner(variables | more) == Image("driver-ranking:1", "/srv/data", "/app/data", "host", {"HOME": "/root"})


def test_pods_get_a_template(tmp_path: Path) -> None:
    template = tmp_path / "pod.yaml"
    template.touch()
    variables = {
        "DRIVER_RANKING_RUNNER": "kubernetes",
        "DRIVER_RANKING_IMAGE": "driver-ranking:1",
        "DRIVER_RANKING_POD_TEMPLATE": str(template),
    }
    assert runner(variables) == Pod("driver-ranking:1", "default", template)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "DRIVER_RANKING_PROJECT is not set"),
        ({"PROJECT": "/nowhere"}, "/nowhere: there is no project"),
        ({"PROJECT": "relative"}, "Give the absolute path"),
        ({"PROJECT": "{folder}", "KEDRO": "/no/kedro"}, "/no/kedro: there is no such program. Run `make setup`"),
        ({"RUNNER": "ssh"}, "DRIVER_RANKING_RUNNER=ssh is not one of venv, docker, kubernetes"),
        ({"RUNNER": "docker"}, "DRIVER_RANKING_IMAGE is not set"),
        ({"RUNNER": "docker", "IMAGE": "a"}, "DRIVER_RANKING_DATA is not set"),
        ({"RUNNER": "kubernetes", "IMAGE": "a"}, "DRIVER_RANKING_POD_TEMPLATE is not set"),
        ({"RUNNER": "kubernetes", "IMAGE": "a", "POD_TEMPLATE": "/no.yaml"}, "/no.yaml: there is no such file"),
    ],
)
def test_what_is_missing_is_said(folder: Path, variables: dict[str, str], message: str) -> None:
    given = {f"DRIVER_RANKING_{name}": value.format(folder=folder) for name, value in variables.items()}
    with pytest.raises(SettingsError) as refused:
        runner(given)
    assert message in str(refused.value)
