"""What materializations brought to the online store: tables of DuckDB, made once of the sources and of the ledger.

Of a view there are its rows as they are known now (``now``), and what each recorded one wrote (``brought``):
of each key the latest row of its range, of those that were created by then. A row of the online store is that of the
last materialization that ended before the read and had one of its key.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driver_ranking.parity.sides import Sides, StoredView
from feast_columnar.offline.query import view_join
from feast_columnar.offline.rules import ViewJoin, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from feast_columnar.ledger.entries import Entry
    from feast_columnar.offline.engine import Engine

NONE: Final = np.iinfo(np.int64).min
"""Stands for a time that there is none of."""
NEVER: Final = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Recorded:
    """The recorded materializations of a view.

    Attributes:
        entries: In the order in which they began; those without an effect on what is compared are left out.
        overwrites: Whether a row takes the place of a newer one.
        complete: Whether they say all that may be in the store: it had nothing before the first of them, or nothing
            that is still there.
    """

    entries: "tuple[Entry, ...]"
    overwrites: bool
    complete: bool

    def table(self) -> pa.Table:
        """Return their times, in microseconds: ``until`` is when the store is next found to have lost its rows."""
        rows, until, segment = [], NEVER, 0
        for number, entry in reversed(list(enumerate(self.entries))):
            is_push, began = str(entry.kind) == "push", _micros(entry.began)
            if not is_push:
                ended = NEVER if entry.ended is None else _micros(entry.ended)
                settled = str(entry.outcome) == "finished"
                start, stop = _bound(entry.start, NONE), _bound(entry.end, NEVER)
                rows.append((number, start, stop, began, ended, until, segment, settled))
            if entry.store_was_empty:
                until, segment = began, segment + 1
        rows = _ending_apart(rows[::-1])
        names = ("seq", "start", "stop", "began", "ended", "until", "segment", "settled")
        columns = list(zip(*rows, strict=True)) or [() for _ in names]
        kinds = [pa.int64()] * 7 + [pa.bool_()]
        return pa.table([pa.array(one, kind) for one, kind in zip(columns, kinds, strict=True)], names=list(names))

    def pushes(self) -> NDArray[np.int64]:
        """Return of each push when it began, and the first and the last event time of its rows; int64 ``[n, 3]``."""
        found = [
            (
                _micros(one.began),
                _bound(one.brought.oldest_event_time, NONE),
                _bound(one.brought.newest_event_time, NEVER),
            )
            for one in self.entries
            if str(one.kind) == "push"
        ]
        return np.array(found, dtype=np.int64).reshape(-1, 3)


def _ending_apart(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return rows of materializations of which no two end at one moment: the later one counts."""
    seen: set[int] = set()
    apart = []
    for number, start, stop, began, ended, *more in rows:
        end = ended
        while end in seen and end != NEVER:
            end += 1
        seen.add(end)
        apart.append((number, start, stop, began, end, *more))
    return apart


def recorded(entries: "Sequence[Entry]", since: "datetime | None") -> Recorded:
    """Return the entries of a view that may matter to what was read from a time on.

    Those before one that covers all ranges before it, and had ended by then, have nothing in the store any more.
    """
    overwrites = not entries or entries[-1].store.overwrites is not False
    begin = 0
    if since is not None and overwrites:
        for number in range(len(entries)):
            if _covers(entries[number], entries[begin:number], since):
                begin = number
    complete = begin > 0 or (bool(entries) and entries[0].store_was_empty)
    return Recorded(tuple(entries[begin:]), overwrites, complete)


def _covers(entry: "Entry", before: "Sequence[Entry]", since: "datetime") -> bool:
    if str(entry.outcome) != "finished" or str(entry.kind) == "push" or entry.ended is None or entry.ended > since:
        return False
    if entry.start is None or entry.end is None:
        return False
    return all(
        str(one.kind) != "push"
        and one.start is not None
        and one.end is not None
        and entry.start <= one.start
        and one.end <= entry.end
        and one.ended is not None
        and one.ended <= entry.began
        for one in before
    )


def _micros(time: "datetime") -> int:
    from feast_columnar.online.moments import EPOCH, MICROSECOND

    return (time - EPOCH) // MICROSECOND


def _bound(time: "datetime | None", open_end: int) -> int:
    return open_end if time is None else _micros(time)


@dataclass
class Recent:
    """For which span of time a table of recent rows was made.

    Attributes:
        times: int64 ``[m]``, sorted: when rows begin to count, in all of the table that it is made from.
        first: The first moment; after the last one as long as none is made.
        last: The last moment.
        is_flat: Whether each key has one row, so that it goes on to hold until the next one begins to count.
    """

    times: NDArray[np.int64]
    first: int = NEVER
    last: int = NONE
    is_flat: bool = False

    def changes(self, after: int, last: int) -> bool:
        """Return whether any row begins to count after a moment, up to another."""
        begin, end = np.searchsorted(self.times, [after, last], side="right")
        return bool(begin < end)


@dataclass(frozen=True)
class ViewTables:
    """The tables of a view.

    Attributes:
        engine: Where they are.
        number: What tells them from those of other views.
        view: The view.
        join: How its rows are joined.
        recorded: Its materializations.
        recent: What `make_recent` has made, by table.
    """

    engine: "Engine"
    number: int
    view: StoredView
    join: ViewJoin
    recorded: Recorded
    recent: "dict[str, Recent]" = field(default_factory=dict)

    @property
    def features(self) -> tuple[str, ...]:
        """Return the names of the joined features, which are the columns f0, f1, ... of the tables."""
        return tuple(feature.output for feature in self.join.features)

    @property
    def keys(self) -> str:
        """Return the columns of the keys, with a comma after each."""
        return "".join(f"k{place}, " for place, _ in enumerate(self.join.keys))

    @property
    def values(self) -> str:
        """Return the columns of the features, with a comma before each."""
        return "".join(f", f{place}" for place, _ in enumerate(self.join.features))

    @property
    def has_created(self) -> bool:
        """Return whether it can be told when a row was written."""
        return self.join.created is not None

    def name(self, what: str) -> str:
        """Return the name of one of its tables."""
        return f"{what}_{self.number}"

    def make(self) -> None:
        """Make those that are always needed."""
        self._make_source()
        keys, order = self.keys, self._last_first
        self._create(
            "now",
            f"SELECT {keys}t, c{self.values} FROM {self.name('source')} "
            f"QUALIFY row_number() OVER (PARTITION BY {keys}t ORDER BY {order}) = 1",
        )
        self.engine.register(self.recorded.table(), self.name("entries"))
        self._create("brought", self._brought_sql("e.began"))
        kind = "VIEW" if self.recorded.overwrites else "TABLE"
        self.engine.execute(f"CREATE OR REPLACE TEMP {kind} {self.name('settled')} AS {self._settled_sql()}")

    def make_known(self) -> None:
        """Make what was the latest row of each key, as known at a time: of those times at which that changes."""
        moment = "greatest(t, coalesce(c, t))"
        latest = (
            f"max(struct_pack(t := t, c := coalesce(c, {NONE + 1}))) OVER "
            f"({self._partition()}ORDER BY {moment}, t, c ROWS UNBOUNDED PRECEDING)"
        )
        self._create(
            "known",
            f"SELECT {self.keys}a, l.t AS t, l.c AS c FROM (SELECT {self.keys}{moment} AS a, {latest} AS l "
            f"FROM {self.name('source')}) "
            f"QUALIFY row_number() OVER (PARTITION BY {self.keys}a ORDER BY l DESC) = 1",
        )

    def make_others(self) -> None:
        """Make what a materialization may have brought of rows that were created while it went on."""
        self._create("others", self._brought_sql("e.ended") if self.has_created else f"FROM {self.name('brought')}")

    def make_recent(self, what: str, by: str, first: int, last: int) -> bool:
        """Make the rows of a table that count for a span of time, and return whether any begins to count within it.

        They are of each key the last one that counts at the beginning, and those that begin to count later. A join with
        all rows would sort them again for each chunk.

        Args:
            what: The table.
            by: Its column of times from which on rows count.
            first: The first moment.
            last: The last moment.
        """
        if what not in self.recent:
            times = self.engine.execute(f"SELECT DISTINCT {by} AS time FROM {self.name(what)}").to_arrow_table()["time"]
            self.recent[what] = Recent(np.sort(np.asarray(times.drop_null().to_numpy())))
        recent = self.recent[what]
        changes = recent.changes(first, last)
        if not (recent.is_flat and recent.first <= first and not recent.changes(recent.first, last)):
            goes_on = recent.first <= first and not recent.changes(recent.last, first)
            self._make_recent(what, by, (first, last), goes_on=goes_on)
            recent.first, recent.last, recent.is_flat = first, last, not changes
        return changes

    def _make_recent(self, what: str, by: str, span: tuple[int, int], *, goes_on: bool) -> None:
        (first, last), table = span, self.name(what)
        old, new = self.name(f"recent_{what}"), self.name(f"next_{what}")
        latest = f"row_number() OVER ({self._partition()}ORDER BY {by} DESC) = 1"
        self._create(
            f"next_{what}",
            f"SELECT * FROM (SELECT * FROM {old if goes_on else table} WHERE {by} <= {first} QUALIFY {latest}) "
            f"UNION ALL SELECT * FROM {table} WHERE {by} > {first} AND {by} <= {last}",
        )
        self.engine.execute(f"DROP TABLE IF EXISTS {old}")
        self.engine.execute(f"ALTER TABLE {new} RENAME TO {old}")

    def _make_source(self) -> None:
        join = self.join
        created = "NULL::BIGINT" if join.created is None else f"epoch_us({quoted(join.created)})"
        columns = [
            *(f"{quoted(key.source)} AS k{place}" for place, key in enumerate(join.keys)),
            f"epoch_us({quoted(join.event_time)}) AS t",
            f"{created} AS c",
            *(f"{quoted(name)} AS o{place}" for place, name in enumerate(join.source_order)),
            *(f"{quoted(one.source)} AS f{place}" for place, one in enumerate(join.features)),
        ]
        needed = [join.event_time, *(key.source for key in join.keys)]
        present = " AND ".join(f"{quoted(column)} IS NOT NULL" for column in needed)
        self._create("source", f"SELECT {', '.join(columns)} FROM {join.relation} WHERE {present}")

    @property
    def _last_first(self) -> str:
        order = ", ".join(f"o{place} DESC" for place, _ in enumerate(self.join.source_order))
        return f"c DESC NULLS LAST, {order}"

    def _partition(self, *more: str) -> str:
        columns = [*(f"k{place}" for place, _ in enumerate(self.join.keys)), *more]
        return f"PARTITION BY {', '.join(columns)} " if columns else ""

    def _brought_sql(self, known: str) -> str:
        return (
            f"SELECT seq, began, ended, until, segment, settled, {self.keys}t, c{self.values} "
            f"FROM {self.name('source')} AS s JOIN {self.name('entries')} AS e "
            f"ON s.t >= e.start AND s.t <= e.stop AND coalesce(s.c, {NONE + 1}) <= {known} "
            f"QUALIFY row_number() OVER ({self._partition('seq')}ORDER BY t DESC, {self._last_first}) = 1"
        )

    def _settled_sql(self) -> str:
        """Return what is in the store from the end of a materialization on."""
        rows = f"FROM {self.name('brought')} WHERE settled"
        if self.recorded.overwrites:
            return rows
        before = (
            f"max(t) OVER ({self._partition('segment')}ORDER BY ended, seq ROWS BETWEEN UNBOUNDED PRECEDING AND "
            "1 PRECEDING)"
        )
        return f"FROM ({rows}) QUALIFY t > coalesce({before}, {NONE})"

    def _create(self, what: str, sql: str) -> None:
        self.engine.execute(f"CREATE OR REPLACE TEMP TABLE {self.name(what)} AS {sql}")


def tables_of(engine: "Engine", sides: Sides, history: dict[str, Recorded]) -> tuple[ViewTables, ...]:
    """Make the tables of all views of a service.

    Args:
        engine: Where to.
        sides: What is joined.
        history: The recorded materializations by the names of views in the feature repo.

    Raises:
        AsofError: A source can't be read.
    """
    made = []
    for number, view in enumerate(sides.stored):
        relation = sides.retrieval.source_rows(engine, view.request.source)
        join, _ = view_join(engine, view.request, relation)
        tables = ViewTables(engine, number, view, join, history[view.base])
        tables.make()
        made.append(tables)
    return tuple(made)
