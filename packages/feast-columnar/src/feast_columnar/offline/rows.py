"""What rows must have so that they can be joined: times that are times, names that are told apart, keys of one kind."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from feast_columnar.errors import AsofError
from feast_columnar.offline.messages import shown
from feast_columnar.offline.rules import ISO_TIME, literal, quoted
from feast_columnar.offline.text_files import TextFileError, require_few

if TYPE_CHECKING:
    from collections.abc import Iterable

    from feast_columnar.offline.engine import Engine, Relation
    from feast_columnar.offline.rules import JoinKey

_NUMBERS = {
    "whole": re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?"),
    "floating point": re.compile("FLOAT|DOUBLE"),
    "decimal": re.compile(r"DECIMAL\(.*\)"),
}


def with_instants(engine: Engine, relation: Relation, names: Iterable[str]) -> Relation:
    """Make timestamps of time columns that are given as text or date.

    Raises:
        AsofError: A column holds no times.
    """
    casts = {}
    for name in names:
        kind = relation.columns[name]
        if kind == "VARCHAR":
            require_times(engine, relation, name)
            casts[name] = "TIMESTAMP WITH TIME ZONE"
        elif kind == "DATE":
            casts[name] = "TIMESTAMP"
        elif not kind.startswith("TIMESTAMP"):
            message = f"{relation.what}: column '{name}' holds {kind}, not a time; make it a timestamp"
            raise AsofError(message)
    if not casts:
        return relation
    replaced = ", ".join(f"CAST({quoted(name)} AS {kind}) AS {quoted(name)}" for name, kind in casts.items())
    sql = f"(SELECT * REPLACE ({replaced}) FROM {relation.sql})"
    return replace(relation, sql=sql, columns=relation.columns | casts)


def require_times(engine: Engine, relation: Relation, name: str) -> None:
    """Refuse a text column with a value that is not a time in ISO 8601.

    Raises:
        AsofError: It has one.
    """
    column = quoted(name)
    iso = f"regexp_full_match({column}, {literal(ISO_TIME)})"
    bad = engine.execute(
        f"SELECT {column} FROM {relation.sql} "
        f"WHERE {column} IS NOT NULL AND (TRY_CAST({column} AS TIMESTAMPTZ) IS NULL OR NOT {iso}) LIMIT 1",
    ).fetchone()
    if bad:
        message = (
            f"{relation.what}: '{shown(bad[0])}' in column '{name}' is not a time; write 2026-01-31T12:00:00+00:00"
        )
        raise AsofError(message)


def comparable(rows: Relation, source: Relation, key: JoinKey) -> JoinKey:
    """Return how a join key is compared, or refuse types that can't be.

    Raises:
        AsofError: They can't be.
    """
    ours, theirs = rows.columns[key.entity], source.columns[key.source]
    kinds = {name for name, pattern in _NUMBERS.items() for kind in (ours, theirs) if pattern.fullmatch(kind)}
    if _kind(ours) != _kind(theirs) or kinds == {"decimal", "floating point"}:
        message = (
            f"join key '{key.entity}' is {ours} in {rows.what}, but '{key.source}' is {theirs} in {source.what}; "
            "make them one type"
        )
        raise AsofError(message)
    if kinds == {"whole", "floating point"}:
        return replace(key, whole="entity" if _NUMBERS["floating point"].fullmatch(ours) else "source")
    return key


def _kind(duckdb_type: str) -> str:
    if any(pattern.fullmatch(duckdb_type) for pattern in _NUMBERS.values()):
        return "number"
    return "time" if duckdb_type.startswith(("TIMESTAMP", "DATE")) else duckdb_type


def require_few_columns(count: int, what: str) -> None:
    """Refuse rows of more columns than can be joined.

    Raises:
        AsofError: There are more.
    """
    try:
        require_few(count)
    except TextFileError as error:
        message = f"{what}: {error}"
        raise AsofError(message) from None


def require_distinct(names: Iterable[str], what: str) -> None:
    """Refuse two columns of one name.

    Raises:
        AsofError: There are two, case aside.
    """
    seen: set[str] = set()
    for name in names:
        # DuckDB can't tell apart what differs in case only.
        if name.casefold() in seen:
            message = f"{what} would have two columns named '{name}' (case aside); rename one"
            raise AsofError(message)
        seen.add(name.casefold())
