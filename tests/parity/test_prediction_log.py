"""What is logged of answers is what was answered, what batch says, and enough to answer again to the last bit."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support.foreign_repos import FOREIGN
from support.parity import SAME, known
from support.prediction_logs import frame_of, read_log, replayed
from support.projects import run_pipeline
from support.queries import ranking_query

from driver_ranking.feature_store.repo import FeatureRepo
from driver_ranking.model import ModelRegistry, RegistryLocation
from driver_ranking.prediction_log.schema import described
from driver_ranking.serving.champion import ChampionLoader
from driver_ranking.serving.service import RankingService
from driver_ranking.serving.settings import PredictionLogSettings, RuntimeSettings

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    import pyarrow as pa
    from support.foreign_repos.project import ForeignProject, MakeForeign

    from driver_ranking.serving.service import Ranked

pytestmark = pytest.mark.filterwarnings("ignore:.*experimental feature")


def location(project: ForeignProject) -> RegistryLocation:
    return RegistryLocation("driver_ranking", "champion", project.folder / "data/06_models/mlflow")


async def answers(project: ForeignProject, folder: Path) -> list[Ranked | BaseException]:
    """Ask for all requests at once, each by its number, and log what is answered."""
    moment = int(project.now.timestamp()) * 1_000_000
    repo = FeatureRepo(project.folder / "feature_repo")
    loader = ChampionLoader(location(project), None, repo, 5.0, clock=lambda: moment)
    log = PredictionLogSettings(enabled=True, path=folder)
    service = RankingService(loader, RuntimeSettings(online_read_timeout=5, prediction_log=log))
    assert await service.start()

    async def answer(number: int, query: Any) -> Ranked:
        found = await service.rank(query, 2, f"request {number}", "4bf92f3577b34da6a3ce929d0e0e4736")
        service.log(found)
        return found

    try:
        queries = [ranking_query(query, project.contract) for query in project.queries]
        return await asyncio.gather(*(answer(*one) for one in enumerate(queries)), return_exceptions=True)
    finally:
        await service.close()


@pytest.mark.parametrize("name", FOREIGN)
def test_each_candidate_of_each_answer_is_in_the_log(name: str, foreign: MakeForeign, tmp_path: Path) -> None:
    made = foreign(name)
    project = made.project
    run_pipeline(project.folder, "materialize", project.interval)
    answered = asyncio.run(answers(project, tmp_path))
    table = read_log(tmp_path, project.training["feature_service"])
    assert_feast_would_log_so(table, project)
    rows = frame_of(table)
    assert len(rows) == sum(map(len, made.batch))
    for number, (batch, answer) in enumerate(zip(made.batch, answered, strict=True)):
        assert_logged(rows[rows["__request_id"] == f"request {number}"], batch, project, described(table.schema))
        if not isinstance(answer, BaseException):
            assert_given(rows[rows["__request_id"] == f"request {number}"], answer)
    predict = ModelRegistry(location(project)).load(ModelRegistry(location(project)).resolve()).predict
    for number in set(rows["__batch"]):
        some = table.filter(np.asarray(rows["__batch"] == number))
        np.testing.assert_array_equal(replayed(some, predict), np.array(some["__score"].to_pylist(), dtype=float))
        one = some.filter(np.asarray(frame_of(some)["__answer"] == some["__answer"][0].as_py()))
        np.testing.assert_array_equal(replayed(one, predict), np.array(one["__score"].to_pylist(), dtype=float))


def assert_feast_would_log_so(table: pa.Table, project: ForeignProject) -> None:
    """Compare the columns with those that Feast itself logs, but for what Parquet has no type for."""
    from feast.feature_logging import FeatureServiceLoggingSource

    store = FeatureRepo(project.folder / "feature_repo").open()
    service = store.get_feature_service(project.training["feature_service"])
    fields = FeatureServiceLoggingSource(service, store.project).get_schema(store.registry)
    own = [table.schema.field(name) for name in fields.names]
    assert [(one.name, str(one.type).replace("[ms", "[s")) for one in own] == [
        (one.name, str(one.type)) for one in fields
    ]
    assert table.schema.names[: len(fields)] == fields.names


def assert_logged(
    rows: pd.DataFrame, batch: pd.DataFrame, project: ForeignProject, description: dict[str, Any]
) -> None:
    """Compare the log of one request with the rows of batch."""
    assert rows["__position"].tolist() == list(range(len(batch)))
    assert rows["__status"].tolist() == batch["status"].tolist()
    assert set(rows["__trace_id"]) == {"4bf92f3577b34da6a3ce929d0e0e4736"}
    assert set(rows["__log_timestamp"]) == {project.now}
    scores = batch["score"].to_numpy(np.float64, na_value=np.nan)
    np.testing.assert_allclose(rows["__score"].to_numpy(np.float64), scores, rtol=SAME)
    for name in (project.contract.candidate.name, *(key.name for key in project.contract.keys)):
        assert rows[name].tolist() == batch[name].tolist()
    columns = {one["name"]: one for one in description["model"]["columns"]}
    for name in project.contract.features:
        column, default = columns[name]["column"], project.defaults.get(name)
        # what comes with a request is logged as it came: the model's default is in the file's metadata
        seen = known(batch[name], None if columns[name]["requested"] else default)
        assert known_values(rows[column].tolist()) == known_values(seen), name
        if default is not None:
            defaulted = [name in some for some in rows["__defaulted"]]
            assert defaulted == batch[name].isna().tolist()
        if not columns[name]["requested"]:
            assert (rows[f"{column}__status"] == 1).tolist() == batch[name].notna().tolist()


def known_values(values: list[Any]) -> list[Any]:
    return [None if value is None or value != value else value for value in values]  # noqa: PLR0124 - NaN


def assert_given(rows: pd.DataFrame, answer: Ranked) -> None:
    """Compare the log of one request with its answer."""
    given = rows[rows["__given"]].sort_values("__rank")
    assert given[answer.contract.candidate.name].tolist() == answer.ranking.candidate.tolist()
    assert given["__rank"].tolist() == [*range(1, len(given) + 1)]
    ranked = rows[rows["__rank"].notna()]
    assert sorted(ranked["__rank"]) == [*range(1, len(ranked) + 1)]
    assert not rows.loc[rows["__score"].isna(), "__given"].any()
