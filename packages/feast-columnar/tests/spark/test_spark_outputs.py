"""What the store on Spark gives: the tests of the local offline store, as far as they are about Feast's interface."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from feast.data_format import DeltaFormat
from feast.infra.offline_stores.bigquery_source import SavedDatasetBigQueryStorage
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from offline import test_asof_outputs
from spark.taken import taken

from feast_columnar.errors import AsofError

if TYPE_CHECKING:
    from columnar_support.spark_repos import SparkAsofRepo

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:On demand feature view is an experimental feature"),
]

# streams, files in the order of the rows, the statement, and DuckDB's options are the local store's own
NOT_FEASTS = {
    "test_a_stream_gives_the_rows_in_batches",
    "test_a_stream_and_a_table_are_the_same_rows_each_time",
    "test_an_abandoned_stream_closes_its_query",
    "test_a_stream_that_fails_says_why",
    "test_a_written_file_has_the_rows_and_the_metadata",
    "test_a_write_that_fails_leaves_the_old_file_and_nothing_else",
    "test_a_folder_that_can_not_be_put_in_place_leaves_the_old_one",  # Spark's: test_spark_folder
    "test_only_local_files_are_written",
    "test_other_storages_are_refused",
    "test_the_sql_is_there_to_read",
    "test_on_demand_features_are_the_same_in_every_output",
    "test_on_demand_features_of_no_rows_have_their_columns",
    "test_options_reach_duckdb",
    "test_options_that_duckdb_refuses_are_reported",
    "test_what_exceeds_the_memory_limit_goes_to_disk",
}
globals().update(taken(test_asof_outputs, NOT_FEASTS))


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        (SavedDatasetBigQueryStorage(table="a"), "cannot persist to a SavedDatasetBigQueryStorage, only to a"),
        (SavedDatasetFileStorage("x", DeltaFormat()), "the saved dataset at 'x': DeltaFormat is not supported"),
    ],
)
def test_storages_of_other_kinds_are_refused(repo: SparkAsofRepo, storage: Any, message: str) -> None:
    with pytest.raises(AsofError, match=message):
        repo.job(test_asof_outputs.many_requests(repo, 1)).persist(storage)


@pytest.mark.parametrize("rows", [0, 3])
def test_on_demand_features_need_no_feature_view(repo: SparkAsofRepo, rows: int) -> None:
    job: Any = repo.job(test_asof_outputs.many_requests(repo, rows), ("computed:tens",))
    for table in (job.to_arrow(), job.to_spark_df().toArrow()):
        assert table.column_names == ["driver_id", "event_timestamp", "request", "tens"]
        assert table["tens"].to_pylist() == [10 * row for row in range(rows)]


def test_without_the_extra_it_is_named(repo: SparkAsofRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark", None)
    with pytest.raises(AsofError, match="needs pyspark: install the extra 'spark'"):
        repo.trips(test_asof_outputs.many_requests(repo, 1))
