"""Feature repos that were not written for this project are served as batch scores them, by configuration alone."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from support.foreign_repos import FOREIGN
from support.foreign_repos.oracle import expected_rows
from support.parity import SAME, batch_output, known, served_like_batch
from support.projects import run_pipeline
from support.queries import entity_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.foreign_repos.project import MakeForeign

pytestmark = pytest.mark.filterwarnings("ignore:.*experimental feature")


@pytest.mark.parametrize("name", FOREIGN)
def test_batch_says_what_feast_and_the_models_library_say(name: str, foreign: MakeForeign) -> None:
    made = foreign(name)
    output, expected = pd.concat(made.batch, ignore_index=True), expected_rows(made.project)
    assert output["status"].tolist() == expected["status"].tolist()
    assert set(output["status"]) == {"ok", "defaulted", "missing_features"}
    scores = output["score"].to_numpy(np.float64, na_value=np.nan)
    np.testing.assert_allclose(scores, expected["score"], rtol=SAME)
    for feature in made.project.contract.features:
        assert known(output[feature]) == known(expected[feature]), feature


@pytest.mark.parametrize("name", FOREIGN)
def test_a_model_is_trained_on_such_orders_and_excludes_the_same(
    name: str, foreign: MakeForeign, tmp_path: Path
) -> None:
    made = foreign(name)
    asked = replace(made.project, folder=shutil.copytree(made.project.folder, tmp_path / "a project"))
    scores = pd.concat(made.batch)["score"].fillna(0.0).to_numpy()
    ago = [replace(asked, now=asked.now - timedelta(minutes=minutes)) for minutes in range(9)]
    orders = pd.concat([entity_rows(one).assign(trip_completed=scores) for one in ago])
    orders.to_csv(asked.folder / "data/01_raw/driver_orders.csv", index=False)
    training = {**asked.training, "promote": "always", "thresholds": {"rmse": 99, "mae": 99}}
    run_pipeline(asked.folder, "training", {"training": training})
    output, before = (pd.concat(rows) for rows in (batch_output(asked), made.batch))
    assert set(output["model_version"]) == {"2"}
    assert (output["status"] == "missing_features").tolist() == (before["status"] == "missing_features").tolist()


@pytest.mark.parametrize("name", FOREIGN)
def test_online_serving_says_what_batch_says(
    name: str, foreign: MakeForeign, choose_store: Callable[[Path], None]
) -> None:
    made = foreign(name)
    choose_store(made.project.folder)
    run_pipeline(made.project.folder, "materialize", made.project.interval)
    served_like_batch(made.project, made.batch)
