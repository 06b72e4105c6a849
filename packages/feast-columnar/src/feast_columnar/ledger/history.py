"""Which materialization an online row came from: by its view, its event time, and the moment at which it was read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from feast_columnar.ledger.entries import Entry, Kind, Outcome

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True)
class History:
    """The entries of one view in one online store.

    Attributes:
        entries: In the order in which they began.
    """

    entries: tuple[Entry, ...]

    def origins(self, event_time: datetime, read_at: datetime) -> tuple[Entry, ...]:
        """Return the entries that a row may have come from, the likeliest first.

        Mostly there is one. There are several where ranges overlap: of a store that overwrites, the last one that
        brought the row counts; of one that keeps a row until a newer one comes, the first one that had it, so that
        which rows had been `created` by then decides. What is going on at that moment, was killed or failed counts as
        well, as it may have brought the row.

        Args:
            event_time: The row's event time, as the online store has it.
            read_at: When it was read.

        Returns:
            None if the entry was removed, or if the row came by a way that the ledger does not see.
        """
        known = self._since_empty([entry for entry in self.entries if entry.began <= read_at])
        found = [entry for entry in known if _may_have_brought(entry, event_time)]
        first_counts = bool(found) and found[-1].store.overwrites is False
        return tuple(found if first_counts else reversed(found))

    def newest(self) -> Entry | None:
        """Return the last entry that brought rows and came to its end."""
        return next((entry for entry in reversed(self.entries) if entry.has_rows), None)

    @staticmethod
    def _since_empty(entries: list[Entry]) -> list[Entry]:
        emptied = [number for number, entry in enumerate(entries) if entry.store_was_empty]
        return entries[emptied[-1] :] if emptied else entries


def _may_have_brought(entry: Entry, event_time: datetime) -> bool:
    if entry.outcome is Outcome.FINISHED and entry.brought.rows == 0:
        return False
    if (entry.start and event_time < entry.start) or (entry.end and event_time > entry.end):
        return False
    if entry.outcome is not Outcome.FINISHED and entry.kind is Kind.MATERIALIZATION:
        return True  # what is known of its rows may not be all
    first, last = entry.brought.oldest_event_time, entry.brought.newest_event_time
    return first is None or last is None or first <= event_time <= last
