"""A Kedro dataset of entity rows: who is asked about and when, from a CSV, TSV or Parquet file.

The file is checked in one streamed pass and never loaded whole. What a node gets is a query over the file, typed and
normalised, which an offline store runs as part of its own.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Never, NoReturn

import duckdb
import fsspec
from kedro.io import AbstractDataset, DatasetError

from driver_ranking.datasets.fetched import FetchedFile
from driver_ranking.datasets.preview import TablePreview, table_preview
from driver_ranking.datasets.request_files import FileSource, RequestSource
from feast_columnar.offline.messages import listed, shown
from feast_columnar.offline.rules import ISO_TIME, literal, quoted

logger = logging.getLogger(__name__)

_LISTED_FAULTS = 5
_NEAR = 0.6

_NAIVE_PATTERN = r"\s*\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?)?\s*"
_INTEGER_PATTERN = r"\s*[+-]?\d+\s*"
_INTEGER_TYPES = {f"{sign}{width}" for sign in ("", "U") for width in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")}
_NUMBER_TYPES = _INTEGER_TYPES | {"FLOAT", "DOUBLE", "BOOLEAN"}


@dataclass(frozen=True)
class EntityRows:
    """Checked entity rows, as a query that reads them.

    Attributes:
        filepath: The file or URL they come from, as the user wrote it.
        sql: DuckDB query that gives all columns of the file in the file's order: the event time as TIMESTAMPTZ, keys
            as BIGINT, declared numbers as DOUBLE, the other columns as they are (text, from CSV and TSV). It reads the
            file, or the copy of one at a URL.
        columns: The names of the columns, in the file's order.
        row_count: The number of rows.
        file: The file, or a copy that is there as long as this is.
        digest: Of all values, if these are text; the same whatever order they are read in.
    """

    filepath: str
    sql: str
    columns: tuple[str, ...]
    row_count: int
    file: FetchedFile = field(repr=False, compare=False)
    digest: int | None = None

    @property
    def rows(self) -> str:
        """Return what an offline store takes."""
        return self.sql


@dataclass(frozen=True)
class Rule:
    """How one required column is read from its raw type, and when a value of it is at fault."""

    column: str
    kind: str
    value: str
    fault: str
    naive: str = "false"


def _time_rule(column: str, sql_type: str) -> Rule | None:
    name, kind = quoted(column), "a time such as 2026-06-15T08:00:00+02:00"
    if sql_type == "VARCHAR":
        value = f"TRY_CAST(trim({name}) AS TIMESTAMPTZ)"
        fault = f"({value} IS NULL OR NOT regexp_full_match({name}, {literal(ISO_TIME)}))"
        return Rule(column, kind, value, fault, f"regexp_full_match({name}, {literal(_NAIVE_PATTERN)})")
    if sql_type == "TIMESTAMP WITH TIME ZONE":
        return Rule(column, kind, name, f"{name} IS NULL")
    if sql_type == "DATE" or sql_type.startswith("TIMESTAMP"):
        return Rule(column, kind, f"CAST(CAST({name} AS TIMESTAMP) AS TIMESTAMPTZ)", f"{name} IS NULL", "true")
    return None


def _key_rule(column: str, sql_type: str) -> Rule | None:
    name, kind = quoted(column), "an integer"
    value = f"TRY_CAST({name} AS BIGINT)"
    if sql_type == "VARCHAR":
        pattern = literal(_INTEGER_PATTERN)
        return Rule(column, kind, value, f"({value} IS NULL OR NOT regexp_full_match({name}, {pattern}))")
    if sql_type == "BIGINT":
        return Rule(column, kind, name, f"{name} IS NULL")
    return Rule(column, kind, value, f"{value} IS NULL") if sql_type in _INTEGER_TYPES else None


def _number_rule(column: str, sql_type: str) -> Rule | None:
    value = f"TRY_CAST({quoted(column)} AS DOUBLE)"
    fault = f"({value} IS NULL OR NOT isfinite({value}))"
    return Rule(column, "a number", value, fault) if sql_type in {"VARCHAR", *_NUMBER_TYPES} else None


def rules_of(
    source: RequestSource, timestamp_column: str, key_columns: list[str], number_columns: list[str]
) -> list[Rule]:
    """Return how the required columns are read from their raw types, or refuse the rows."""
    makers = {timestamp_column: _time_rule}
    makers |= dict.fromkeys(key_columns, _key_rule) | dict.fromkeys(number_columns, _number_rule)
    missing = [column for column in makers if column not in source.types]
    if missing:
        source.fail(f"the column {listed(missing)} is missing; {_others(source, missing)}")
    rules = []
    for column, make in makers.items():
        rule = make(column, source.types[column])
        if rule is None:
            source.fail(f"the column {column!r} has the type {source.types[column]}, which can't be read.")
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


def _check_lines(source: FileSource) -> None:
    """Refuse lines that have too few or too many columns; a scan has put them aside."""
    if source.is_parquet:
        return
    rejected = "SELECT DISTINCT line, error_message FROM reject_errors ORDER BY line"
    faults = [f"line {line}: {message}" for line, message in source.query(f"{rejected} LIMIT {_LISTED_FAULTS}")]
    if faults:
        source.fail("lines that don't fit the header:\n  " + "\n  ".join(faults) + "\n")


def _check_values(source: FileSource, rules: list[Rule]) -> tuple[int, int | None]:
    """Return the number of rows and the digest of text, or refuse the file and name the first rows at fault."""
    # of text, all columns are read now: what is not UTF-8 would else be found when they are needed
    of_text = "NULL" if source.is_parquet else digest_of(source.types)
    ((*counts, digest),) = source.query(f"SELECT {counts_of(rules)}, {of_text} FROM {source.lenient_scan}")
    _check_lines(source)
    if sum(counts[1::2]):
        _refuse_values(source, rules, sum(counts[1::2]))
    return row_count_of(source, counts), digest


def digest_of(columns: Iterable[str]) -> str:
    """Return an SQL expression that differs where any value differs, whatever the order of the rows."""
    return f"CAST(sum(hash({', '.join(map(quoted, columns))}) // {2**34}) AS BIGINT)"  # 2^33 rows don't overflow


def counts_of(rules: list[Rule]) -> str:
    """Return SQL expressions that count the rows, and for each rule the values at fault and the naive times."""
    counts = (f"count(*) FILTER ({rule.fault}), count(*) FILTER ({rule.naive})" for rule in rules)
    return ", ".join(["count(*)", *counts])


def row_count_of(source: RequestSource, counts: list[int]) -> int:
    """Return the number of rows that were counted, or refuse them if there are none."""
    row_count, naive = int(counts[0]), sum(counts[2::2])
    if row_count == 0:
        source.fail("there are no rows.")
    if naive:
        message = "%s: %d of %d event times have no time zone and are taken as UTC."
        logger.warning(message, source.filepath, naive, row_count)
    return row_count


def _refuse_values(source: FileSource, rules: list[Rule], faulty: int) -> NoReturn:
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


class EntityRowsDataset(AbstractDataset[Never, EntityRows]):
    """Entity rows in a CSV, TSV or Parquet file, local or at any URL that fsspec opens.

    CSV and TSV are UTF-8, with a header line; the header tells the separator, comma or tab. Event times are ISO 8601;
    those without an offset are taken as UTC, which the log says once. Every required column must be filled in every
    row; all other columns are kept.
    """

    def __init__(  # noqa: PLR0913 - the keys of a catalog entry
        self,
        *,
        filepath: str,
        timestamp_column: str = "event_timestamp",
        key_columns: list[str],
        number_columns: list[str] | None = None,
        credentials: Mapping[str, Any] | None = None,
        fs_args: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Name the file and what it must hold.

        Args:
            filepath: Path or URL.
            timestamp_column: The event time of each row.
            key_columns: Integer columns: the join keys of the feature views.
            number_columns: Columns of finite numbers, labels for example.
            credentials: What the file system needs to let one in; with ``fs_args``, what fsspec is given.
            fs_args: More options of the file system.
            metadata: What Kedro's plugins are told of this dataset.
        """
        self._filepath = filepath
        self._timestamp_column = timestamp_column
        self._key_columns = key_columns
        self._number_columns = number_columns or []
        self._options = {**(credentials or {}), **(fs_args or {})}
        self.metadata = metadata
        self._checked: EntityRows | None = None

    def check(self) -> None:
        """Check the whole file now, once.

        Raises:
            RequestError: The file can't be used; the message names it and the first lines at fault.
        """
        self._checked = self._checked or self._check()

    def load(self) -> EntityRows:
        """Return the checked rows; raises as ``check`` does."""
        self.check()
        assert self._checked is not None  # noqa: S101 - check() has set it or raised
        return self._checked

    def save(self, data: Never) -> None:  # noqa: ARG002 - Kedro's interface
        """Refuse: entity rows are an input."""
        message = f"{self._filepath}: entity rows are only read."
        raise DatasetError(message)

    def preview(self, rows: int = 5) -> TablePreview:
        """Return the first rows, for kedro viz."""
        sql = self.load().sql
        with connected() as connection:
            return table_preview(connection.execute(f"{sql} LIMIT {int(rows)}").to_arrow_table())

    def _check(self) -> EntityRows:
        file = FetchedFile(self._filepath, self._options)
        with connected() as connection:
            source = FileSource(self._filepath, str(file.path), connection)
            rules = rules_of(source, self._timestamp_column, self._key_columns, self._number_columns)
            row_count, digest = _check_values(source, rules)
            sql, columns = select_typed(source, rules), tuple(source.types)
            return EntityRows(self._filepath, sql, columns, row_count, file, digest)

    def _exists(self) -> bool:
        file_system, path = fsspec.core.url_to_fs(self._filepath, **self._options)
        return bool(file_system.exists(path))

    def _release(self) -> None:
        self._checked = None

    def _describe(self) -> dict[str, Any]:
        return {
            "filepath": self._filepath,
            "timestamp_column": self._timestamp_column,
            "key_columns": self._key_columns,
            "number_columns": self._number_columns,
        }
