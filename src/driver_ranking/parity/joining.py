"""Joins the rows of a chunk to the tables of a view: as the online store had them, and as they are known now."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driver_ranking.parity.answers import Chunk
from driver_ranking.parity.brought import NEVER, NONE, ViewTables
from feast_columnar.freshness import is_fresh
from feast_columnar.offline.rules import quoted

_ROW = "row_of_the_chunk"
_ASKED = "asked"


@dataclass(frozen=True)
class Joined:
    """The row of a view for each of n rows that ask for one.

    Attributes:
        time: int64 ``[n]``, its event time in microseconds; `NONE` where there is no row.
        created: int64 ``[n]``, when it was written; `NONE` where that is not known.
        usable: bool ``[n]``, whether there is one that is young enough, and not of the future.
        features: Its values by the names of joined features, also of a row that is not usable.
        until: int64 ``[n]``, when the store is next found to have lost its rows; `NEVER` of rows that are known now.
        began: int64 ``[n]``, when the materialization that it came from began; likewise.
    """

    time: NDArray[np.int64]
    created: NDArray[np.int64]
    usable: NDArray[np.bool_]
    features: Mapping[str, pa.Array]
    until: NDArray[np.int64]
    began: NDArray[np.int64]

    @property
    def is_there(self) -> NDArray[np.bool_]:
        """Return where there is a row."""
        return np.asarray(self.time != NONE)

    def of(self, rows: NDArray[Any]) -> "Joined":
        """Return some of the rows, by indices."""
        taken = pa.array(rows)
        return Joined(
            self.time[rows],
            self.created[rows],
            self.usable[rows],
            {name: values.take(taken) for name, values in self.features.items()},
            self.until[rows],
            self.began[rows],
        )

    def used(self, name: str) -> pa.Array:
        """Return the values of a feature, null where the row is not usable."""
        values = self.features[name]
        return pc.if_else(pa.array(self.usable), values, pa.scalar(None, values.type))

    def put(self, rows: NDArray[np.intp], others: "Joined") -> "Joined":
        """Return the rows with others in the place of some."""
        mask = np.zeros(len(self.time), dtype=np.bool_)
        mask[rows] = True
        places = np.cumsum(mask) - 1
        taken = pa.array(np.where(mask, len(self.time) + places, np.arange(len(self.time))))
        features = {
            name: pa.concat_arrays([values, others.features[name]]).take(taken)
            for name, values in self.features.items()
        }
        columns = {}
        for name in ("time", "created", "usable", "until", "began"):
            columns[name] = getattr(self, name).copy()
            columns[name][rows] = getattr(others, name)
        return replace(self, features=features, **columns)


def fresh(time: NDArray[np.int64], now: NDArray[np.int64], ttl: int | None) -> NDArray[np.bool_]:
    """Return which rows are used at the times of the reads."""
    return np.asarray((time != NONE) & is_fresh(np.where(time == NONE, now, time), now, ttl))


def ask(tables: ViewTables, chunk: Chunk, rows: NDArray[np.intp] | None = None, **columns: NDArray[np.int64]) -> None:
    """Have DuckDB know the rows of a chunk, or some of them, by the keys of a view.

    Args:
        tables: The tables of the view.
        chunk: The chunk.
        rows: Which rows; all if not given.
        columns: More columns, of these rows.
    """
    now = chunk.now if rows is None else chunk.now[rows]
    made = {_ROW: np.arange(len(now)), "now": now, **columns}
    keys = {f"e{place}": chunk.rows[key.entity] for place, key in enumerate(tables.join.keys)}
    if rows is not None:
        keys = {name: column.take(pa.array(rows)) for name, column in keys.items()}
    tables.engine.register(pa.table({**{name: pa.array(one) for name, one in made.items()}, **keys}), _ASKED)


def as_brought(tables: ViewTables, chunk: Chunk) -> Joined:
    """Return the rows that the online store had when the chunk's rows were read, if only what is recorded was done."""
    ask(tables, chunk)
    found = _asof(tables, "settled", "ended", chunk, "b.until, b.began")
    gone = chunk.now >= found.until
    time = np.where(gone, NONE, found.time)
    return replace(found, time=time, usable=fresh(time, chunk.now, tables.view.ttl))


def as_known(tables: ViewTables, chunk: Chunk) -> Joined:
    """Return the rows as of the reads, by all that is known now."""
    ask(tables, chunk)
    found = _asof(tables, "now", "t", chunk, f"{NEVER} AS until, {NEVER} AS began")
    return replace(found, usable=fresh(found.time, chunk.now, tables.view.ttl))


def known_then(tables: ViewTables, chunk: Chunk, rows: NDArray[np.intp]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the event times and the times of writing of the latest rows that had been written when some were read."""
    tables.make_recent("known", "a", int(chunk.now.min()), int(chunk.now.max()))
    ask(tables, chunk, rows)
    sql = (
        f"SELECT r.{_ROW}, b.t, b.c FROM {_ASKED} AS r "
        f"ASOF LEFT JOIN {tables.name('recent_known')} AS b ON {_on(tables)}r.now >= b.a"
    )
    table = _in_order(tables.engine.execute(sql).to_arrow_table(), len(rows))
    created = _times(table["c"])
    return _times(table["t"]), np.where(created == NONE + 1, NONE, created)


def others_of(
    tables: ViewTables, chunk: Chunk, rows: NDArray[np.intp], **columns: NDArray[np.int64]
) -> tuple[NDArray[np.intp], Joined]:
    """Return what else the online store may have had when some rows were read.

    That is what a materialization wrote that went on meanwhile, or was killed or failed, and what was created while one
    went on; and of rows that may have come by a way that is not recorded, the source's row of that event time.

    Args:
        tables: The tables of the view.
        chunk: The chunk.
        rows: Which rows.
        **columns: Of these rows: ``late``, until when they were read, ``since``, when the materialization began that
            they should have come from, and ``seen``, the event time that they must have; `NONE` for no such row.

    Returns:
        Which of the rows, and what for each.
    """
    ask(tables, chunk, rows, **columns)
    values = "".join(f", b.f{place}" for place, _ in enumerate(tables.features))
    keys = _on(tables)
    written = " UNION ALL ".join(
        f"SELECT r.{_ROW}, b.t, b.c, b.until, b.began{values} FROM {_ASKED} AS r JOIN {tables.name(what)} AS b "
        f"ON {keys}b.began <= r.late AND b.ended >= r.since AND b.until > r.now"
        for what in ("brought", "others")
    )
    unrecorded = (
        f"SELECT r.{_ROW}, b.t, b.c, {NEVER} AS until, {NEVER} AS began{values} FROM {_ASKED} AS r "
        f"JOIN {tables.name('source')} AS b ON {keys}r.seen = {_whole_seconds('b.t', 'r.seen')} "
        f"WHERE r.seen != {NONE}"
    )
    table = tables.engine.execute(f"{written} UNION ALL {unrecorded}").to_arrow_table()
    found = joined(table, tables)
    places = rows[np.asarray(table[_ROW].to_numpy())] if len(found.time) else np.zeros(0, dtype=np.intp)
    return places, replace(found, usable=fresh(found.time, chunk.now[places], tables.view.ttl))


def _whole_seconds(time: str, seen: str) -> str:
    """Return a time as a store keeps it that the other one is from: in microseconds, or in whole seconds."""
    return f"(CASE WHEN {seen} % 1000000 = 0 THEN {time} - ({time} % 1000000) ELSE {time} END)"


def _asof(tables: ViewTables, what: str, by: str, chunk: Chunk, more: str) -> Joined:
    changes = tables.make_recent(what, by, int(chunk.now.min()), int(chunk.now.max()))
    # where each key has one row for all of the chunk, a plain join does: it sorts nothing
    join, condition = ("ASOF LEFT JOIN", f"r.now >= b.{by}") if changes else ("LEFT JOIN", "TRUE")
    values = "".join(f", b.f{place}" for place, _ in enumerate(tables.features))
    sql = (
        f"SELECT r.{_ROW}, b.t, b.c, {more}{values} FROM {_ASKED} AS r "
        f"{join} {tables.name(f'recent_{what}')} AS b ON {_on(tables)}{condition}"
    )
    return joined(_in_order(tables.engine.execute(sql).to_arrow_table(), len(chunk)), tables)


def joined(table: pa.Table, tables: ViewTables) -> Joined:
    """Return rows of a result as what is joined; whether they are usable is not known yet."""
    time = _times(table["t"])
    features = {name: _whole(table[f"f{place}"]) for place, name in enumerate(tables.features)}
    until, began = (_times(table[name], NEVER) for name in ("until", "began"))
    return Joined(time, _times(table["c"]), time != NONE, features, until, began)


def _on(tables: ViewTables) -> str:
    return "".join(f"r.{quoted(f'e{place}')} = b.k{place} AND " for place, _ in enumerate(tables.join.keys))


def _in_order(table: pa.Table, count: int) -> pa.Table:
    """Return the rows in the order of the chunk; DuckDB gives them in any."""
    rows = np.asarray(table[_ROW].to_numpy())
    if count and not np.array_equal(rows, np.arange(count)):
        order = np.empty(count, dtype=np.int64)
        order[rows] = np.arange(count)
        table = table.take(pa.array(order))
    return table


def _whole(column: pa.ChunkedArray) -> pa.Array:
    found = column.combine_chunks()
    return found if isinstance(found, pa.Array) else pa.concat_arrays(found.chunks)


def _times(column: pa.ChunkedArray, none: int = NONE) -> NDArray[np.int64]:
    return np.asarray(pc.fill_null(column.cast(pa.int64()), none).to_numpy())
