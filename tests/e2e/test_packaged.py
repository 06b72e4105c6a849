"""The wheels of ``kedro package`` and of feast-columnar, installed where there is neither source: what workers get."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.projects import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.slow

LIBRARY = "packages/feast-columnar"
WHERE = "import driver_ranking, feast_columnar; print(driver_ranking.__file__); print(feast_columnar.__file__)"


def run(command: Sequence[str | Path], folder: Path) -> str:
    """Run a command that finds nothing by this process's own path, which other tests lengthen for Spark's workers."""
    env = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def source_tree(folder: Path) -> Path:
    """Copy what git has of the project."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S607 - which git is the machine's affair
    for name in listed.rstrip("\0").split("\0"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both wheels."""
    source = source_tree(tmp_path_factory.mktemp("source") / "a project")
    run([Path(sys.executable).with_name("kedro"), "package"], source)
    run([sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", "dist", f"./{LIBRARY}"], source)
    return source / "dist"


def wheel(folder: Path, name: str) -> Path:
    (found,) = folder.glob(f"{name}-*.whl")
    return found


def test_the_project_asks_for_the_library_which_has_all_its_modules(wheels: Path) -> None:
    with zipfile.ZipFile(wheel(wheels, "driver_ranking")) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
        told = Parser().parsestr(archive.read(metadata).decode())
        assert not [name for name in archive.namelist() if name.startswith("feast_columnar")]
    asked = [line for line in told.get_all("Requires-Dist", []) if line.startswith("feast-columnar")]
    assert asked == ["feast-columnar~=0.1.0"]
    with zipfile.ZipFile(wheel(wheels, "feast_columnar")) as archive:
        packed = {name for name in archive.namelist() if name.startswith("feast_columnar/")}
        (metadata,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
        assert Parser().parsestr(archive.read(metadata).decode())["Version"] == "0.1.0"
    source = ROOT / LIBRARY / "src"
    modules = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.suffix in {".py", ".typed"}}
    assert packed == modules


def test_the_project_has_the_template_that_new_projects_are_made_from(wheels: Path) -> None:
    source = ROOT / "src"
    template = {
        path.relative_to(source).as_posix()
        for path in (source / "driver_ranking/project_init/templates").rglob("*")
        if path.is_file()
    }
    with zipfile.ZipFile(wheel(wheels, "driver_ranking")) as archive:
        assert template < set(archive.namelist())


def test_both_run_where_nothing_is_of_the_source(wheels: Path, tmp_path: Path) -> None:
    environment, project = tmp_path / "environment", tmp_path / "a project"
    run([sys.executable, "-m", "venv", "--without-pip", environment], tmp_path)
    python = environment / "bin/python"
    both = [wheel(wheels, "driver_ranking"), wheel(wheels, "feast_columnar")]
    run([sys.executable, "-m", "pip", f"--python={python}", "install", "--no-deps", *both], tmp_path)
    # the other packages are this environment's; of a folder that is named so, Python does not read what is editable
    (site,) = environment.glob("lib/*/site-packages")
    (site / "others.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    assert all(line.startswith(str(site)) for line in run([python, "-c", WHERE], tmp_path).splitlines())

    for part in ("conf", "feature_repo", "data/01_raw"):
        shutil.copytree(wheels.parent / part, project / part)
    (project / "conf/local").mkdir(exist_ok=True)
    for pipeline in ("training", "materialize", "batch"):
        run([python, "-m", "driver_ranking", "--pipelines", pipeline], project)
    assert (project / "data/07_model_output/batch_output.parquet").is_file()
