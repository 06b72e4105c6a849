"""Batch and online serving give the same answer: the same candidates excluded, the same scores, the same order."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
import pandas as pd
import pytest
from support.parity import assert_same, batch_output, served_like_batch
from support.projects import copy_project, run_pipeline
from support.queries import AskedProject, Query
from support.random_repos import NOW, write_random_repo
from support.registries import registry_forgotten

from driver_ranking.serving.contract import Input, RankingContract

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.servers import Serving


def test_the_server_answers_for_the_sample_as_batch_does(served_project: Path, server: Serving) -> None:
    drivers = [*range(1050, 1000, -1), 9001, 1001, 9002]
    contract = RankingContract(Input("driver_id", "INT64"))
    asked = AskedProject(served_project, datetime.now(tz=UTC), contract, [Query(drivers)], {})
    [batch] = batch_output(asked)
    request = {
        "inputs": [{"name": "driver_id", "shape": [len(drivers)], "datatype": "INT64", "data": drivers}],
        "parameters": {"top_k": len(drivers)},
        "outputs": [{"name": "driver_id"}, {"name": "score"}, {"name": "excluded_driver_id"}],
    }
    answer = httpx.post(server.infer_url, json=request).json()
    assert set(batch["model_version"]) == {answer["model_version"]}
    assert_same(batch, "driver_id", *(output["data"] for output in answer["outputs"]))


@pytest.fixture(scope="module", params=range(4))
def random_project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AskedProject:
    """A project with a random repo and model."""
    project = copy_project(tmp_path_factory.mktemp("random") / "project")
    with registry_forgotten():
        return write_random_repo(project, request.param)


def test_random_repos_are_served_alike(random_project: AskedProject, choose_store: Callable[[Path], None]) -> None:
    choose_store(random_project.folder)
    run_pipeline(random_project.folder, "materialize", {"start": "2026-01-01", "end": NOW.isoformat()})
    batch = batch_output(random_project)
    statuses = {"ok", "missing_features", *(["defaulted"] if random_project.defaults else [])}
    assert set(pd.concat(batch)["status"]) == statuses
    served_like_batch(random_project, batch)
