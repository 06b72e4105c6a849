"""A join as it was known at a moment: what was written later is not there, whatever its event time."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feast_columnar.errors import AsofError

if TYPE_CHECKING:
    from datetime import datetime

    from columnar_support.asof_repos import AsofRepo

REFS = ("stats:trips",)
DRAWN = st.tuples(st.integers(1, 3), st.integers(0, 6), st.integers(0, 9), st.integers(0, 99))


def requests(repo: AsofRepo, *rows: tuple[int, float]) -> pd.DataFrame:
    drivers, minutes = zip(*rows, strict=True)
    return pd.DataFrame({"driver_id": drivers, "event_timestamp": [repo.noon(minute) for minute in minutes]})


def known(repo: AsofRepo, asked: Any, moment: datetime, **options: Any) -> list[int | None]:
    table = repo.job(asked, REFS, **options).as_known_at(moment).to_arrow()
    found: list[int | None] = table["trips"].to_pylist()
    return found


def test_late_rows_and_corrections_are_not_there_before_they_were_written(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon
    rows = [(1, noon(0), noon(0), 10), (1, noon(10), noon(30), 20), (1, noon(10), noon(40), 30)]
    asof_repo.apply(asof_repo.view(rows=rows))
    asked = requests(asof_repo, (1, 5), (1, 20), (2, 20))
    assert known(asof_repo, asked, noon(29)) == [10, 10, None]
    assert known(asof_repo, asked, noon(30)) == [10, 20, None]
    assert known(asof_repo, asked, noon(40).replace(tzinfo=None)) == [10, 30, None]
    assert asof_repo.job(asked, REFS).to_arrow()["trips"].to_pylist() == [10, 30, None]


def test_a_moment_counts_in_whole_microseconds_and_inclusively(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon()
    nanoseconds = pa.array([noon.replace(tzinfo=None)], pa.timestamp("us")).cast(pa.timestamp("ns"))
    later = pa.array([nanoseconds.cast(pa.int64())[0].as_py() + 999], pa.int64()).cast(pa.timestamp("ns"))
    rows = {"driver_id": [1], "event_timestamp": [noon], "created": later, "trips": pa.array([10], pa.int32())}
    asof_repo.apply(asof_repo.view(rows=pa.table(rows)))
    asked = requests(asof_repo, (1, 5))
    assert known(asof_repo, asked, noon) == [10]
    assert known(asof_repo, asked, noon - timedelta(microseconds=1)) == [None]


@pytest.mark.parametrize("kind", [pa.string(), pa.date32()])
def test_created_may_be_text_or_a_date(asof_repo: AsofRepo, kind: pa.DataType) -> None:
    noon = asof_repo.noon()
    days = pa.array([noon.date(), noon.date() + timedelta(days=1)], pa.date32()).cast(kind)
    rows = {
        "driver_id": [1, 1],
        "event_timestamp": [noon] * 2,
        "created": days,
        "trips": pa.array([10, 20], pa.int32()),
    }
    asof_repo.apply(asof_repo.view(rows=pa.table(rows)))
    assert known(asof_repo, requests(asof_repo, (1, 5)), noon) == [10]
    assert known(asof_repo, requests(asof_repo, (1, 5)), noon + timedelta(days=1)) == [20]


def test_it_goes_together_with_what_was_known_at_each_rows_own_time(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon
    rows = [(1, noon(0), noon(0), 10), (1, noon(10), noon(30), 20)]
    asof_repo.apply(asof_repo.view(rows=rows))
    asked = requests(asof_repo, (1, 20), (1, 35))
    assert known(asof_repo, asked, noon(40)) == [20, 20]
    assert known(asof_repo, asked, noon(40), filter_by_created_timestamp=True) == [10, 20]
    assert known(asof_repo, asked, noon(20), filter_by_created_timestamp=True) == [10, 10]


def test_a_view_whose_source_does_not_say_when_rows_were_written_is_refused_by_name(asof_repo: AsofRepo) -> None:
    path = asof_repo.write("stats.parquet", [(1, asof_repo.noon(), None, 10)])
    asof_repo.apply(asof_repo.view(source=asof_repo.source(path, created_timestamp_column="")))
    with pytest.raises(AsofError, match="the source of feature view 'stats' has no created_timestamp_column"):
        asof_repo.job(requests(asof_repo, (1, 5)), REFS).as_known_at(asof_repo.noon())


def test_a_row_of_which_it_is_not_known_when_it_was_written_is_refused(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon
    asof_repo.apply(asof_repo.view(rows=[(1, noon(), noon(), 10), (1, noon(1), None, 20)]))
    with pytest.raises(AsofError, match=r"source '.*': a row has no value in 'created'"):
        known(asof_repo, requests(asof_repo, (1, 5)), noon(9))


def test_without_entity_rows_those_are_asked_for_that_were_known(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon
    asof_repo.apply(asof_repo.view(rows=[(1, noon(), noon(), 10), (2, noon(), noon(30), 20)]))
    job = asof_repo.job(None, REFS, start_date=noon(-60), end_date=noon(60))
    assert job.as_known_at(noon(29)).to_arrow()["driver_id"].to_pylist() == [1]
    assert job.as_known_at(noon(30)).to_arrow()["driver_id"].to_pylist() == [1, 2]


def test_the_rows_of_a_source_are_those_that_were_known(asof_repo: AsofRepo) -> None:
    noon, store = asof_repo.noon, asof_repo.open()
    source = asof_repo.source(asof_repo.write("stats.parquet", [(1, noon(0), noon(0), 10), (1, noon(5), noon(30), 20)]))

    def latest(created: str | None) -> Any:
        return store._get_provider().offline_store.pull_latest_from_table_or_query(  # noqa: SLF001 - Feast has no other way
            store.config, source, ["driver_id"], ["trips"], "event_timestamp", created, noon(-60), noon(60)
        )

    assert latest("created").to_arrow()["trips"].to_pylist() == [20]
    assert latest("created").as_known_at(noon(29)).to_arrow()["trips"].to_pylist() == [10]
    with pytest.raises(AsofError, match="has no created_timestamp_column"):
        latest(None).as_known_at(noon())


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=st.lists(DRAWN, max_size=12), moment=st.integers(-1, 9), ttl=st.sampled_from([None, timedelta(minutes=3)]))
def test_over_a_source_that_has_grown_it_gives_what_was_given_then(
    shared_asof_repo: AsofRepo, rows: list[tuple[int, int, int, int]], moment: int, ttl: timedelta | None
) -> None:
    repo, noon = shared_asof_repo, shared_asof_repo.noon
    grown = [(driver, noon(event), noon(created), trips) for driver, event, created, trips in rows]
    then = [row for row in grown if row[2] <= noon(moment)]
    asked = requests(repo, *((driver, minute) for driver in (1, 2, 3, 4) for minute in (0, 2.5, 6, 9)))
    repo.apply(repo.view(rows=then, ttl=ttl))
    made = repo.job(asked, REFS).to_arrow()
    repo.write("stats.parquet", grown)
    assert repo.job(asked, REFS).as_known_at(noon(moment)).to_arrow().equals(made)
