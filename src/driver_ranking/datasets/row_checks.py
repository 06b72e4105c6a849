"""The checks of entity rows, wherever they are read: which rules they go by, what is at fault, and what that says."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from typing import NoReturn

import duckdb

from driver_ranking.datasets.column_rules import EVENT_TIME, Rule, column_rule, key_rule, number_rule, time_rule
from driver_ranking.datasets.request_files import FileSource, QueriedSource, RequestSource
from driver_ranking.feature_store.entity_columns import EntityColumn, Reading
from feast_columnar.offline.messages import listed, shown
from feast_columnar.offline.rules import quoted

logger = logging.getLogger(__name__)

_LISTED_FAULTS = 5
_NEAR = 0.6


def rules_of(
    source: RequestSource, timestamp_column: str, keys: Mapping[str, Reading], number_columns: Iterable[str]
) -> list[Rule]:
    """Return how the columns that the catalog names are read from their raw types, or refuse the rows."""
    rules: dict[str, Rule | None] = {}
    missing = [name for name in dict.fromkeys([timestamp_column, *keys, *number_columns]) if name not in source.types]
    if missing:
        source.fail(f"the column {listed(missing)} is missing; {_others(source, missing)}")
    rules[timestamp_column] = time_rule(timestamp_column, source.types[timestamp_column])
    rules |= {name: key_rule(name, source.types[name], reading) for name, reading in keys.items()}
    rules |= {name: number_rule(name, source.types[name]) for name in number_columns}
    for column, rule in rules.items():
        if rule is None:
            source.fail(f"the column {column!r} has the type {source.types[column]}, which can't be read.")
    return [rule for rule in rules.values() if rule is not None]


def rules_for(source: RequestSource, columns: Iterable[EntityColumn], filled: Iterable[str]) -> list[Rule]:
    """Return how the columns that a feature repo and a model want are read, or refuse the rows.

    Args:
        source: Rows with these columns.
        columns: What is wanted.
        filled: The columns that are known to have a value in each row.

    Returns:
        Nothing of columns that stay as they are and need no check.
    """
    rules = []
    for column in columns:
        sql_type = source.types[column.name]
        rule = column_rule(
            column.name, sql_type, column.reading, required=column.required and column.name not in filled
        )
        if rule is None:
            source.fail(
                f"the column {column.name!r} has the type {sql_type}; {column.role}, it has to be {column.reading}."
            )
        if not (rule.reads_as_it_is and rule.fault == "false"):
            rules.append(rule)
    return rules


def _others(source: RequestSource, missing: list[str]) -> str:
    """Say which columns there are; of text only what is nearly right: its first line may be anything."""
    if source.is_parquet:
        return f"the file has {listed(source.types)}."
    near = {match for name in missing for match in get_close_matches(name, source.types, n=1, cutoff=_NEAR)}
    nearest = f", of which {listed(sorted(near))} comes nearest" if near else ", and none is called nearly so"
    rule = "Columns are separated by a comma or a tab, and the first line names them."
    return f"the file has {len(source.types)} column(s){nearest}. {rule}"


def checked_file(source: FileSource, rules: list[Rule]) -> tuple[int, int | None]:
    """Return the number of rows and the digest of text, or refuse the file and name the first rows at fault."""
    # of text, all columns are read now: what is not UTF-8 would else be found when they are needed
    of_text = "NULL" if source.is_parquet else digest_of(source.types)
    ((*counts, digest),) = source.query(f"SELECT {counts_of(rules)}, {of_text} FROM {source.lenient_scan}")
    _check_lines(source)
    return _checked_count(source, rules, counts), digest


def check_values(source: QueriedSource, rules: list[Rule]) -> None:
    """Refuse rows with a value at fault, and name the first of them."""
    (counts,) = source.query(f"SELECT {counts_of(rules)} FROM {source.scan}")
    _checked_count(source, rules, list(counts))


def _checked_count(source: QueriedSource, rules: list[Rule], counts: list[int]) -> int:
    if sum(counts[1::2]):
        _refuse_values(source, rules, sum(counts[1::2]))
    return row_count_of(source, rules, counts)


def _check_lines(source: FileSource) -> None:
    """Refuse lines that have too few or too many columns; a scan has put them aside."""
    if source.is_parquet:
        return
    rejected = "SELECT DISTINCT line, error_message FROM reject_errors ORDER BY line"
    faults = [f"line {line}: {message}" for line, message in source.query(f"{rejected} LIMIT {_LISTED_FAULTS}")]
    if faults:
        source.fail("lines that don't fit the header:\n  " + "\n  ".join(faults) + "\n")


def digest_of(columns: Iterable[str]) -> str:
    """Return an SQL expression that differs where any value differs, whatever the order of the rows."""
    return f"CAST(sum(hash({', '.join(map(quoted, columns))}) // {2**34}) AS BIGINT)"  # 2^33 rows don't overflow


def counts_of(rules: list[Rule]) -> str:
    """Return SQL expressions that count the rows, and for each rule the values at fault and the naive times."""
    counts = (f"count(*) FILTER ({rule.fault}), count(*) FILTER ({rule.naive})" for rule in rules)
    return ", ".join(["count(*)", *counts])


def row_count_of(source: RequestSource, rules: list[Rule], counts: list[int]) -> int:
    """Return the number of rows that were counted, or refuse them if there are none."""
    row_count = int(counts[0])
    if row_count == 0:
        source.fail("there are no rows.")
    for rule, naive in zip(rules, counts[2::2], strict=True):
        if naive:
            what = "event times" if rule.kind == EVENT_TIME else f"times in the column {rule.column!r}"
            message = "%s: %d of %d %s have no time zone and are taken as UTC."
            logger.warning(message, source.filepath, naive, row_count, what)
    return row_count


def _refuse_values(source: QueriedSource, rules: list[Rule], faulty: int) -> NoReturn:
    names = ", ".join(quoted(rule.column) for rule in rules)
    flags = ", ".join(f"{rule.fault} AS f{index}" for index, rule in enumerate(rules))
    any_fault = " OR ".join(f"f{index}" for index in range(len(rules)))
    numbered = f"SELECT row_number() OVER () AS n, {names}, {flags} FROM {source.scan}"
    rows = source.query(f"SELECT * FROM ({numbered}) WHERE {any_fault} ORDER BY n LIMIT {_LISTED_FAULTS}")
    faults = [
        f"row {row[0]}: {fault_of(rule, value)}"
        for row in rows
        for rule, value, fault in zip(rules, row[1 : len(rules) + 1], row[len(rules) + 1 :], strict=True)
        if fault
    ]
    source.fail(f"{faulty} value(s) at fault, the first of them:\n  " + "\n  ".join(faults[:_LISTED_FAULTS]) + "\n")


def fault_of(rule: Rule, value: object) -> str:
    """Say that a value does not fit its rule."""
    return f"{_shown(value)} in column {rule.column!r} is not {rule.kind}"


def _shown(value: object) -> str:
    if value is None or value == "":
        return "nothing"
    return shown(repr(value) if isinstance(value, str) else value)


def select_typed(source: RequestSource, rules: list[Rule]) -> str:
    """Return the query of the rows as the rules read them."""
    typed = {rule.column: f"{rule.value} AS {quoted(rule.column)}" for rule in rules}
    columns = ", ".join(typed.get(column, quoted(column)) for column in source.types)
    return f"SELECT {columns} FROM {source.scan}"


@contextmanager
def connected() -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB connection with the time zone UTC."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection
