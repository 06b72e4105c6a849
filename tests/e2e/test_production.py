"""The environment `production` says what it lacks, before it does anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.projects import kedro_command

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("pipeline", ["batch", "materialize", "training"])
def test_without_a_registry_it_says_which_variable_is_missing(fresh_project: Path, pipeline: str) -> None:
    run = kedro_command(fresh_project, "run", "--pipelines", pipeline, "--env", "production")
    assert run.returncode != 0
    assert "The environment variable MLFLOW_TRACKING_URI is not set" in run.stderr
    assert not (fresh_project / "data/04_feature").exists()


def test_without_a_redis_it_says_which_variables_are_missing(
    fresh_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{fresh_project}/mlflow.db")
    run = kedro_command(fresh_project, "run", "--pipelines", "materialize", "--env", "production")
    assert run.returncode != 0
    assert "needs the environment variables REDIS_ADDRESS, REDIS_PASSWORD" in run.stderr
    assert not (fresh_project / "data/04_feature").exists()
