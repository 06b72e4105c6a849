"""``--env spark`` gives what the local run gives of feature repos that were not written for this project."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from spark.test_spark_batch import assert_equal_rows, batch
from support.foreign_repos import FOREIGN

if TYPE_CHECKING:
    from pathlib import Path

    from support.foreign_repos.project import MakeForeign

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*experimental feature")]


@pytest.mark.parametrize("name", FOREIGN)
def test_any_keys_texts_and_request_features_are_those_of_the_local_run(
    name: str, foreign: MakeForeign, tmp_path: Path
) -> None:
    made = foreign(name).project
    project = shutil.copytree(made.folder, tmp_path / "a project")
    run = batch(project, "--params", f"batch_request={made.folder / 'request.csv'}")
    assert run.returncode == 0, run.stderr
    contract = made.contract
    rows = assert_equal_rows(project, ("asked", contract.candidate.name, *(key.name for key in contract.keys)))
    assert set(rows["status"].to_pylist()) == {"ok", "defaulted", "missing_features"}
