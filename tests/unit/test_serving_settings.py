"""The files name the settings, and the environment has the last word."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from driver_ranking.errors import ModelError
from driver_ranking.serving.settings import ServerSettings, registry_location, runtime_settings


def test_the_environment_overrides_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIVER_RANKING_MAX_DRIVER_IDS", "7")
    monkeypatch.setenv("DRIVER_RANKING_MAX_BODY_BYTES", "100")
    settings = runtime_settings({"max_driver_ids": 5, "online_read_timeout": 2}, Path("/folder"))
    assert (settings.max_driver_ids, settings.online_read_timeout) == (7, 2)
    assert ServerSettings(max_body_bytes=5).max_body_bytes == 100


def test_relative_paths_count_from_the_folder_of_the_file(tmp_path: Path) -> None:
    settings = runtime_settings({"feature_repo": "repo", "registry_path": "/elsewhere"}, tmp_path)
    assert settings.feature_repo == tmp_path / "repo"
    assert settings.registry_path == Path("/elsewhere")


@pytest.mark.parametrize("extra", [{"max_driver_ids": 0}, {"online_read_timeout": 0}, {"max_drivers": 5}])
def test_a_setting_that_can_not_be_is_refused(extra: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        runtime_settings(extra, Path())


@pytest.mark.parametrize(
    ("uri", "alias", "version"),
    [
        ("models:/driver_ranking@champion", "champion", None),
        ("models:/driver_ranking@shadow", "shadow", None),
        ("models:/driver_ranking/12", "champion", "12"),
    ],
)
def test_a_model_is_named_by_alias_or_version(uri: str, alias: str, version: str | None) -> None:
    location, found = registry_location(uri, Path("/registry"), None)
    assert (location.name, location.alias, found) == ("driver_ranking", alias, version)
    assert location.uri == "sqlite:////registry/mlflow.db"


def test_another_registry_is_named_by_its_tracking_uri() -> None:
    location, _ = registry_location("models:/a@b", Path("/registry"), "http://127.0.0.1:5000")
    assert location.uri == "http://127.0.0.1:5000"


@pytest.mark.parametrize("uri", ["runs:/1/model", "driver_ranking", "models:/a", "models:/a@b/1", "models:/a/latest"])
def test_a_model_named_otherwise_is_refused(uri: str) -> None:
    with pytest.raises(ModelError, match=r"models:/NAME@ALIAS or models:/NAME/VERSION"):
        registry_location(uri, Path(), None)
