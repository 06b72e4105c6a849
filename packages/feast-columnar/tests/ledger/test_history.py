"""Where an online row came from."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from columnar_support.ledger_entries import NOON, at, entry, ledger_in
from hypothesis import given
from hypothesis import strategies as st

from feast_columnar.ledger.entries import Brought, Entry, Kind, OnlineStore, Outcome
from feast_columnar.ledger.history import History

KEEPS = OnlineStore("redis", "there", overwrites=False)


def brought(number: int, first: float, last: float, **changes: Any) -> Entry:
    """An entry that brought rows of these minutes; it began at another minute, and took half of one."""
    seen = Brought(1, at(first), at(last), at(last))
    times = {"start": at(first), "end": at(last), "began": at(number), "ended": at(number + 0.5), "brought": seen}
    return entry(number, **(times | changes))


def found(entries: list[Entry], event: float, read: float) -> list[int]:
    return [int(one.id, 16) for one in History(tuple(entries)).origins(at(event), at(read))]


def test_a_row_is_of_the_range_that_has_its_event_time() -> None:
    entries = [brought(10, 0, 10), brought(20, 11, 20), brought(30, 21, 30)]
    assert found(entries, 15, 40) == [20]
    assert found(entries, 10.5, 40) == []


def test_what_began_after_the_row_was_read_does_not_count_and_what_was_going_on_does() -> None:
    entries = [brought(10, 0, 10), brought(20, 0, 20)]
    assert found(entries, 5, 19) == [10]
    assert found(entries, 5, 20.2) == [20, 10]


@pytest.mark.parametrize(("store", "order"), [({}, [20, 10]), ({"store": KEEPS}, [10, 20])])
def test_where_ranges_overlap_it_depends_on_whether_the_store_overwrites(
    store: dict[str, Any], order: list[int]
) -> None:
    assert found([brought(10, 0, 10, **store), brought(20, 0, 20, **store)], 5, 40) == order


def test_what_brought_nothing_or_only_rows_of_other_times_does_not_count() -> None:
    none = brought(20, 0, 20, brought=Brought(0))
    others = brought(30, 0, 30, brought=Brought(2, at(25), at(30)))
    uncounted = brought(40, 0, 30, brought=Brought())
    assert found([brought(10, 0, 10), none, others, uncounted], 5, 60) == [40, 10]


@pytest.mark.parametrize("outcome", [Outcome.BEGUN, Outcome.FAILED])
def test_what_did_not_end_may_have_brought_any_row_of_its_range(outcome: Outcome) -> None:
    cut = brought(20, 0, 20, outcome=outcome, brought=Brought(1, at(7), at(7)))
    assert found([brought(10, 0, 10), cut], 5, 60) == [20, 10]
    assert found([brought(10, 0, 10), cut], 25, 60) == []


def test_after_a_store_was_empty_nothing_is_of_what_was_before() -> None:
    entries = [brought(10, 0, 10), brought(20, 0, 20, store_was_empty=True), brought(30, 21, 30)]
    assert found(entries, 5, 15) == [10]
    assert found(entries, 5, 60) == [20]


def test_a_push_brings_the_rows_that_it_had() -> None:
    push = brought(20, 15, 18, start=None, end=None, kind=Kind.PUSH)
    assert found([brought(10, 0, 10), push], 16, 60) == [20]
    assert found([brought(10, 0, 10), push], 5, 60) == [10]


@given(
    ranges=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)).map(sorted), max_size=6),
    event=st.integers(0, 9),
    read=st.integers(0, 7),
)
def test_of_a_store_that_overwrites_the_first_is_the_last_that_wrote_the_row(
    ranges: list[list[int]], event: int, read: int
) -> None:
    written: int | None = None
    for number, (start, end) in enumerate(ranges):
        if start <= event <= end and number <= read:
            written = number
    origins = found([brought(number, *one) for number, one in enumerate(ranges)], event, read)
    assert (origins[0] if origins else None) == written


def test_a_history_is_of_one_view_project_and_store(tmp_path_factory: pytest.TempPathFactory) -> None:
    ledger = ledger_in(tmp_path_factory.mktemp("ledger"))
    others = [entry(1, view="other"), entry(2, project="other"), entry(3, store=KEEPS)]
    mine = [entry(4), entry(5, brought=Brought(0)), entry(6, outcome=Outcome.FAILED)]
    for one in (*others, *mine):
        ledger.put(one)
    assert ledger.history("stats") == History(tuple(mine))
    assert ledger.history("stats").newest() == mine[0]
    assert ledger.history("nobody").newest() is None
    assert ledger.history("nobody").origins(NOON, datetime.now(tz=NOON.tzinfo) + timedelta(days=1)) == ()
