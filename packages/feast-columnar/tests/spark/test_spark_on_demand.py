"""On-demand views, views without entities and refusals with the store on Spark, as with the local one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from materialization import test_entityless
from offline import test_on_demand
from offline.test_on_demand import asked, repo
from spark.taken import taken

from feast_columnar.offline.store import AsofError

if TYPE_CHECKING:
    from columnar_support.asof_repos import AsofRepo

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:On demand feature view:RuntimeWarning")]

FILES = {
    "test_what_is_recorded_of_a_file_is_found_by_its_readers",
    "test_rows_without_a_source_row_do_not_reach_a_transformation_if_so_asked",
}
globals().update(taken(test_on_demand, FILES) | taken(test_entityless, set()))
__all__ = ["repo"]


def test_rows_without_a_source_row_do_not_reach_a_transformation(repo: AsofRepo) -> None:
    job: Any = repo.job(asked(repo, 2, 9, 1), ("twice:twice", "one:one")).transforming_complete_rows()
    for table in (job.to_arrow(), job.to_spark_df().toArrow()):
        assert table.column_names == ["driver_id", "event_timestamp", "trips", "twice", "one"]
        rows = {row["driver_id"]: (row["twice"], row["one"]) for row in table.to_pylist()}
        assert rows == {1: (20, 11), 2: (40, 21), 9: (None, None)}


def test_a_statement_is_refused_by_name(repo: AsofRepo) -> None:
    with pytest.raises(AsofError, match=r"to_sql is not supported: .* Use to_spark_df"):
        repo.job(asked(repo, 1)).to_sql()
