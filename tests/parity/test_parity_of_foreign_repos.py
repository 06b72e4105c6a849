"""Parity and replays of repos that the project was not written for: any keys, request features, defaults."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from support.foreign_repos import FOREIGN
from support.projects import run_pipeline
from support.queries import ranking_query

from driver_ranking.errors import NoRankableDriverError
from driver_ranking.feature_store.repo import FeatureRepo
from driver_ranking.model import ModelRegistry, RegistryLocation
from driver_ranking.parity.answers import chunks
from driver_ranking.parity.comparing import Comparison
from driver_ranking.parity.replaying import LoggedAnswer, found_answer, is_same, replay, with_its_batch
from driver_ranking.parity.report import report_of
from driver_ranking.parity.sampling import sampled
from driver_ranking.parity.scores import Scorers
from driver_ranking.prediction_log.reader import batches
from driver_ranking.serving.champion import ChampionLoader
from driver_ranking.serving.service import Ranked, RankingService
from driver_ranking.serving.settings import PredictionLogSettings, RuntimeSettings
from feast_columnar.ledger.books import name_of
from feast_columnar.ledger.settings import open_ledger
from feast_columnar.online.moments import EPOCH, MICROSECOND

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    from support.foreign_repos.project import ForeignProject, MakeForeign

    from driver_ranking.parity.answers import Chunk

pytestmark = pytest.mark.filterwarnings("ignore:.*experimental feature")


def location(project: Path) -> RegistryLocation:
    return RegistryLocation("driver_ranking", "champion", project / "data/06_models/mlflow")


async def ask(project: ForeignProject, log: Path) -> None:
    """Ask all requests of a project at once, at its own time, with each answer logged."""
    moment = int(project.now.timestamp()) * 1_000_000
    repo = FeatureRepo(project.folder / "feature_repo")
    loader = ChampionLoader(location(project.folder), None, repo, 5.0, clock=lambda: moment)
    settings = PredictionLogSettings(enabled=True, path=log, retention_days=0)
    service = RankingService(loader, RuntimeSettings(online_read_timeout=5, prediction_log=settings))
    await service.start()
    try:
        contract = service.contract
        assert contract is not None
        queries = [ranking_query(query, contract) for query in project.queries]
        asked = [service.rank(query, 1, f"asked-{number}") for number, query in enumerate(queries)]
        for answer in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(answer, Ranked):
                service.log(answer)
            elif not isinstance(answer, NoRankableDriverError):
                raise answer
    finally:
        await service.close()


def materialized_then(project: ForeignProject) -> None:
    """Materialize, and have the ledger say that it was before the project's own time."""
    written_before(project.folder)
    run_pipeline(project.folder, "materialize", project.interval)
    ledger = open_ledger(FeatureRepo(project.folder / "feature_repo").open())
    for entry in list(ledger.entries()):
        ledger.files.remove(name_of(entry))
        begin, end = (project.now - timedelta(minutes=minutes) for minutes in (2, 1))
        ledger.put(replace(entry, began=begin, ended=end))


def written_before(folder: Path) -> None:
    """Have the sources say that all of their rows had been written some hours ago."""
    for file in (folder / "data/01_raw").glob("*.parquet"):
        rows = pd.read_parquet(file)
        if "created" in rows:
            rows.assign(created=rows["created"] - timedelta(hours=3)).to_parquet(file, index=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", FOREIGN)
def test_parity_holds_and_each_answer_can_be_given_again(name: str, foreign: MakeForeign, tmp_path: Path) -> None:
    made = foreign(name).project
    project = replace(made, folder=shutil.copytree(made.folder, tmp_path / "a project"))
    materialized_then(project)
    log = project.folder / "data/09_prediction_log"
    asyncio.run(ask(project, log))
    registry = ModelRegistry(location(project.folder))
    service = registry.resolve().feature_service
    rows = list(batches(log, service))
    found = compared(project.folder, registry, chunks(rows))
    assert found["faults"] == {}
    assert found["unexplained"] == 0
    assert found["requests"] == len(project.queries)
    for feature in found["features"].values():
        assert feature["as_of_the_materialization"]["equal"] == found["rows"]
    for number in range(len(project.queries)):
        answer = logged(rows, f"asked-{number}")
        assert is_same(answer, replay(answer, Scorers(registry).of(answer.chunk.layout)))


@pytest.mark.parametrize("name", FOREIGN)
def test_a_sample_is_read_both_ways(name: str, foreign: MakeForeign, tmp_path: Path) -> None:
    made = foreign(name).project
    folder = shutil.copytree(made.folder, tmp_path / "a project")
    written_before(folder)
    run_pipeline(folder, "materialize", made.interval)
    registry = ModelRegistry(location(folder))
    sample = sampled(FeatureRepo(folder / "feature_repo").open(), registry, 120)
    found = compared(folder, registry, iter([sample]))
    assert (found["unexplained"], found["faults"], found["rows"], found["requests"]) == (0, {}, 120, 3)


def compared(project: Path, registry: ModelRegistry, found: Any) -> dict[str, Any]:
    store = FeatureRepo(project / "feature_repo").open()
    return report_of(Comparison(store, registry, open_ledger(store), None).run(found))


def logged(rows: list[pa.RecordBatch], request_id: str) -> LoggedAnswer:
    answer, others = found_answer(rows, request_id)
    return with_its_batch(answer, others, at_the_moment_of(answer, rows))


def at_the_moment_of(answer: Chunk, rows: list[pa.RecordBatch]) -> list[pa.RecordBatch]:
    import pyarrow.compute as pc

    moment = EPOCH + int(answer.now[0]) * MICROSECOND
    return [one.filter(pc.equal(one["__log_timestamp"], moment)) for one in rows]
