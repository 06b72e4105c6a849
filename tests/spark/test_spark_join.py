"""The join on Spark where the local one has nothing like it: groups, skew, other kinds of entity rows, what is kept."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from contract.conftest import AsofRepo

from driver_ranking.feature_store import asof_spark
from driver_ranking.feature_store.asof import AsofError

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession
    from spark.conftest import SparkAsofRepo

pytestmark = pytest.mark.slow
ROWS = 40_000


def skewed(repo: AsofRepo, rng: np.random.Generator) -> tuple[pa.Table, pa.Table]:
    """Requests and features: a fifth of one driver, a fifth without a key, ties, a few nulls."""
    keys = [rng.integers(1, 500, ROWS) for _ in range(2)]
    for key in keys:
        key[: ROWS // 5] = 7
    minutes = rng.integers(0, 5_000, (3, ROWS))
    noon = np.datetime64(repo.noon().replace(tzinfo=None), "us")
    times = [pa.array(noon + minute.astype("timedelta64[m]"), pa.timestamp("us", "UTC")) for minute in minutes]
    asked = pa.array(keys[0], mask=np.arange(ROWS) >= ROWS * 4 // 5)
    requests = pa.table({"driver_id": asked, "event_timestamp": times[0], "request": range(ROWS)})
    trips = pa.array(np.arange(ROWS, dtype=np.int32), mask=rng.random(ROWS) < 0.01)
    columns = {"driver_id": keys[1], "event_timestamp": times[1], "created": times[2], "trips": trips}
    return requests, pa.table(columns)


def test_skewed_rows_in_many_groups_get_what_the_local_store_gives(
    asof_repo: SparkAsofRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asof_spark, "_FEW_ROWS", 500)
    requests, features = skewed(asof_repo, np.random.default_rng(5))
    for part in range(3):
        asof_repo.write(f"stats/{part}.parquet", features.slice(part * ROWS // 3, ROWS // 3 + 1))
    source = asof_repo.source(tmp_path / "stats")
    views = [asof_repo.view(f"v{n}", source=source, ttl=ttl) for n, ttl in enumerate((None, timedelta(hours=3)))]
    asof_repo.apply(*views)
    refs = ["v0:trips", "v1:trips"]
    store = asof_repo.open(rows_per_group=4_000)
    got = store.get_historical_features(requests, refs, full_feature_names=True).to_arrow().sort_by("request")
    want = AsofRepo(tmp_path).job(requests, tuple(refs), full_feature_names=True).to_arrow()
    assert got.equals(want.cast(got.schema))
    assert 0.1 < got["v1__trips"].null_count / ROWS < 0.9


def test_no_group_has_much_more_than_its_share(
    asof_repo: SparkAsofRepo, session: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asof_spark, "_FEW_ROWS", 500)
    requests, features = skewed(asof_repo, np.random.default_rng(6))
    asof_repo.apply(asof_repo.view(rows=features))
    job = asof_repo.open(rows_per_group=4_000).get_historical_features(requests, ["stats:trips"])
    seen = session.sparkContext.accumulator(0)
    original = asof_spark._joining  # noqa: SLF001  # no other way to see a group

    def watching(*arguments: object) -> object:
        join = original(*arguments)  # type: ignore[arg-type]

        def watched(left: pa.Table, right: pa.Table) -> pa.Table:
            seen.add(max(0, left.num_rows - 4_500))
            return join(left, right)

        return watched

    monkeypatch.setattr(asof_spark, "_joining", watching)
    assert job.to_spark_df().count() == ROWS
    assert seen.value == 0


def test_spark_frames_and_spark_sql_are_entity_rows(asof_repo: SparkAsofRepo, session: SparkSession) -> None:
    noon = asof_repo.noon
    asof_repo.apply(asof_repo.view(rows=[(1, noon(), None, 10)]))
    asked = session.createDataFrame(pd.DataFrame({"driver_id": [1, 2], "event_timestamp": [noon(9)] * 2}))
    assert asof_repo.trips(asked) == [10, None]
    asked.createOrReplaceTempView("asked")
    assert asof_repo.trips("SELECT driver_id, event_timestamp FROM asked;") == [10, None]
    with pytest.raises(AsofError, match="Spark could not run the query"):
        asof_repo.trips("SELECT nothing FROM nowhere")
    with pytest.raises(AsofError, match="type list are not supported"):
        asof_repo.trips([1])


def test_a_driver_that_only_the_request_knows_and_an_empty_request(asof_repo: SparkAsofRepo) -> None:
    asof_repo.apply(asof_repo.view(rows=[]))
    asked = pd.DataFrame({"driver_id": [1], "event_timestamp": [asof_repo.noon()]})
    assert asof_repo.trips(asked) == [None]
    table = asof_repo.job(pa.Table.from_pandas(asked).slice(0, 0)).to_arrow()
    assert (table.num_rows, table.column_names[-1]) == (0, "trips")
