"""Settings of MLServer that can't work here are named at the start, with what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mlserver.settings import ModelParameters, ModelSettings, Settings

from driver_ranking.errors import SettingError
from driver_ranking.serving.server.workable import require_workable, require_workable_model
from driver_ranking.serving.settings import runtime_settings

GOOD: dict[str, Any] = {"parallel_workers": 0, "http_port": 1, "grpc_port": 2, "metrics_port": 3}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"parallel_workers": 1}, "parallel_workers is 1"),
        ({"parallel_workers": -1}, "parallel_workers is -1"),
        ({"cache_enabled": True}, "answers are not cached"),
        ({"kafka_enabled": True}, "REST and gRPC alone"),
        ({"grpc_port": 1}, "http_port and grpc_port are both 1"),
        ({"metrics_port": 2}, "grpc_port and metrics_port are both 2"),
        ({"http_port": 70_000}, "http_port is 70000"),
        ({"metrics_port": -1}, "metrics_port is -1"),
    ],
)
def test_settings_of_the_server_that_can_not_work_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        require_workable(Settings(**GOOD | settings))


@pytest.mark.parametrize("more", [{}, {"metrics_endpoint": None, "metrics_port": 1}, {"http_port": 0, "grpc_port": 0}])
def test_settings_that_work_are_taken(more: dict[str, Any]) -> None:
    require_workable(Settings(**GOOD | more))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_batch_size": 8, "max_batch_time": 0.1}, "split rankings wrongly"),
        ({"cache_enabled": True}, "answers are not cached"),
        ({"parameters": ModelParameters(environment_tarball="environment.tar.gz")}, "environment_tarball is set"),
        ({"parameters": ModelParameters(environment_path="environment")}, "environment_path is set"),
        ({"parameters": ModelParameters(inference_pool_gid="one")}, "inference_pool_gid is set"),
    ],
)
def test_settings_of_the_model_that_can_not_work_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        require_workable_model(ModelSettings(name="model", implementation="a.b", **settings))


def test_settings_of_the_model_that_work_are_taken() -> None:
    require_workable_model(ModelSettings(name="model", implementation="a.b"))
    require_workable_model(
        ModelSettings(name="model", implementation="a.b", parameters=ModelParameters(uri="models:/a@b"))
    )


@pytest.mark.parametrize("setting", ["predict_timeout", "load_timeout", "online_read_timeout", "readiness_interval"])
@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
def test_a_time_that_is_none_is_refused(setting: str, value: float) -> None:
    with pytest.raises(ValueError, match=setting):
        runtime_settings({setting: value}, Path())
