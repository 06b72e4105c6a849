"""The rules, as the tests of the local offline store have them, on Spark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from offline import test_asof_feast_scenarios, test_asof_rules
from spark.taken import taken

if TYPE_CHECKING:
    import pandas as pd
    from columnar_support.spark_repos import SparkAsofRepo

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:On demand feature view:RuntimeWarning")]

SQL = {"test_entity_rows_from_a_query"}  # is Spark's here
globals().update(taken(test_asof_rules, set()) | taken(test_asof_feast_scenarios, SQL))


@pytest.mark.usefixtures("made")
def test_on_demand_features_are_computed_on_the_workers(asof_repo: SparkAsofRepo, asked: pd.DataFrame) -> None:
    job: Any = asof_repo.job(asked, ("drivers:conv_rate", "computed:plus_100", "computed:rounded"))
    here = job.to_arrow()
    there = job.to_spark_df().toArrow()
    assert "plus_100" in here.column_names
    assert there.equals(here.cast(there.schema))
