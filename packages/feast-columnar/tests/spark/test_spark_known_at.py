"""A join as it was known at a moment, on Spark: what the local store gives, in groups and split ones too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from columnar_support.asof_repos import AsofRepo
from offline import test_as_known_at
from spark.taken import taken

if TYPE_CHECKING:
    from pathlib import Path

    from columnar_support.spark_repos import SparkAsofRepo

pytestmark = pytest.mark.slow
ROWS = 6_000

# one is of many joins: here a join of many rows stands for it
LEFT_OUT = {
    "test_over_a_source_that_has_grown_it_gives_what_was_given_then",
    "test_it_goes_together_with_what_was_known_at_each_rows_own_time",
}
globals().update(taken(test_as_known_at, LEFT_OUT))


def test_a_history_that_is_split_by_time_has_what_was_known_in_each_part(
    asof_repo: SparkAsofRepo, tmp_path: Path
) -> None:
    rng = np.random.default_rng(7)
    noon = np.datetime64(asof_repo.noon().replace(tzinfo=None), "us")
    minutes = rng.integers(0, 5_000, (3, ROWS)).astype("timedelta64[m]")
    times = [pa.array(noon + minute, pa.timestamp("us", "UTC")) for minute in minutes]
    asked = pa.table({"driver_id": np.full(ROWS, 7), "event_timestamp": times[0], "request": range(ROWS)})
    trips = pa.array(np.arange(ROWS, dtype=np.int32))
    rows = {"driver_id": np.full(ROWS, 7), "event_timestamp": times[1], "created": times[2], "trips": trips}
    asof_repo.apply(asof_repo.view(rows=pa.table(rows)))
    moment = asof_repo.noon(2_000)
    store = asof_repo.open(rows_per_group=1_000)
    job = store.get_historical_features(asked, ["stats:trips"]).as_known_at(moment)
    got = job.to_arrow().sort_by("request")
    local = AsofRepo(tmp_path).job(asked, ("stats:trips",))
    want = local.as_known_at(moment).to_arrow()
    assert got.equals(want.cast(got.schema))
    assert not want.equals(local.to_arrow())
