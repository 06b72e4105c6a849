"""The tests of the local offline store, as they are, against the one on Spark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from contract import test_asof_feast_scenarios, test_asof_inputs, test_asof_rules

if TYPE_CHECKING:
    import pandas as pd
    from spark.conftest import SparkAsofRepo

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:On demand feature view:RuntimeWarning")]

# Spark has no unsigned integers, and SQL is Spark's here
OTHERWISE = {"test_keys_of_other_integer_types_match_as_values", "test_entity_rows_from_a_query"}
SOURCES = {
    "test_a_source_can_be_a_folder_a_glob_or_partitioned",
    "test_a_file_in_a_folder_named_like_a_partition_keeps_its_own_column",
    "test_a_column_that_came_later_is_null_in_older_files",
    "test_times_of_a_source_given_as_text_are_read",
    "test_field_mapping_renames_keys_times_and_features",
    "test_columns_that_the_source_lacks_are_named",
    "test_source_columns_that_are_not_asked_for_disturb_nothing",
    "test_names_with_spaces_quotes_and_keywords_work",
    "test_without_entity_rows_and_keys_there_is_one_row",
    "test_times_can_be_join_keys",
}
# the fixtures and tests of the rules, all of them, and of the inputs those that are about sources
_TAKEN = {
    **{name: item for name, item in vars(test_asof_rules).items() if name not in OTHERWISE},
    **{name: item for name, item in vars(test_asof_feast_scenarios).items() if name in {"asked", "made"}},
    **{
        name: item
        for name, item in vars(test_asof_feast_scenarios).items()
        if name.startswith("test_") and name not in OTHERWISE
    },
    **{name: getattr(test_asof_inputs, name) for name in SOURCES},
}
globals().update(
    {name: item for name, item in _TAKEN.items() if name.startswith("test_") or hasattr(item, "_fixture_function")}
)


@pytest.mark.usefixtures("made")
def test_on_demand_features_are_computed_on_the_workers(asof_repo: SparkAsofRepo, asked: pd.DataFrame) -> None:
    job: Any = asof_repo.job(asked, ("drivers:conv_rate", "computed:plus_100", "computed:rounded"))
    here = job.to_arrow()
    there = job.to_spark_df().toArrow()
    assert "plus_100" in here.column_names
    assert there.equals(here.cast(there.schema))
