"""A request on Spark: its text as Spark reads it, and the checks that a local file gets, run on the workers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from driver_ranking import spark
from driver_ranking.datasets import row_checks as local
from driver_ranking.datasets.request_files import FileSource, RequestSource
from driver_ranking.datasets.spark_workers import selector
from feast_columnar.offline.rules import quoted
from feast_columnar.spark.folder import as_url, exactly
from feast_columnar.spark.rows import arrow_schema, column, read_parquet, require_visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pyspark.sql import DataFrame

    from driver_ranking.datasets.column_rules import Rule
    from driver_ranking.datasets.entity_rows import EntityRows
    from driver_ranking.feature_store.entity_columns import EntityColumn

REQUEST = "the request"  # what it is called in statements and messages
_SHOWN = 5
_MALFORMED = "MALFORMED_RECORD"  # how Spark calls a line that does not fit the columns


@dataclass(frozen=True)
class SparkEntityRows:
    """Checked entity rows on Spark.

    Attributes:
        filepath: The file or folder they come from, as the user wrote it.
        rows: The rows: the event time in UTC, integer keys of 64 bits, what has been asked for by ``typed`` as that
            says, other columns as they are.
        columns: The names of the columns.
        row_count: The number of rows.
        filled: The columns that have a value in each row.
        checked: The rows as they were checked here, if they are a file's.
    """

    filepath: str
    rows: DataFrame
    columns: tuple[str, ...]
    row_count: int
    filled: frozenset[str] = frozenset()
    checked: EntityRows | None = field(default=None, repr=False, compare=False)
    _typed: dict[frozenset[EntityColumn], SparkEntityRows] = field(default_factory=dict, repr=False, compare=False)

    def typed(self, columns: Iterable[EntityColumn]) -> SparkEntityRows:
        """Return the rows with columns read as a feature repo and a model want them.

        Raises:
            RequestError: A column has a type or a value that does not fit; the message shows some of the rows.
        """
        wanted = frozenset(columns)
        if wanted not in self._typed:
            if self.checked:
                self.checked.typed(wanted)
            with spark.explained(f"{self.filepath} can't be read"):
                self._typed[wanted] = self._checked(wanted)
        return self._typed[wanted]

    def _checked(self, wanted: frozenset[EntityColumn]) -> SparkEntityRows:
        ordered = sorted(wanted, key=lambda one: self.columns.index(one.name))
        reading = read_by(self.filepath, self.rows, lambda source: local.rules_for(source, ordered, self.filled))
        if not reading.rules:
            return self
        if not self.checked:
            checked_count(reading.source, self.rows, reading.rules)
        return replace(self, rows=reading.rows, checked=None, _typed={})


class SparkRequest(RequestSource):
    """Rows on Spark, as what the rules are worked out for: a name in DuckDB with their types."""

    is_parquet = True
    scan = quoted(REQUEST)

    def __init__(self, filepath: str, connection: duckdb.DuckDBPyConnection) -> None:
        self.filepath = filepath
        described = connection.execute(f"DESCRIBE SELECT * FROM {self.scan}").fetchall()
        # Spark has 64-bit integers without a sign as decimals
        self.types = {str(name): str(kind).replace("DECIMAL(20,0)", "UBIGINT") for name, kind, *_ in described}


@dataclass(frozen=True)
class SparkReading:
    """Rows on Spark as rules read them, not computed yet.

    Attributes:
        source: What the rules were worked out for.
        rules: The rules.
        rows: The rows.
    """

    source: SparkRequest
    rules: list[Rule]
    rows: DataFrame


def read_by(filepath: str, raw: DataFrame, make_rules: Callable[[SparkRequest], list[Rule]]) -> SparkReading:
    """Apply the rules for the types that rows have; they are worked out on no rows, and run on the workers."""
    from pyspark.sql.pandas.types import from_arrow_schema

    with local.connected() as connection:
        connection.register(REQUEST, arrow_schema(raw).empty_table())
        source = SparkRequest(filepath, connection)
        rules = make_rules(source)
        statement = local.select_typed(source, rules)
        schema = connection.execute(statement).to_arrow_table().schema
    if all(rule.reads_as_it_is for rule in rules):
        return SparkReading(source, rules, raw)
    return SparkReading(source, rules, raw.mapInArrow(selector(statement, REQUEST, schema), from_arrow_schema(schema)))


def raw_file(path: str, copy: str) -> DataFrame:
    """Read a checked file as its rules expect it: text, if it is CSV or TSV; `copy` is where it was checked."""
    from pyspark.sql import functions as sf

    session = spark.session()
    name = as_url(path)
    with duckdb.connect() as connection:
        source = FileSource(path, copy, connection)
    if source.is_parquet:
        return read_parquet(session, name, REQUEST)
    require_visible(name, REQUEST)
    text = ", ".join(f"`{column.replace('`', '``')}` string" for column in source.types)
    options: dict[str, bool | str] = {
        "header": True,
        "sep": source.separator,
        "quote": '"',
        "escape": '"',
        "mode": "FAILFAST",
    }
    frame = session.read.schema(text).options(**options).csv(exactly(name))
    # DuckDB takes quotes around nothing for nothing
    return frame.select(*(sf.nullif(column(one), sf.lit("")).alias(one) for one in frame.columns))


def checked_count(source: SparkRequest, raw: DataFrame, rules: list[Rule]) -> int:
    """Return the number of rows, or refuse them and show some of those at fault."""
    counts = _summed(source, raw, local.counts_of(rules), 1 + 2 * len(rules))
    if sum(counts[1::2]):
        faults = "\n  ".join(_faulty_values(source, raw, rules))
        source.fail(f"{sum(counts[1::2])} value(s) at fault, some of the rows:\n  {faults}\n")
    return local.row_count_of(source, rules, counts)


def require_same_reading(source: SparkRequest, raw: DataFrame, checked: EntityRows) -> None:
    """Refuse text that was checked here, and that Spark reads otherwise."""
    with spark.explained(f"{source.filepath} can't be read"):
        try:
            found = _summed(source, raw, f"count(*), {local.digest_of(source.types)}", 2)
        except Exception as error:
            if _MALFORMED not in str(error):
                raise
            found = []
    if found != [checked.row_count, checked.digest]:
        source.fail(
            "Spark reads it otherwise. Line breaks within quotes, blanks before them and separators at the end of "
            "lines do that: use Parquet."
        )


def _summed(source: SparkRequest, raw: DataFrame, expressions: str, count: int) -> list[int]:
    """Return aggregates of the rows, summed over their batches on Spark."""
    from pyspark.sql import functions as sf

    names = [f"n{index}" for index in range(count)]
    statement = f"SELECT * FROM (SELECT {expressions} FROM {source.scan}) AS counted({', '.join(names)})"
    schema = pa.schema([(name, pa.int64()) for name in names])
    counted = raw.mapInArrow(selector(statement, REQUEST, schema), ", ".join(f"{name} long" for name in names))
    return [int(total or 0) for total in counted.agg(*(sf.sum(name) for name in names)).collect()[0]]


def _faulty_values(source: SparkRequest, raw: DataFrame, rules: list[Rule]) -> list[str]:
    """Return some rows at fault, each with what is wrong in it."""
    texts = ", ".join(f"CAST({quoted(rule.column)} AS VARCHAR) AS {name}" for name, rule in _named(rules))
    faults = ", ".join(f"{rule.fault} AS fault_{name}" for name, rule in _named(rules))
    any_fault = " OR ".join(rule.fault for rule in rules)
    statement = f"SELECT {texts}, {faults} FROM {source.scan} WHERE {any_fault} LIMIT {_SHOWN}"
    names = [name for name, _ in _named(rules)]
    schema = pa.schema([*((name, pa.string()) for name in names), *((f"fault_{name}", pa.bool_()) for name in names)])
    columns = ", ".join([*(f"{name} string" for name in names), *(f"fault_{name} boolean" for name in names)])
    rows = raw.mapInArrow(selector(statement, REQUEST, schema), columns).limit(_SHOWN).collect()
    return [_told(row[: len(rules)], row[len(rules) :], rules) for row in rows]


def _named(rules: list[Rule]) -> list[tuple[str, Rule]]:
    return [(f"value_{number}", rule) for number, rule in enumerate(rules)]


def _told(values: Sequence[str | None], faults: Sequence[bool], rules: list[Rule]) -> str:
    """Say what is wrong in a row, and which row it is by the values that are right."""
    read = list(zip(values, faults, rules, strict=True))
    wrong = [local.fault_of(rule, value) for value, at_fault, rule in read if at_fault]
    right = [f"{rule.column}={value}" for value, at_fault, rule in read if not at_fault]
    return "; ".join(wrong) + (f" ({', '.join(right)})" if right else "")
