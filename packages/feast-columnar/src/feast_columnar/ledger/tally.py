"""Counting what is brought, as it is written: rows, and the ends of their times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from feast_columnar.ledger.entries import Brought
from feast_columnar.online.moments import EPOCH, MICROSECOND, aware

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime


class Tally:
    """What has been brought so far, by one materialization or push.

    Attributes:
        rows: How many rows; None as long as nobody has counted.
        counts_batches: Whether they are counted as they are read, rather than as a store is given them.
        error: What ended it, where that is not raised.
    """

    def __init__(self) -> None:
        self.rows: int | None = None
        self.counts_batches = False
        self.error: BaseException | None = None
        self._event_times: list[datetime] = []
        self._created: list[datetime] = []

    def expect_batches(self) -> None:
        """Count batches from here on, and not what a store is given of them."""
        self.counts_batches, self.rows = True, 0

    def add_nothing(self) -> None:
        """There are no rows."""
        self.rows = self.rows or 0

    def add_batch(self, batch: pa.RecordBatch, event_time: str, created: str | None) -> None:
        """Count the rows of a batch."""
        self._add(batch.num_rows, _ends(batch, event_time), _ends(batch, created)[-1:])

    def add_rows(self, rows: Sequence[tuple[Any, Any, datetime, datetime | None]]) -> None:
        """Count rows as Feast hands them to a store: key, values, event time, and created if any."""
        event_times = [aware(row[2]) for row in rows]
        created = [aware(row[3]) for row in rows if row[3] is not None and row[3] == row[3]]  # not pandas' NaT
        self._add(len(rows), _first_and_last(event_times), _first_and_last(created)[-1:])

    def _add(self, rows: int, event_times: list[datetime], created: list[datetime]) -> None:
        self.rows = (self.rows or 0) + rows
        self._event_times = _first_and_last([*self._event_times, *event_times])
        self._created = _first_and_last([*self._created, *created])

    def brought(self) -> Brought:
        """Return what has been counted."""
        first, last = (self._event_times[0], self._event_times[-1]) if self._event_times else (None, None)
        return Brought(self.rows, first, last, self._created[-1] if self._created else None)


def _first_and_last(times: Iterable[datetime]) -> list[datetime]:
    known = list(times)
    return [min(known), max(known)] if known else []


def _ends(batch: pa.RecordBatch, name: str | None) -> list[datetime]:
    """Return the first and the last time of a column; nothing of one that holds none."""
    if name is None or name not in batch.schema.names or not pa.types.is_timestamp(batch.schema.field(name).type):
        return []
    column = batch.column(name)
    micros = column.cast(pa.timestamp("us", column.type.tz), safe=False).cast(pa.int64())
    found = pc.min_max(micros).as_py()
    return [EPOCH + found[end] * MICROSECOND for end in ("min", "max") if found[end] is not None]
