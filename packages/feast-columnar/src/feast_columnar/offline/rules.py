"""The SQL of a point-in-time join, apart from where the rows come from.

Everything here is a pure function from names to a DuckDB statement: no file, no connection, no Feast. A local engine
runs the statement over whole files; a distributed one can run the same statement per partition, as long as all rows of
a join key are in the same partition.

The rules:

- A feature row is eligible for an entity row if it has the same join keys, its event time is not after the entity row's
  and, where the view has a ttl, not older than the ttl. Both edges are inclusive. Times are compared in whole
  microseconds.
- Among eligible rows the latest event time wins; among equal event times the latest ``created``, where none loses
  against any; among equal ``created`` the last row in the order of the source (``ViewJoin.source_order``).
- With ``filter_by_created`` only rows with ``created`` not after the entity row's event time are eligible, and a row
  without ``created`` never is. A view without a ``created`` column is not affected.
- As known at a moment, only rows with ``created`` not after that moment exist; of a row without ``created`` it can't be
  told, and it is refused.
- A null in a key or an event time matches nothing. Every entity row comes back exactly once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_ENDLESS = 2**62  # microseconds: older than any time, and far enough from the end of BIGINT to subtract

ISO_TIME = r"\s*\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?)?\s*([Zz]|[+-]\d{2}(:?\d{2})?)?\s*"
"""The regular expression of times that are read from text: what else DuckDB takes for one, it guesses."""


@dataclass(frozen=True)
class EntityRows:
    """The rows to which features are joined.

    Attributes:
        relation: A table expression: a quoted name or a query in parentheses.
        columns: All columns to keep, in order.
        event_time: The column with the event time, of a timestamp type; naive ones are taken as UTC.
        order: Columns of the relation that give the rows their order. The result has that order; empty: any order.
    """

    relation: str
    columns: tuple[str, ...]
    event_time: str
    order: tuple[str, ...] = ()


@dataclass(frozen=True)
class JoinKey:
    """One pair of columns that must be equal.

    Attributes:
        source: The column of the feature rows.
        entity: The column of the entity rows.
        whole: Which of both, ``source`` or ``entity``, has floating point that is compared with whole numbers as such:
            above 2^53, different ones are equal in floating point.
    """

    source: str
    entity: str
    whole: str = ""


@dataclass(frozen=True)
class Feature:
    """One feature to bring over: its column in the source, its name and its place among all features in the result."""

    source: str
    output: str
    position: int = 0


@dataclass(frozen=True)
class ViewJoin:
    """How the rows of one feature view are joined.

    Attributes:
        relation: A table expression: a quoted name or a query in parentheses.
        keys: The join keys; none for a view without entities, whose latest row goes to every entity row.
        event_time: The column with the event time, of a timestamp type; naive ones are taken as UTC.
        features: The columns to bring over.
        source_order: Columns that number the rows of the relation uniquely; the last of fully tied rows wins.
        created: The column that says when a row was written, of a timestamp type.
        ttl: How old a feature row may be; None or zero: any age.
    """

    relation: str
    keys: tuple[JoinKey, ...]
    event_time: str
    features: tuple[Feature, ...]
    source_order: tuple[str, ...]
    created: str | None = None
    ttl: timedelta | None = None

    def __post_init__(self) -> None:
        """Refuse a view whose ties could not be broken.

        Raises:
            ValueError: If no column numbers the rows.
        """
        if not self.source_order:
            message = "source_order is empty: name the columns that number the rows of the relation"
            raise ValueError(message)


@dataclass(frozen=True)
class Extract:
    """Rows of one source, as they are: what materialization reads.

    Attributes:
        relation: A table expression: a quoted name or a query in parentheses.
        keys: The columns that make an entity.
        columns: The columns to read, in order.
        event_time: The column with the event time, of a timestamp type.
        source_order: Columns that number the rows of the relation uniquely.
        created: The column that says when a row was written, of a timestamp type.
        start: The earliest event time, inclusive; a naive one is taken as UTC.
        end: The latest event time, inclusive; a naive one is taken as UTC.
        constants: Columns to add that hold one text each, as pairs of name and text.
    """

    relation: str
    keys: tuple[str, ...]
    columns: tuple[str, ...]
    event_time: str
    source_order: tuple[str, ...]
    created: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    constants: tuple[tuple[str, str], ...] = ()


def quoted(name: str) -> str:
    """Return an SQL identifier that stands for exactly this name."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return an SQL string literal that stands for exactly this text."""
    return "'" + text.replace("'", "''") + "'"


def instant(moment: datetime) -> str:
    """Return an SQL literal for a moment, to be compared with any timestamp column; a naive one is taken as UTC."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return literal(aware.isoformat(sep=" ", timespec="microseconds"))


def within(column: str, start: datetime | None, end: datetime | None) -> str:
    """Return the SQL condition that a timestamp column is in a range, both ends inclusive and both optional."""
    # Plain comparisons with constants, so that row groups outside the range are never read. The ends of the calendar
    # are no bounds at all: columns of nanoseconds can't be compared with them.
    bounds = [f"{quoted(column)} >= {instant(start)}"] if start and start.year > MINYEAR else []
    bounds += [f"{quoted(column)} <= {instant(end)}"] if end and end.year < MAXYEAR else []
    return " AND ".join(bounds) or "TRUE"


def known_sql(relation: str, created: str, moment: datetime, what: str) -> str:
    """Return the table expression of the rows that had been written by a moment.

    Args:
        relation: A table expression: a quoted name or a query in parentheses.
        created: The column that says when a row was written, of a timestamp type.
        moment: The moment; a naive one is taken as UTC.
        what: Names the rows in the error that the statement ends with if there is one without ``created``.
    """
    untold = f"{what}: a row has no value in '{created}', so that it can't be told whether it was known by {moment}"
    micros = f"epoch_us(TIMESTAMPTZ {instant(moment)})"
    return (
        f"(SELECT * FROM {relation} WHERE CASE WHEN {quoted(created)} IS NULL THEN error({literal(untold)}) "
        f"ELSE {_microseconds(created)} <= {micros} END)"
    )


def point_in_time_sql(entities: EntityRows, views: Sequence[ViewJoin], *, filter_by_created: bool = False) -> str:
    """Return the statement that joins each entity row to the feature rows that were valid at its event time.

    The result has the columns of the entity rows as they are, but for the event time, which comes as TIMESTAMPTZ, then
    the features by their position.

    Args:
        entities: The entity rows.
        views: The feature views to join.
        filter_by_created: Whether rows written after the entity row's event time are out.

    Returns:
        One DuckDB SELECT statement, to be run with ``TimeZone`` UTC.
    """
    tables = [_entity_table(entities)]
    joins = ["entity AS e"]
    for number, view in enumerate(views):
        late = filter_by_created and view.created is not None
        tables += _feature_tables(number, view, late=late)
        joins.append(_join(number, view, entities.columns, late=late))
    order = f"\nORDER BY {_listed('e.o', entities.order)}" if entities.order else ""
    return (
        "WITH "
        + ",\n".join(tables)
        + f"\nSELECT {', '.join(_outputs(entities, views))}\nFROM "
        + "\n".join(joins)
        + order
    )


def all_rows_sql(extract: Extract, *, in_order: bool = False) -> str:
    """Return the statement that reads all rows of a source in a range of event times.

    Args:
        extract: What to read.
        in_order: Whether the rows come in the order of the source. Else rows without a key come with the latest one
            last, as who writes them one after the other has to leave that one.
    """
    order = list(map(quoted, extract.source_order)) if in_order else []
    if extract.constants and not in_order:
        times = [_microseconds(extract.event_time), f"{_microseconds(extract.created)} NULLS FIRST"]
        order = [*times, *map(quoted, extract.source_order)]
    sorting = f"\nORDER BY {', '.join(order)}" if order else ""
    return (
        f"SELECT {', '.join(_extracted(extract, map(quoted, extract.columns)))}\nFROM {extract.relation}\n"
        f"WHERE {within(extract.event_time, extract.start, extract.end)}{sorting}"
    )


def latest_rows_sql(extract: Extract, *, in_order: bool = False) -> str:
    """Return the statement that reads the latest row of each entity in a range of event times.

    Ties are broken as in the point-in-time join. Rows whose key is null count as one entity.

    Args:
        extract: What to read.
        in_order: Whether the rows come in the order of the source.
    """
    keys = _listed("k", extract.keys)
    partition = f"PARTITION BY {_listed('s.k', extract.keys)} " if keys else ""
    grouping = f" GROUP BY {keys}" if keys else ""
    equal = " AND ".join(
        [*(f"s.k{i} IS NOT DISTINCT FROM l.k{i}" for i in range(len(extract.keys))), "s.t = l.t"],
    )
    order = f"\nORDER BY {_listed('s.o', extract.source_order)}" if in_order else ""
    outputs = _extracted(extract, (f"s.f{i} AS {quoted(name)}" for i, name in enumerate(extract.columns)))
    return (
        f"WITH source AS NOT MATERIALIZED (SELECT {', '.join(_extract_columns(extract))} FROM {extract.relation} "
        f"WHERE {within(extract.event_time, extract.start, extract.end)}),\n"
        # One number per entity first, so that only the rows at an entity's last event time are ever sorted.
        f"latest AS MATERIALIZED (SELECT {', '.join(filter(None, [keys, 'max(t) AS t']))} FROM source{grouping})\n"
        f"SELECT {', '.join(outputs)}\nFROM source AS s JOIN latest AS l ON {equal}\n"
        f"QUALIFY row_number() OVER ({partition}ORDER BY {_winner_first('s.', extract.source_order)}) = 1{order}"
    )


def _listed(prefix: str, names: Iterable[object], suffix: str = "") -> str:
    return ", ".join(f"{prefix}{i}{suffix}" for i, _ in enumerate(names))


def _aliased(prefix: str, names: Iterable[str]) -> list[str]:
    return [f"{quoted(name)} AS {prefix}{i}" for i, name in enumerate(names)]


def _microseconds(column: str | None) -> str:
    # epoch_us reads naive and aware columns of any unit alike, whatever the time zone of the session.
    return "NULL::BIGINT" if column is None else f"epoch_us({quoted(column)})"


def _winner_first(prefix: str, source_order: Sequence[str]) -> str:
    return f"{prefix}c DESC NULLS LAST, {_listed(f'{prefix}o', source_order, ' DESC')}"


def _extract_columns(extract: Extract) -> list[str]:
    return [
        *_aliased("k", extract.keys),
        f"{_microseconds(extract.event_time)} AS t",
        f"{_microseconds(extract.created)} AS c",
        *_aliased("o", extract.source_order),
        *_aliased("f", extract.columns),
    ]


def _extracted(extract: Extract, columns: Iterable[str]) -> list[str]:
    return [*columns, *(f"{literal(text)} AS {quoted(name)}" for name, text in extract.constants)]


def _entity_table(entities: EntityRows) -> str:
    columns = [
        *_aliased("c", entities.columns),
        f"{_microseconds(entities.event_time)} AS t",
        *_aliased("o", entities.order),
    ]
    return f"entity AS NOT MATERIALIZED (SELECT {', '.join(columns)} FROM {entities.relation})"


def _outputs(entities: EntityRows, views: Sequence[ViewJoin]) -> list[str]:
    kept = [
        # Made from the number that is joined on, so that the rows don't carry the same time twice.
        f"{'make_timestamptz(e.t)' if name == entities.event_time else f'e.c{i}'} AS {quoted(name)}"
        for i, name in enumerate(entities.columns)
    ]
    features = [
        (feature.position, f"{_valid(number, i, view)} AS {quoted(feature.output)}")
        for number, view in enumerate(views)
        for i, feature in enumerate(view.features)
    ]
    return kept + [sql for _, sql in sorted(features, key=lambda feature: feature[0])]


def _valid(number: int, feature: int, view: ViewJoin) -> str:
    value = f"v{number}.f{feature}"
    ttl = view.ttl // timedelta(microseconds=1) if view.ttl else 0
    if not 0 < ttl < _ENDLESS:
        # DuckDB 1.5 joins an entity row without a time to the last feature row.
        return f"CASE WHEN e.t IS NOT NULL THEN {value} END"
    # The row with the latest event time is the only one to judge: if it is too old, all are.
    return f"CASE WHEN e.t - v{number}.t <= {ttl} THEN {value} END"


def _join(number: int, view: ViewJoin, entity_columns: Sequence[str], *, late: bool) -> str:
    conditions = [
        " = ".join(
            _whole(column) if key.whole == side else column
            for side, column in (("entity", f"e.c{entity_columns.index(key.entity)}"), ("source", f"v{number}.k{i}"))
        )
        for i, key in enumerate(view.keys)
    ]
    conditions.append(f"e.t >= v{number}.{'a' if late else 't'}")
    return f"ASOF LEFT JOIN feature_{number} AS v{number} ON {' AND '.join(conditions)}"


def _whole(column: str) -> str:
    """Return the whole number that is exactly a floating-point value, null where there is none."""
    return f"CASE WHEN {column} = trunc({column}) THEN TRY_CAST({column} AS HUGEINT) END"


def _feature_tables(number: int, view: ViewJoin, *, late: bool) -> list[str]:
    columns = [
        *_aliased("k", (key.source for key in view.keys)),
        f"{_microseconds(view.event_time)} AS t",
        f"{_microseconds(view.created)} AS c",
        *_aliased("o", view.source_order),
        *_aliased("f", (feature.source for feature in view.features)),
    ]
    needed = [view.event_time, *(key.source for key in view.keys)]
    present = " AND ".join(f"{quoted(column)} IS NOT NULL" for column in needed)
    source = f"SELECT {', '.join(columns)} FROM {view.relation} WHERE {present}"
    rest = [_available(number, view)] if late else _untied(number, view)
    return [f"source_{number} AS NOT MATERIALIZED ({source})", *rest]


def _untied(number: int, view: ViewJoin) -> list[str]:
    """Leave out the rows that lose a tie.

    Ties are rare and sorting all rows to find them costs more than the join. So a hash of key and time is counted
    first, which is cheap and needs little memory; only rows whose hash occurs twice are sorted. Two keys of one hash do
    no harm: the sort tells them apart.
    """
    moment = ", ".join([*(f"k{i}" for i, _ in enumerate(view.keys)), "t"])
    same = " AND ".join(f"s.o{i} = b.o{i}" for i, _ in enumerate(view.source_order))
    tied = f"SELECT hash({moment}) AS h FROM source_{number} GROUP BY h HAVING count(*) > 1"
    beaten = (
        f"SELECT {_listed('o', view.source_order)} FROM source_{number} "
        f"WHERE hash({moment}) IN (SELECT h FROM tied_{number}) "
        f"QUALIFY row_number() OVER (PARTITION BY {moment} ORDER BY {_winner_first('', view.source_order)}) > 1"
    )
    rest = f"SELECT s.* FROM source_{number} AS s ANTI JOIN beaten_{number} AS b ON {same}"
    return [
        f"tied_{number} AS MATERIALIZED ({tied})",
        f"beaten_{number} AS MATERIALIZED ({beaten})",
        f"feature_{number} AS NOT MATERIALIZED ({rest})",
    ]


def _available(number: int, view: ViewJoin) -> str:
    """Keep the rows that are the best known ones from the moment they are known.

    A row is known from ``a``, the later of its event time and ``created``. In the order of ``a``, a row with an earlier
    event time than one before it is never the answer again; the rest have rising event times, so that the last of them
    known at a moment is the answer for that moment. Of rows known at the same moment only the last can be.
    """
    partition = f"PARTITION BY {_listed('k', view.keys)} " if view.keys else ""
    rows = f"{partition}ORDER BY a, t, c, {_listed('o', view.source_order)}"
    return (
        f"feature_{number} AS NOT MATERIALIZED (SELECT *, greatest(t, c) AS a FROM source_{number} WHERE c IS NOT NULL "
        f"WINDOW known AS ({rows}), so_far AS ({rows} ROWS UNBOUNDED PRECEDING) "
        f"QUALIFY t = max(t) OVER so_far AND lead(a) OVER known IS DISTINCT FROM a)"
    )
