"""Entries as texts: they come back as they were, and no part of one is read as one."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from columnar_support.ledger_entries import ENTRY, NOON, entry
from hypothesis import given, settings
from hypothesis import strategies as st

from feast_columnar.ledger.entries import (
    Brought,
    Entry,
    Kind,
    NewerEntryError,
    Outcome,
    Run,
    Source,
    SourceFile,
    UnreadableEntryError,
    entry_of,
)

TEXTS = st.text(max_size=20)
ZONES = st.sampled_from([UTC, timezone(timedelta(hours=-9, minutes=-30))])
TIMES = st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1), timezones=ZONES)  # noqa: DTZ001 - their zone is drawn
MAYBE = st.none() | TIMES
FILES = st.builds(SourceFile, TEXTS, st.integers(0), MAYBE, st.none() | TEXTS)
SOURCES = st.builds(Source, TEXTS, TEXTS, files=st.lists(FILES, max_size=2).map(tuple))
ENTRIES = st.builds(
    replace,
    st.just(ENTRY),
    view=TEXTS,
    kind=st.sampled_from(Kind),
    outcome=st.sampled_from(Outcome),
    start=MAYBE,
    end=MAYBE,
    began=TIMES,
    ended=MAYBE,
    brought=st.builds(Brought, st.none() | st.integers(0), MAYBE, MAYBE, MAYBE),
    sources=st.lists(SOURCES, max_size=2).map(tuple),
    run=st.none() | st.builds(Run, TEXTS, TEXTS, st.none() | TEXTS, TEXTS),
    error=st.none() | TEXTS,
)


@settings(max_examples=40, deadline=None)
@given(ENTRIES)
def test_an_entry_comes_back_as_it_was(drawn: Entry) -> None:
    assert entry_of(drawn.text()) == drawn
    assert entry_of(drawn.text().encode()) == drawn


@settings(max_examples=40, deadline=None)
@given(ENTRIES, st.data())
def test_no_part_of_an_entry_is_one(drawn: Entry, data: st.DataObject) -> None:
    whole = drawn.text().encode().rstrip()
    part = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(UnreadableEntryError):
        entry_of(part)
    with pytest.raises(UnreadableEntryError):
        entry_of(part + b"\0" * (len(whole) - len(part)))


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"format": 1}', '{"format": "1"}', '{"format": 1, "id": 1}'])
def test_what_is_no_entry_is_told(text: str) -> None:
    with pytest.raises(UnreadableEntryError):
        entry_of(text)


def test_what_a_later_version_adds_is_left_out_and_another_format_is_refused() -> None:
    read = json.loads(ENTRY.text())
    assert entry_of(json.dumps(read | {"weather": "fine", "store": read["store"] | {"colour": "red"}})) == ENTRY
    with pytest.raises(NewerEntryError, match="format 2, and this version reads none above 1"):
        entry_of(json.dumps(read | {"format": 2}))


def test_times_are_written_in_utc_to_the_microsecond() -> None:
    moment = NOON.astimezone(timezone(timedelta(hours=2)))
    assert json.loads(entry(began=moment).text())["began"] == "2026-01-31T12:00:00.000000+00:00"


def test_what_has_no_place_in_an_entry_is_an_error() -> None:
    with pytest.raises(TypeError, match="complex has no place in an entry"):
        entry(view=1j).text()


@pytest.mark.parametrize(
    ("changes", "has_rows"),
    [
        ({}, True),
        ({"brought": Brought(0)}, False),
        ({"brought": Brought()}, True),
        ({"outcome": Outcome.FAILED}, False),
    ],
)
def test_only_what_ended_well_and_brought_rows_counts(changes: dict[str, Any], *, has_rows: bool) -> None:
    assert entry(**changes).has_rows is has_rows
