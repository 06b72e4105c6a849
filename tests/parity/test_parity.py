"""Batch and online serving give the same answer: the same drivers excluded, the same scores, the same order."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
import numpy as np
import pandas as pd
import pytest
from support.projects import copy_project, run_pipeline
from support.random_repos import DRIVERS, NOW, write_random_repo
from support.registries import registry_forgotten

from driver_ranking.feature_store.repo import FeatureRepo
from driver_ranking.model import RegistryLocation
from driver_ranking.ranking import ScoredRows, rank
from driver_ranking.serving.champion import ChampionLoader
from driver_ranking.serving.service import RankingService
from driver_ranking.serving.settings import RuntimeSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.servers import Serving

SAME = 1e-12  # BLAS may round by shape


@pytest.fixture(autouse=True)
def _own_registry() -> Iterator[None]:
    with registry_forgotten():
        yield


def batch_scores(project: Path, drivers: list[int], now: datetime) -> pd.DataFrame:
    """Return the batch output of drivers at a time."""
    request = project / "request.csv"
    pd.DataFrame({"event_timestamp": now.isoformat(), "driver_id": drivers}).to_csv(request, index=False)
    run_pipeline(project, "batch", {"batch_request": str(request)})
    return pd.read_parquet(project / "data/07_model_output/batch_output.parquet")


def assert_same(batch: pd.DataFrame, drivers: list[int], scores: list[float], excluded: list[int]) -> None:
    """Compare the rows of a batch output with an online ranking of all its drivers."""
    ok = (batch["status"] == "ok").to_numpy()
    assert excluded == list(dict.fromkeys(batch["driver_id"][~ok].tolist()))
    rows = ScoredRows(batch["score"].to_numpy(np.float64, na_value=np.nan), ok)
    expected = rank(batch["driver_id"].to_numpy(np.int64), rows, top_k=len(batch))
    assert drivers == expected.driver_id.tolist()
    np.testing.assert_allclose(scores, expected.score, rtol=SAME)
    score_of = dict(zip(batch["driver_id"], batch["score"], strict=True))
    np.testing.assert_allclose(scores, [score_of[driver] for driver in drivers], rtol=SAME)


def test_the_server_answers_for_the_sample_as_batch_does(served_project: Path, server: Serving) -> None:
    drivers = [*range(1050, 1000, -1), 9001, 1001, 9002]
    batch = batch_scores(served_project, drivers, datetime.now(tz=UTC))
    request = {
        "inputs": [{"name": "driver_id", "shape": [len(drivers)], "datatype": "INT64", "data": drivers}],
        "parameters": {"top_k": len(drivers)},
        "outputs": [{"name": "driver_id"}, {"name": "score"}, {"name": "excluded_driver_id"}],
    }
    answer = httpx.post(server.infer_url, json=request).json()
    assert set(batch["model_version"]) == {answer["model_version"]}
    assert_same(batch, *(output["data"] for output in answer["outputs"]))


@pytest.fixture(scope="module", params=range(3))
def random_project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a random repo and model."""
    project = copy_project(tmp_path_factory.mktemp("random") / "project")
    with registry_forgotten():
        write_random_repo(project, request.param)
    return project


@pytest.mark.parametrize("store", ["sqlite", "redis"])
def test_random_repos_are_served_alike(
    random_project: Path, store: str, monkeypatch: pytest.MonkeyPatch, redis_server: str
) -> None:
    if store == "redis":
        monkeypatch.setenv("FEAST_FS_YAML_FILE_PATH", str(random_project / "feature_repo/feature_store_redis.yaml"))
        monkeypatch.setenv("REDIS_ADDRESS", redis_server)
        monkeypatch.setenv("REDIS_PASSWORD", "")
        flush(redis_server)  # the projects share its keys
    run_pipeline(random_project, "materialize", {"start": "2026-01-01", "end": NOW.isoformat()})
    rng = np.random.default_rng(3)
    drivers = rng.permutation([*DRIVERS, 9001, *rng.choice(DRIVERS, 20)]).tolist()
    batch = batch_scores(random_project, drivers, NOW)
    assert {"ok", "missing_features"} == set(batch["status"])
    asyncio.run(compare_online(random_project, batch, drivers))


def flush(address: str) -> None:
    import redis

    host, port = address.split(":")
    with redis.Redis(host, int(port)) as client:
        client.flushdb()


async def compare_online(project: Path, batch: pd.DataFrame, drivers: list[int]) -> None:
    """Ask for all drivers at once, and beside it for parts of them in requests that share their reads."""
    location = RegistryLocation("driver_ranking", "champion", project / "data/06_models/mlflow")
    now = int(NOW.timestamp()) * 1_000_000
    loader = ChampionLoader(location, None, FeatureRepo(project / "feature_repo"), 5.0, clock=lambda: now)
    service = RankingService(loader, RuntimeSettings(online_read_timeout=5))
    await service.start()
    try:
        parts = [slice(start, start + 30) for start in range(0, len(drivers) - 30, 15)]
        asked = [slice(None), *parts]
        answers = await asyncio.gather(*(service.rank(np.array(drivers[part]), len(drivers)) for part in asked))
        for part, answer in zip(asked, answers, strict=True):
            ranking = answer.ranking
            rows = batch.iloc[part].reset_index(drop=True)
            assert_same(rows, ranking.driver_id.tolist(), ranking.score.tolist(), ranking.excluded_driver_id.tolist())
    finally:
        await service.close()
