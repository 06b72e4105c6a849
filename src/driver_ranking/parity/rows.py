"""The rows of a view that a chunk was answered from, compared with what materializations brought, and what is known."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driver_ranking.parity.answers import Chunk, integers, micros
from driver_ranking.parity.brought import NEVER, NONE, ViewTables
from driver_ranking.parity.causes import Cause, Times, available_for, causes_of
from driver_ranking.parity.joining import Joined, as_brought, as_known, fresh, known_then, others_of
from driver_ranking.parity.values import are_same, as_bool, as_logged, is_null
from driver_ranking.prediction_log.columns import event_time_column, status_column

INVALID, PRESENT, NULL, NOT_FOUND, OUTSIDE = range(5)
"""Feast's `FieldStatus`."""
_SECOND: Final = 1_000_000


@dataclass(frozen=True)
class LoggedView:
    """What the log says of a view's rows.

    Attributes:
        time: int64 ``[n]``, event times in microseconds; `NONE` where there was no row.
        status: int64 ``[n]``, `NOT_FOUND`, `OUTSIDE`, `PRESENT` where the row is used, and `INVALID`.
        values: By the names of joined features, as they were read: null where a default stands for one.
    """

    time: NDArray[np.int64]
    status: NDArray[np.int64]
    values: dict[str, pa.Array]


@dataclass(frozen=True)
class ViewRows:
    """The rows of a view.

    Attributes:
        tables: The tables of the view.
        logged: What the log says; None of a view that only on-demand views read.
        brought: What the online store had, if all is right.
        known: What is known now, as of the reads.
        cause: int8 ``[n]`` of `Cause`, why `brought` is not `known`.
        available: int64 ``[n]``, for how long a row that is stale had been there to be brought, in microseconds.
        faulty: bool ``[n]``, where the log says something else than what was brought.
        ambiguous: bool ``[n]``, where several rows may have been read.
        premature: bool ``[n]``, where the log has a row that had not been written yet, by its ``created``.
    """

    tables: ViewTables
    logged: LoggedView | None
    brought: Joined
    known: Joined
    cause: NDArray[np.int8]
    available: NDArray[np.int64]
    faulty: NDArray[np.bool_]
    ambiguous: NDArray[np.bool_]
    premature: NDArray[np.bool_]

    @cached_property
    def has_changed(self) -> NDArray[np.bool_]:
        """Return where what is known now is another row than what was read."""
        return np.asarray((self.cause != Cause.NONE) | self.faulty)


def logged_view(chunk: Chunk, tables: ViewTables) -> LoggedView | None:
    """Return what the log says of a view; None if the model takes nothing of it, or the log does not have it."""
    signature = {column: name for name, column in chunk.layout.model_columns.items()}
    taken = {
        name: column
        for name, column in tables.view.logged.items()
        if column in signature and column not in chunk.layout.unseen
    }
    if not taken:
        return None
    values = {
        name: without(_array(chunk.rows[column]), chunk.is_defaulted(signature[column]))
        for name, column in taken.items()
    }
    status = integers(chunk.rows, status_column(next(iter(taken.values()))))
    status = np.where(status == NULL, PRESENT, status)
    return LoggedView(micros(chunk.rows, event_time_column(tables.view.name)), status, values)


def without(values: pa.Array, defaulted: NDArray[np.bool_]) -> pa.Array:
    """Return values, null where a default stands for one; of NaN as well."""
    import pyarrow.compute as pc

    values = as_logged(values, values.type)
    if not defaulted.any():
        return values
    return pc.if_else(pa.array(defaulted), pa.scalar(None, values.type), values)


def _array(column: pa.ChunkedArray) -> pa.Array:
    found = column.combine_chunks()
    found = found if isinstance(found, pa.Array) else pa.concat_arrays(found.chunks)
    return found.dictionary_decode() if pa.types.is_dictionary(found.type) else found


def compared(chunk: Chunk, tables: ViewTables, made: set[str]) -> ViewRows:
    """Compare the rows of a view.

    Args:
        chunk: The chunk.
        tables: The tables of the view.
        made: Which of the further tables there are.
    """
    logged, brought = logged_view(chunk, tables), as_brought(tables, chunk)
    faulty, premature = (np.zeros(len(chunk), dtype=np.bool_) for _ in range(2))
    special = np.full(len(chunk), Cause.NONE, dtype=np.int8)
    if logged is not None:
        brought = _in_time_of(logged, brought, chunk, tables)
        unlike = ~agree(logged, brought)
        rows = np.flatnonzero(unlike)
        if rows.size:
            brought, explained, special, premature = _explained(chunk, tables, logged, brought, rows, made)
            faulty = unlike & ~explained
    known = as_known(tables, chunk)
    cause, available = _causes(chunk, tables, brought, known, made)
    cause = np.where((cause != Cause.NONE) & (special != Cause.NONE), special, cause)
    return ViewRows(tables, logged, brought, known, cause, available, faulty, _in_doubt(chunk, tables), premature)


def _in_time_of(logged: LoggedView, brought: Joined, chunk: Chunk, tables: ViewTables) -> Joined:
    """Return rows whose use is judged by the time that the store has of them, which may be in whole seconds."""
    whole = (logged.time == brought.time - brought.time % _SECOND) & brought.is_there
    seen = np.where(whole, logged.time, brought.time)
    return replace(brought, usable=fresh(seen, chunk.now, tables.view.ttl))


def agree(logged: LoggedView, brought: Joined, rows: NDArray[np.intp] | None = None) -> NDArray[np.bool_]:
    """Return where the log, or some of its rows, has the row that was brought, and its values."""
    time, status = (one if rows is None else one[rows] for one in (logged.time, logged.status))
    expected = np.where(brought.usable, PRESENT, np.where(brought.is_there, OUTSIDE, NOT_FOUND))
    whole = np.where(brought.is_there, brought.time - brought.time % _SECOND, NONE)
    agreed = (status == expected) & ((time == brought.time) | (time == whole))
    for name, values in logged.values.items():
        ours = values if rows is None else values.take(pa.array(rows))
        agreed &= are_same(ours, as_logged(brought.used(name), ours.type))
    return np.asarray(agreed)


def _explained(  # noqa: PLR0913, PLR0917 - what a row is explained by
    chunk: Chunk, tables: ViewTables, logged: LoggedView, brought: Joined, rows: NDArray[np.intp], made: set[str]
) -> tuple[Joined, NDArray[np.bool_], NDArray[np.int8], NDArray[np.bool_]]:
    """Look what else may have been read where the log has another row than the one that was brought last."""
    special = np.full(len(chunk), Cause.NONE, dtype=np.int8)
    explained, premature = (np.zeros(len(chunk), dtype=np.bool_) for _ in range(2))
    if "others" + tables.name("") not in made:
        tables.make_others()
        made.add("others" + tables.name(""))
    unrecorded = _may_be_unrecorded(chunk, tables, logged, brought)
    places, found = others_of(
        tables,
        chunk,
        rows,
        late=(chunk.now + chunk.read_for)[rows],
        since=np.where(brought.is_there, brought.began, NONE)[rows],
        seen=logged.time[rows],
    )
    if places.size:
        found = replace(found, usable=_usable_like(logged, found, places, chunk, tables))
        fits, is_recorded = agree(logged, found, places), found.began != NEVER
        premature[places[fits & ~is_recorded & (found.created > chunk.now[places])]] = True
        fitting = np.flatnonzero(fits & (is_recorded | unrecorded[places]))
        _, first = np.unique(places[fitting], return_index=True)
        chosen = fitting[first]
        brought = brought.put(places[chosen], found.of(chosen))
        explained[places[chosen]] = True
        special[places[chosen]] = np.where(found.began[chosen] == NEVER, Cause.UNRECORDED, Cause.NONE)
    lost = (logged.status == NOT_FOUND) & brought.is_there & (brought.until != NEVER) & ~explained
    lost[np.setdiff1d(np.arange(len(chunk)), rows)] = False
    if lost.any():
        where = np.flatnonzero(lost)
        brought = brought.put(where, _nothing(brought.of(where)))
        explained |= lost
        special[lost] = Cause.EMPTIED
    return brought, explained, special, premature & ~explained


def _usable_like(
    logged: LoggedView, found: Joined, places: NDArray[np.intp], chunk: Chunk, tables: ViewTables
) -> NDArray[np.bool_]:
    whole = logged.time[places] == found.time - found.time % _SECOND
    seen = np.where(whole, logged.time[places], found.time)
    return fresh(seen, chunk.now[places], tables.view.ttl)


def _nothing(rows: Joined) -> Joined:
    none = np.full(len(rows.time), NONE, dtype=np.int64)
    return replace(rows, time=none, created=none, usable=np.zeros(len(none), dtype=np.bool_))


def _may_be_unrecorded(chunk: Chunk, tables: ViewTables, logged: LoggedView, brought: Joined) -> NDArray[np.bool_]:
    """Return which rows may have come by a way of which the ledger tells no rows: a push, or before it began."""
    history = tables.recorded
    possible = np.zeros(len(chunk), dtype=np.bool_)
    if not history.complete:
        possible |= ~brought.is_there | (not history.overwrites)
    for began, first, last in history.pushes():
        possible |= (chunk.now + chunk.read_for >= began) & (first <= logged.time + _SECOND) & (logged.time <= last)
    return np.asarray(possible & (logged.time != NONE))


def _causes(
    chunk: Chunk, tables: ViewTables, brought: Joined, known: Joined, made: set[str]
) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    read, now = (Times(one.time, one.created, one.usable) for one in (brought, known))
    then_time, then_created = known.time.copy(), known.created.copy()
    unlike = (brought.time != known.time) | (brought.created != known.created)
    later = np.flatnonzero(unlike & (known.created > chunk.now))
    if later.size:
        if "known" + tables.name("") not in made:
            tables.make_known()
            made.add("known" + tables.name(""))
        then_time[later], then_created[later] = known_then(tables, chunk, later)
    then = Times(then_time, then_created, known.usable)
    return causes_of(read, now, then, brought_up_to(chunk, tables), NONE), available_for(then, chunk.now)


def brought_up_to(chunk: Chunk, tables: ViewTables) -> NDArray[np.int64]:
    """Return the last event time that materializations had asked for that had ended when the rows were read."""
    entries = tables.recorded.table()
    settled = entries.filter(entries["settled"])
    ended, stop = np.asarray(settled["ended"].to_numpy()), np.asarray(settled["stop"].to_numpy())
    order = np.argsort(ended, kind="stable")
    up_to = np.concatenate([[NONE], np.maximum.accumulate(stop[order])])
    return np.asarray(up_to[np.searchsorted(ended[order], chunk.now, side="right")])


def _in_doubt(chunk: Chunk, tables: ViewTables) -> NDArray[np.bool_]:
    """Return which rows were read while a materialization went on, or may have been brought by one that was killed."""
    entries, doubt = tables.recorded.table(), np.zeros(len(chunk), dtype=np.bool_)
    late = chunk.now + chunk.read_for
    for began, ended in zip(entries["began"].to_pylist(), entries["ended"].to_pylist(), strict=True):
        if ended >= chunk.now.min(initial=NEVER) and began <= late.max(initial=NONE):
            doubt |= (began <= late) & (chunk.now <= ended)
    return doubt


__all__ = ["INVALID", "NOT_FOUND", "OUTSIDE", "PRESENT", "LoggedView", "ViewRows", "as_bool", "compared", "is_null"]
