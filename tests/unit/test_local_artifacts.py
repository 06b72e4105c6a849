"""Where the artifacts of a local registry are, once its folder has been copied or moved."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from driver_ranking.local_artifacts import LocalArtifacts, database_of, local_path

if TYPE_CHECKING:
    from pathlib import Path

MODEL = "artifacts/models/m-0123456789abcdef0123456789abcdef/artifacts"


@pytest.fixture
def artifacts(tmp_path: Path) -> LocalArtifacts:
    """A registry in `new`, made in `old`, of which nothing is there."""
    (tmp_path / "new").mkdir()
    return LocalArtifacts(tmp_path / "new/mlflow.db", tmp_path / "old")


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_what_was_in_the_old_folder_is_in_the_new_one(artifacts: LocalArtifacts, tmp_path: Path, scheme: str) -> None:
    assert artifacts.now(f"{scheme}{tmp_path}/old/{MODEL}") == f"{scheme}{tmp_path}/new/{MODEL}"
    assert artifacts.now(f"{scheme}{tmp_path}/old/artifacts") == f"{scheme}{tmp_path}/new/artifacts"


def test_a_copy_has_its_own_even_while_the_original_is_there(artifacts: LocalArtifacts, tmp_path: Path) -> None:
    (tmp_path / "old" / MODEL).mkdir(parents=True)
    (tmp_path / "new" / MODEL).mkdir(parents=True)
    assert artifacts.now(f"{tmp_path}/old/{MODEL}") == f"{tmp_path}/new/{MODEL}"


def test_a_model_that_was_logged_by_hand_after_the_copy_is_where_mlflow_put_it(
    artifacts: LocalArtifacts, tmp_path: Path
) -> None:
    (tmp_path / "old" / MODEL).mkdir(parents=True)
    assert artifacts.now(f"{tmp_path}/old/{MODEL}") == f"{tmp_path}/old/{MODEL}"
    assert artifacts.now(f"{tmp_path}/old/artifacts") == f"{tmp_path}/new/artifacts"


@pytest.mark.parametrize("uri", ["s3://bucket/old/artifacts", "mlflow-artifacts:/1/2", "/elsewhere/files", "relative"])
def test_what_is_elsewhere_is_left_alone(artifacts: LocalArtifacts, uri: str) -> None:
    assert artifacts.now(uri) == uri


def test_the_database_is_brought_home(artifacts: LocalArtifacts, tmp_path: Path) -> None:
    old, elsewhere = f"{tmp_path}/old/artifacts", "s3://bucket/files"
    columns = {
        "experiments": "name TEXT, artifact_location",
        "runs": "artifact_uri",
        "logged_models": "artifact_location",
    }
    columns["model_versions"] = "source TEXT, storage_location"
    with closing(sqlite3.connect(artifacts.database)) as connection, connection:
        for table, named in columns.items():
            connection.execute(f"CREATE TABLE {table} ({named} TEXT)")
        connection.execute("INSERT INTO experiments VALUES ('drivers', ?), ('other', ?)", (old, elsewhere))
        connection.execute("INSERT INTO model_versions VALUES (?, NULL)", (f"{old}/1",))
    assert LocalArtifacts.of(artifacts.database, "drivers") == artifacts
    assert LocalArtifacts.of(artifacts.database, "unknown").made_in is None
    artifacts.bring_home()
    with closing(sqlite3.connect(artifacts.database)) as connection:
        places = [place for (place,) in connection.execute("SELECT artifact_location FROM experiments ORDER BY name")]
        assert places == [f"{tmp_path}/new/artifacts", elsewhere]
        assert connection.execute("SELECT source FROM model_versions").fetchone() == (f"{tmp_path}/new/artifacts/1",)


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///a%20b/c", "/a b/c"),
        ("file://localhost/a", "/a"),
        ("/a%20b", "/a%20b"),
        ("file://elsewhere/a", None),
        ("a/b", None),
        ("s3://bucket/a", None),
    ],
)
def test_uris_of_this_machine_are_paths(uri: str, path: str | None) -> None:
    found = local_path(uri)
    assert (found and str(found)) == path


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("sqlite:////a/mlflow.db", "/a/mlflow.db"),
        ("sqlite+pysqlite:////a/b.db?x=1", "/a/b.db"),
        ("http://host:1", None),
    ],
)
def test_a_registry_that_is_a_file_is_known_by_its_uri(uri: str, path: str | None) -> None:
    found = database_of(uri)
    assert (found and str(found)) == path
