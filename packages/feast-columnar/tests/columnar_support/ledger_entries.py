"""Entries of a ledger, and who appends them. It imports no Feast: processes that are killed start in no time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from feast_columnar.ledger.books import Ledger, Retention
from feast_columnar.ledger.entries import Actor, Brought, Entry, Kind, OnlineStore, Outcome
from feast_columnar.ledger.files import files_at

if TYPE_CHECKING:
    from pathlib import Path

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
STORE = OnlineStore("a.Store", "there", overwrites=True)
ENTRY = Entry(
    id="0" * 32,
    kind=Kind.MATERIALIZATION,
    outcome=Outcome.FINISHED,
    project="shop",
    view="stats",
    join_keys=("driver_id",),
    definition="d",
    start=NOON - timedelta(days=1),
    end=NOON,
    began=NOON,
    ended=NOON + timedelta(seconds=1),
    store=STORE,
    actor=Actor("feast", "ann", "here", 7),
    brought=Brought(2, NOON - timedelta(hours=2), NOON - timedelta(hours=1), NOON),
)


def entry(number: int = 0, **changes: Any) -> Entry:
    """Return an entry that began some minutes after noon."""
    moment = NOON + timedelta(minutes=number)
    changed: dict[str, Any] = {"id": f"{number:032x}", "began": moment} | changes
    return replace(ENTRY, **changed)


def ledger_in(folder: Path | str, **settings: Any) -> Ledger:
    """Return a ledger in a folder or at a URL."""
    return Ledger(str(folder), files_at(str(folder)), "shop", STORE, **settings)


def at(minutes: float) -> datetime:
    """Return a moment, in minutes after noon."""
    return NOON + timedelta(minutes=minutes)


def append(folder: str, first: int, count: int) -> None:
    """Append entries that begin and end, each with its number as its id."""
    ledger = ledger_in(folder, retention=Retention(count=10_000))
    for number in range(first, first + count):
        begun = entry(number % 7, id=f"{number:032x}", outcome=Outcome.BEGUN)
        ledger.put(begun, durable=False)
        ledger.put(replace(begun, outcome=Outcome.FINISHED), durable=False)
        ledger.tidy()
