"""What the configuration of an Airflow run may name: files of the allowed places, whatever way they are spelled."""

from pathlib import Path

import pytest
from driver_ranking_airflow.parameters import ParameterError
from driver_ranking_airflow.places import Places

URLS = (
    "s3://bucket/requests/",
    "https://files.example.com/",
    "gs://",
    "simplecache::s3://bucket/requests/",
    "zip://::s3://bucket/requests",
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with links that lead out of its data folder, and one that does not."""
    project = tmp_path / "project"
    raw = project / "data/01_raw"
    raw.mkdir(parents=True)
    for file in (raw / "request.csv", raw / "[x].csv", tmp_path / "secret", project / "pyproject.toml"):
        file.touch()
    (raw / "inner").symlink_to(raw / "request.csv")
    (raw / "outer").symlink_to(tmp_path / "secret")
    (raw / "folder").symlink_to("../../..")
    (raw / "loop").symlink_to("loop")
    return project


def admits(project: Path | None, named: str, *allowed: str) -> bool:
    return Places(allowed or ("data",), ("batch_request",), project).admits(named)


@pytest.mark.parametrize(
    "named", ["data/01_raw/request.csv", "data/01_raw/[x].csv", "data/01_raw/inner", "data/no/such", "data/./01_raw"]
)
def test_files_of_the_data_folder_may_be_named(project: Path, named: str) -> None:
    assert admits(project, named)
    assert admits(project, str(project / named))


@pytest.mark.parametrize(
    "named",
    [
        "",
        "/etc/shadow",
        "request.csv",
        "pyproject.toml",
        "~/.ssh/id_rsa",
        "database/request.csv",
        "data/../pyproject.toml",
        "data/01_raw/../../../secret",
        "data/01_raw/outer",
        "data/01_raw/folder/secret",
        "data/01_raw/loop",
        "data/01_raw/*/secret",
        "data/01_raw/[o]uter",
        "data/{../x}",
        r"data/\.\./x",
        "file:///etc/shadow",
        "file:/etc/shadow",
        "file:data/01_raw/request.csv",
        "local:///etc/shadow",
        "FILE:///etc/shadow",
        "http://169.254.169.254/latest/meta-data/",
        "https://files.example.com/request.csv",
        "s3://bucket/requests/a.csv",
        "data:text/csv,driver_id",
        "memory://a",
        "simplecache::file:///etc/shadow",
        "simplecache::data/01_raw/request.csv",
        "data/01_raw/request.csv::/etc/shadow",
        "zip://a.csv::data/01_raw/a.zip",
        "zip://a.csv::http://169.254.169.254/a.zip",
    ],
)
def test_nothing_else_may_be_named_by_default(project: Path, named: str) -> None:
    assert not admits(project, named)


@pytest.mark.parametrize(
    "named",
    [
        "s3://bucket/requests/2026/a.csv",
        "s3://bucket/requests/*.parquet",
        "https://files.example.com/any/where.csv?version=3",
        "gs://any/file.parquet",
        "simplecache::s3://bucket/requests/a.csv",
        "zip://a.csv::s3://bucket/requests/a.zip",
    ],
)
def test_urls_may_be_named_where_they_are_allowed(project: Path, named: str) -> None:
    assert admits(project, named, *URLS)


@pytest.mark.parametrize(
    "named",
    [
        "data/01_raw/request.csv",
        "s3://bucket/requests-of-others/a.csv",
        "s3://bucket/requests/../others/a.csv",
        "s3://bucket/requests/%2e%2E/others/a.csv",
        "s3://bucket/requests/%252e%252e/others/a.csv",
        "s3://bucket2/requests/a.csv",
        "s3a://bucket/requests/a.csv",
        "s3:/bucket/requests/a.csv",
        "https://files.example.com@10.0.0.1/a.csv",
        "https://user@files.example.com/a.csv",
        "https://files.example.com:8080/a.csv",
        r"https://files.example.com\@10.0.0.1/a.csv",
        "https://files.example.com.evil.example/a.csv",
        "https://[files.example.com/a.csv",
        "http://files.example.com/a.csv",
        "simplecache::https://files.example.com/a.csv",
        "filecache::s3://bucket/requests/a.csv",
        "zip://a.csv::simplecache::s3://bucket/requests/a.zip",
        "zip://a.csv::s3://other/a.zip",
    ],
)
def test_other_urls_may_not(project: Path, named: str) -> None:
    assert not admits(project, named, *URLS)


def test_file_urls_follow_links_as_paths_do(project: Path) -> None:
    allowed = (f"file://{project}/data/",)
    assert admits(project, f"file://{project}/data/01_raw/request.csv", *allowed)
    assert not admits(project, f"file://{project}/data/01_raw/outer", *allowed)
    assert not admits(project, f"file://{project}/data/../pyproject.toml", *allowed)
    assert not admits(project, "data/01_raw/request.csv", *allowed)


def test_every_file_may_be_named_where_that_is_the_setting(project: Path) -> None:
    assert admits(project, "/etc/shadow", "/")
    assert admits(project, "file:///etc/shadow", "file://")
    assert not admits(project, "/etc/../etc/shadow", "/")


@pytest.mark.parametrize(
    ("named", "admitted"),
    [
        ("data/01_raw/request.csv", True),
        ("data/../etc/passwd", False),
        ("data/01_raw/*.csv", False),
        ("/etc/passwd", False),
        ("file:///etc/passwd", False),
    ],
)
def test_names_alone_decide_where_files_are_in_a_container(named: str, *, admitted: bool) -> None:
    assert admits(None, named) is admitted


@pytest.mark.parametrize(
    "configuration",
    [
        {"batch_request": "/etc/shadow"},
        {"batch_request.filepath": "/etc/shadow"},
        {"batch_request": 5},
        {"batch_request": None},
        {"training.rows": "/etc/shadow"},
        {"model_version": "file:///etc/shadow"},
        {"model_version": "simplecache::file"},
    ],
)
def test_a_configuration_that_names_something_else_is_refused(project: Path, configuration: dict[str, object]) -> None:
    places = Places(("data",), ("batch_request",), project)
    (name,) = configuration
    with pytest.raises(ParameterError, match=f"The value of '{name}'") as refused:
        places.check(configuration)
    if configuration[name] not in (5, None):
        assert "may name: data. Such places are allowed_places of airflow.yml" in str(refused.value)


@pytest.mark.parametrize(
    "configuration",
    [
        None,
        {},
        {"batch_request": "data/01_raw/request.csv"},
        {"start": "2026-06-01T00:00:00+00:00", "model_version": 3},
    ],
)
def test_other_configurations_are_let_through(project: Path, configuration: dict[str, object] | None) -> None:
    Places(("data",), ("batch_request",), project).check(configuration)
