"""Whether batch and online serving say the same of the same requests: status, score and order, row by row."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from driver_ranking.errors import NoRankableDriverError
from driver_ranking.feature_store.repo import FeatureRepo
from driver_ranking.model import RegistryLocation
from driver_ranking.ranking import Ranking, ScoredRows, rank
from driver_ranking.serving.champion import ChampionLoader
from driver_ranking.serving.service import RankingService
from driver_ranking.serving.settings import RuntimeSettings
from support.projects import run_pipeline
from support.queries import ranking_query, write_request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from driver_ranking.serving.service import Ranked
    from support.queries import AskedProject

SAME = 1e-12  # BLAS may round by shape
OUTPUT = "data/07_model_output/batch_output.parquet"


def batch_output(asked: AskedProject) -> list[pd.DataFrame]:
    """Run batch for the rows of a project's requests, and return its output by request."""
    run_pipeline(asked.folder, "batch", {"batch_request": str(write_request(asked))})
    output = pd.read_parquet(asked.folder / OUTPUT)
    return [rows.reset_index(drop=True) for _, rows in output.groupby(output["asked"].astype(int))]


def expected_ranking(batch: pd.DataFrame, key: str) -> Ranking:
    """Return the ranking of the rows of a batch output as one request."""
    candidate = batch[key].to_numpy(object if batch[key].dtype == object else np.int64)
    scored = (batch["status"] != "missing_features").to_numpy()
    rows = ScoredRows(batch["score"].to_numpy(np.float64, na_value=np.nan), scored)
    return rank(candidate, rows, top_k=len(batch))


def assert_same(batch: pd.DataFrame, key: str, ranked: list[Any], scores: list[float], excluded: list[Any]) -> None:
    """Compare the rows of a batch output with an online ranking of all their candidates."""
    first = batch.drop_duplicates(key)
    assert excluded == first.loc[first["status"] == "missing_features", key].tolist()
    expected = expected_ranking(batch, key)
    assert ranked == expected.candidate.tolist()
    np.testing.assert_allclose(scores, expected.score, rtol=SAME)
    np.testing.assert_allclose(scores, batch["score"].to_numpy(np.float64, na_value=np.nan)[expected.place], rtol=SAME)


def served_like_batch(asked: AskedProject, batch: Sequence[pd.DataFrame]) -> None:
    """Ask for all requests at once, so that some share their reads, and compare each answer with its rows of batch."""
    contract = asked.contract
    for rows, answer in zip(batch, asyncio.run(_answers(asked)), strict=True):
        if (rows["status"] == "missing_features").all():
            assert isinstance(answer, NoRankableDriverError), answer
            continue
        if isinstance(answer, BaseException):
            raise answer
        assert_same(rows, contract.candidate.name, *(answer.output(name).tolist() for name in contract.default_outputs))
        seen = {name: answer.output(name).tolist() for name in ("status", *contract.features)}
        assert seen == explained(rows.iloc[answer.ranking.place], asked)


def explained(rows: pd.DataFrame, asked: AskedProject) -> dict[str, list[Any]]:
    """Return the statuses of rows of a batch output, and the features with which they were scored, by name."""
    names = ("status", *asked.contract.features)
    return {name: known(rows[name], asked.defaults.get(name)) for name in names}


def known(column: pd.Series[Any], default: object = None) -> list[Any]:
    """Return the values of a column, with something in the place of those that are missing."""
    return [default if missing else value for value, missing in zip(column.tolist(), column.isna(), strict=True)]


async def _answers(asked: AskedProject) -> list[Ranked | BaseException]:
    contract = asked.contract
    async with _serving(asked.folder, asked.now) as service:
        found = service.contract
        assert found is not None
        assert (found.candidate, found.inputs) == (contract.candidate, contract.inputs)
        assert dict(found.features) == contract.features
        ranking = [service.rank(ranking_query(query, contract), len(query.candidates)) for query in asked.queries]
        return await asyncio.gather(*ranking, return_exceptions=True)


@contextlib.asynccontextmanager
async def _serving(project: Path, now: datetime) -> AsyncIterator[RankingService]:
    """Start the service of a project, for which it is always the same time."""
    location = RegistryLocation("driver_ranking", "champion", project / "data/06_models/mlflow")
    moment = int(now.timestamp()) * 1_000_000
    loader = ChampionLoader(location, None, FeatureRepo(project / "feature_repo"), 5.0, clock=lambda: moment)
    service = RankingService(loader, RuntimeSettings(online_read_timeout=5))
    await service.start()
    try:
        yield service
    finally:
        await service.close()
