"""The page "Bring your own data": its steps work as they are written, one after the other, in one folder."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from support.projects import ROOT
from support.servers import Serving, environment, serving

if TYPE_CHECKING:
    from pathlib import Path

PAGE = (ROOT / "docs/bring-your-own-data.md").read_text(encoding="utf-8")
STEPS = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
BLOCK = re.compile(r"```(bash|python)\n(.*?)```", re.DOTALL)
SERVED = "mlserver start . &\n"
MOST_SECONDS = 300  # of the processors': other programs' share of them is not in it


def test_it_has_ten_steps_and_each_has_something_to_do() -> None:
    assert [step.split(".")[0] for step in STEPS] == [str(number) for number in range(1, 11)]
    assert all(BLOCK.search(step) for step in STEPS)


def test_its_options_are_those_of_the_command() -> None:
    from driver_ranking.project_init.command import command

    named = {
        option for row in re.findall(r"^\| (`--.*?) \|", PAGE, re.MULTILINE) for option in re.findall(r"--[a-z-]+", row)
    }
    known = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
    assert named == known - {"--feature-repo", "--yes", "--verbose"}


def run(language: str, block: str, folder: Path) -> tuple[str, Path]:
    """Run a block in a folder; return what it printed, and the folder that it ended in."""
    ended = folder / ".ended-in"
    command = ["bash", "-euo", "pipefail", "-c", f"{block}\npwd > '{ended}'"]
    if language == "python":
        command = [sys.executable, "-c", block]
    # without what a pipeline that ran in this process before has left there: the sources of its project
    variables = {name: value for name, value in environment().items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=folder, env=variables, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    if language == "python":
        return done.stdout, folder
    next_folder = type(folder)(ended.read_text(encoding="utf-8").strip())
    ended.unlink()
    return done.stdout, next_folder


def used() -> float:
    """Return how many seconds the programs that this process has started and ended have used."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def asked(block: str, server: Serving) -> list[str]:
    """Return what the server answers to each command of a block."""
    block = block.replace("localhost:8172", f"127.0.0.1:{server.http_port}")
    return [run("bash", line, server.log.parent / "my_ranking")[0] for line in block.splitlines()]


@pytest.mark.slow
def test_its_steps_lead_from_a_feature_repo_to_answers(tmp_path: Path) -> None:
    folder, began = tmp_path, used()
    for step in STEPS[:6] + STEPS[8:]:
        for language, block in BLOCK.findall(step):
            said, folder = run(language, block, folder)
        if step.startswith("6."):
            assert len(re.findall(r" ok +1$", said, re.MULTILINE)) == 5, said
            (_, started), (_, block) = BLOCK.findall(STEPS[6])[0], BLOCK.findall(STEPS[7])[0]
            assert started == SERVED
            with serving(folder) as server:
                answer, metadata = map(json.loads, asked(block, server))
            assert used() - began < MOST_SECONDS
            outputs = {one["name"]: one["data"] for one in answer["outputs"]}
            assert len(set(outputs["driver_id"]) & set(range(1001, 1006))) == 3
            assert [one["name"] for one in metadata["inputs"]] == ["driver_id", "val_to_add", "val_to_add_2"]
    scored = pd.read_parquet(tmp_path / "my_own/data/07_model_output/batch_output.parquet")
    assert scored["score"].between(0, 1).all()
    assert (scored["status"] == "ok").all()
