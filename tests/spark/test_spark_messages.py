"""What a run on Spark says when something that it needs is missing."""

from __future__ import annotations

import os
import sys
import venv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyspark
import pytest
import yaml
from columnar_support.clusters import cluster
from processes import free_port
from spark.test_spark_batch import OUTPUT, batch

from driver_ranking import spark
from driver_ranking.errors import SparkError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow


def configure(project: Path, **settings: object) -> None:
    path = project / "conf/spark/spark.yml"
    path.write_text(yaml.safe_dump({"master": "local[1]"} | settings), encoding="utf-8")


def refused(project: Path, **environment: str) -> str:
    """Run, and return the last line of what is said."""
    run = batch(project, env={**os.environ, **environment})
    assert run.returncode != 0
    assert not (project / OUTPUT).exists()
    return run.stderr.rstrip().splitlines()[-1]


def test_java(project: Path) -> None:
    said = refused(project, JAVA_HOME="/nowhere")
    assert "Spark needs Java 17 or newer, and there is none in JAVA_HOME (/nowhere)" in said


def test_the_extra(project: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['pyspark'] = None\n", encoding="utf-8")
    said = refused(project, PYTHONPATH=str(tmp_path))
    assert "Spark is not installed. Install the extra: pip install 'driver-ranking[spark]'." in said


def test_a_setting_of_another_name(project: Path) -> None:
    configure(project, memory="1g")
    assert "spark.yml has memory; it may have conf, master, python, wait_for_workers." in refused(project)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"wait_for_workers": "soon"}, "'soon' as wait_for_workers; it must be a number of seconds above 0"),
        ({"wait_for_workers": 0}, "0 as wait_for_workers; it must be"),
        (
            {"conf": {"spark.sql.session.timeZone": "Europe/Berlin"}},
            "'Europe/Berlin' as spark.sql.session.timeZone; it",
        ),
    ],
)
def test_settings_that_cannot_work(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SparkError, match=f"spark.yml has {message}"):
        spark.configure(settings)


def test_another_master_in_one_process(
    session: SparkSession, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spark._Configured, "settings", spark._Configured.settings)  # noqa: SLF001  # to put it back
    spark.configure({"master": "spark://127.0.0.1:9"})
    assert "Spark runs in this process already, on local[2], and is used; spark://127.0.0.1:9 is what" in caplog.text
    assert spark.session() is session


def test_the_cluster(project: Path) -> None:
    port = free_port()
    said = refused(project, SPARK_MASTER=f"spark://127.0.0.1:{port}")
    assert f"No Spark master answers at 127.0.0.1:{port}" in said


def test_workers(project: Path, tmp_path: Path) -> None:
    with cluster(tmp_path, workers=0) as running:
        configure(project, master=running.master, wait_for_workers=3, conf={"spark.driver.host": "127.0.0.1"})
        said = refused(project)
    assert f"The cluster at {running.master} gave no executor in 3 s. Check that it has workers" in said


def no_python(folder: Path) -> str:
    return str(folder / "python")


def bare_python(folder: Path) -> str:
    venv.create(folder, symlinks=True)
    return str(folder / "bin/python")


def python_without_the_package(folder: Path) -> str:
    """A Python with all that this one has but the project."""
    python = bare_python(folder)
    for path in Path(pyspark.__file__).parents[1].iterdir():
        if path.suffix != ".pth" and not path.name.startswith(("driver_ranking", "__editable__")):
            (packages_of(folder) / path.name).symlink_to(path)
    return python


def other_python(folder: Path) -> str:
    """A Python that says it is an older one: which others a machine has can't be known."""
    python = bare_python(folder)
    version = 'type("version_info", (tuple,), {"major": 3, "minor": 10, "micro": 0})((3, 10, 0, "final", 0))'
    (packages_of(folder) / "sitecustomize.py").write_text(
        f"import sys\nsys.version_info = {version}\n", encoding="utf-8"
    )
    return python


def packages_of(folder: Path) -> Path:
    return folder / f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"


@pytest.mark.parametrize(
    ("python", "message"),
    [
        (no_python, "the workers have no Python at '{python}'. Set `python` in spark.yml. Pack this environment"),
        (bare_python, "the workers' Python has no module 'pyarrow'. Pack this environment and ship it: docs/spark.md"),
        (other_python, "the workers' Python is not 3.11, which this one is. Pack this environment and ship it"),
    ],
)
def test_the_python_of_the_workers(project: Path, tmp_path: Path, python: Callable[[Path], str], message: str) -> None:
    path = python(tmp_path / "environment")
    configure(project, python=path, conf={"spark.driver.host": "127.0.0.1"})
    message = message.replace("3.11", f"{sys.version_info.major}.{sys.version_info.minor}")
    assert f"batch_request.csv can't be read: {message.format(python=path)}" in refused(project)


def test_the_package(project: Path, tmp_path: Path) -> None:
    python = python_without_the_package(tmp_path / "environment")
    with cluster(tmp_path, workers=1) as running:
        configure(project, master=running.master, python=python, conf={"spark.driver.host": "127.0.0.1"})
        said = refused(project)
    assert "the workers' Python has no module 'feast_columnar'. Pack this environment and ship it" in said
