"""Which Pythons the script of CI takes, and what it runs with each: with stand-ins for `make` and for the Pythons."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.projects import ROOT

NEEDED = "curl wget ip buildah debootstrap redis-server redis-cli prometheus promtool java javac chromium chromedriver"
THIS = f"{sys.version_info.major}.{sys.version_info.minor}"
TARGETS = ("run", "lint", "test")
OTHER = "3.12" if THIS == "3.11" else "3.11"
MAKE = """#!/bin/bash
case " $* " in
*" test-slow "*) exit "${SLOW:-0}" ;;
*" -C "*" test "*) test -e "$2/pyproject.toml" || exit 9; exit "${OTHER:-0}" ;;
esac
echo "made: $*"
"""


def program(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


def python(path: Path, version: str) -> Path:
    """A program that answers as a Python of a version does when it is asked which one it is."""
    return program(path, f"#!/bin/sh\necho {version}\n")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Folders of programs: `bin`, which is all of the PATH but the system's own, and pyenv's versions, none so far."""
    for name in NEEDED.split():
        program(tmp_path / "bin" / name)
    program(tmp_path / "bin/make", MAKE)
    for name in ("git", "tar", "nice", "mktemp", "dirname", "bash", "rm", "cat", "env"):
        (tmp_path / "bin" / name).symlink_to(str(shutil.which(name)))
    python(tmp_path / "bin/python3", THIS)
    return tmp_path


def on(machine: Path, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(machine / "bin"), "HOME": str(machine), "TMPDIR": str(machine), **variables}
    return subprocess.run(
        [ROOT / ".ci" / script], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_single_python_runs_everything_and_that_is_said(machine: Path) -> None:
    ran = on(machine, "run")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[:2] == [
        f"CI: everything with Python {THIS}, {machine}/bin/python3",
        "CI: no other Python that the project supports was found",
    ]


@pytest.mark.parametrize("place", [f"bin/python{OTHER}", f".pyenv/versions/{OTHER}.1/bin/python"])
def test_another_python_is_found(machine: Path, place: str) -> None:
    other = python(machine / place, OTHER)
    assert on(machine, "interpreters").stdout.splitlines() == [f"{THIS} {machine}/bin/python3", f"{OTHER} {other}"]


def test_pyenvs_folder_may_be_elsewhere_and_its_shims_are_no_pythons(machine: Path) -> None:
    program(machine / f"bin/python{OTHER}", "#!/bin/sh\nexit 127\n")
    other = python(machine / f"elsewhere/versions/{OTHER}.9/bin/python", OTHER)
    found = on(machine, "interpreters", PYENV_ROOT=str(machine / "elsewhere"))
    assert found.stdout.splitlines()[1:] == [f"{OTHER} {other}"]


def test_without_a_supported_python_it_says_so(machine: Path) -> None:
    python(machine / "bin/python3", "3.10")
    found = on(machine, "run")
    assert found.returncode != 0
    assert "No Python of 3.11 or 3.12 is on the PATH" in found.stderr


def test_the_other_python_runs_the_project_and_its_tests_in_a_copy(machine: Path) -> None:
    other = python(machine / f"bin/python{OTHER}", OTHER)
    ran = on(machine, "run")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    made = [line.removeprefix("made: ") for line in ran.stdout.splitlines() if line.startswith("made: ")]
    assert made[:3] == [
        f"{target} PYTHON={machine}/bin/python3{more}"
        for target, more in zip(TARGETS, ("", "", " TEST_JOBS=1"), strict=True)
    ]
    assert [line.split()[2:] for line in made[3:]] == [
        [target, f"PYTHON={other}", "TEST_JOBS=1"] for target in ("setup", "run")
    ]
    assert ran.stdout.splitlines()[-1] == f"CI: Python {OTHER}, {other} ended with exit code 0"
    assert [path for path in machine.iterdir() if path.name.startswith("tmp.")] == []  # the copy is gone


@pytest.mark.parametrize(("suite", "code"), [("SLOW", 5), ("OTHER", 2)])
def test_what_fails_with_either_fails_the_whole(machine: Path, suite: str, code: int) -> None:
    python(machine / f"bin/python{OTHER}", OTHER)
    assert on(machine, "run", **{suite: str(code)}).returncode == code
