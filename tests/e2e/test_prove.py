"""`make prove` shows on the sample, with the real server, that answers are right and can be given again."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.projects import ROOT

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_a_thousand_answers_are_right_and_one_is_given_again(project: Path) -> None:
    program = [sys.executable, str(ROOT / "deploy/local/prove.py")]
    done = subprocess.run(program, cwd=project, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rows of 1000 answers: 0 unexplained." in done.stdout
    assert done.stdout.splitlines()[-1].endswith("The same, to the last bit.")
