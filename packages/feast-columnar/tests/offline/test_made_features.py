"""Features that a view makes of its source's rows are not in them: a join over the source refuses the view by name."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import pandas as pd  # noqa: TC002 - Feast resolves the annotations
import pytest
from feast import BatchFeatureView, Field
from feast.types import Int32

from feast_columnar.offline.store import AsofError

if TYPE_CHECKING:
    from columnar_support.asof_repos import AsofRepo

pytestmark = pytest.mark.filterwarnings("ignore:.*experimental feature")


def doubled(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(trips=rows["trips"] * 2)


def test_a_view_with_a_transformation_is_refused_by_name(asof_repo: AsofRepo) -> None:
    made = BatchFeatureView(
        name="made",
        mode="pandas",
        entities=[asof_repo.entity()],
        schema=[Field(name="trips", dtype=Int32)],
        source=asof_repo.source(asof_repo.write("made.parquet", [(1, asof_repo.noon(), None, 4)]), name="made"),
        udf=doubled,
        udf_string=inspect.getsource(doubled),
        online=True,
    )
    asof_repo.apply(made)
    with pytest.raises(AsofError, match="feature view 'made' has a transformation: a join over its source would not"):
        asof_repo.job("SELECT 1 AS driver_id, now() AS event_timestamp", ("made:trips",))
