"""A batch run as it was known at a time: the run that was made then, whatever has been written since."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from support.projects import digests, run_pipeline

from driver_ranking.errors import FeatureStoreError, RequestError

if TYPE_CHECKING:
    from pathlib import Path

THEN = datetime(2026, 6, 10, 6, tzinfo=UTC)
RECORDED = b"driver_ranking.as_known_at"


def stats_of(project: Path) -> Path:
    return project / "data/01_raw/driver_stats.parquet"


def output_of(project: Path) -> pa.Table:
    return pq.read_table(project / "data/07_model_output/batch_output.parquet")


def test_over_sources_that_have_grown_it_is_the_run_that_was_made_then(project: Path) -> None:
    grown = pq.read_table(stats_of(project))
    later = pc.greater(grown["created"], pa.scalar(THEN))
    assert 0 < pc.sum(later).as_py() < grown.num_rows
    now = output_of(project)
    pq.write_table(grown.filter(pc.invert(later)), stats_of(project))
    run_pipeline(project, "batch")
    made_then = output_of(project)
    pq.write_table(grown, stats_of(project))
    run_pipeline(project, "batch", {"as_known_at": "2026-06-10T08:00:00+02:00"})
    again = output_of(project)
    assert again.replace_schema_metadata().equals(made_then.replace_schema_metadata())
    assert not again.equals(now)
    assert again.schema.metadata[RECORDED] == THEN.isoformat().encode()
    assert RECORDED not in (made_then.schema.metadata or {})
    for given in ({}, {"as_known_at": "2026-06-10T06:00:01"}):
        with pytest.raises(RequestError, match=r"The rows were extracted as known at 2026-06-10T06:00:00\+00:00, and"):
            run_pipeline(project, "batch", given, nodes=["predict"])
    run_pipeline(project, "batch", {"as_known_at": "2026-06-10T06:00:00"}, nodes=["predict"])
    assert output_of(project).equals(again)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("yesterday", "as_known_at=yesterday is not a time such as 2026-06-15T08:00:00"),
        ("2200-01-01", "as_known_at=2200-01-01T00:00:00.00:00 is in the future"),
        ("9999-01-01", "as_known_at=9999-01-01T00:00:00.00:00 is not a time that the stores can keep"),
        ({"day": 1}, "The parameter 'as_known_at' has no parts|as_known_at=.* is not a time"),
    ],
)
def test_what_is_no_time_that_has_been_is_refused_before_anything_is_done(
    project: Path, given: Any, message: str
) -> None:
    before = digests(project / "data")
    with pytest.raises(RequestError, match=message):
        run_pipeline(project, "batch", {"as_known_at": given})
    assert digests(project / "data") == before


def test_a_view_of_which_it_can_not_be_told_is_refused_by_name_before_anything_is_done(project: Path) -> None:
    sources = project / "feature_repo/data_sources.py"
    text = sources.read_text(encoding="utf-8")
    sources.write_text(text.replace('    created_timestamp_column="created",\n', "", 1), encoding="utf-8")
    before = digests(project / "data")
    with pytest.raises(FeatureStoreError, match="feature view 'driver_stats' has no created_timestamp_column"):
        run_pipeline(project, "batch", {"as_known_at": "2026-06-10"})
    assert digests(project / "data") == before
