"""A copy of the project in a folder of its own, and ways to run it.

The benchmarks copy it by this file too, so nothing but the standard library is imported before it is used.
"""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

ROOT = Path(__file__).parents[2]
PARTS = (
    "conf",
    "feature_repo",
    "src",
    "data/01_raw",
    "pyproject.toml",
    ".telemetry",
    "settings.json",
    "model-settings.json",
)


def copy_project(target: Path) -> Path:
    """Copy what git tracks of the project and a run needs."""
    for part in PARTS:
        source, copy = ROOT / part, target / part
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            own = ["local"] if part == "conf" else []  # of this machine; what src has of that name is a template's
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__", *own))
        else:
            shutil.copy2(source, copy)
    (target / "conf" / "local").mkdir()
    return target


def run_pipeline(
    project: Path,
    pipeline: str,
    params: Mapping[str, Any] | None = None,
    nodes: list[str] | None = None,
    env: str | None = None,
) -> None:
    """Run a pipeline in this process, as ``kedro run`` does."""
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    bootstrap_project(project)
    with KedroSession.create(project_path=project, env=env, runtime_params=dict(params or {})) as session:
        cast("KedroSession", session).run(pipeline_names=[pipeline], node_names=nodes)


def kedro_command(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command ``kedro`` in a project."""
    command = [str(Path(sys.executable).with_name("kedro")), *arguments]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=300, check=False)


def digests(folder: Path) -> dict[str, str]:
    """Return the content of all files below a folder but those of locks, as a hash by relative path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
