"""How the columns of entity rows are read from their raw types, in SQL, and when a value is at fault."""

from dataclasses import dataclass
from typing import Final

from driver_ranking.feature_store.entity_columns import Reading
from feast_columnar.exactness import EXACT_INTEGERS, EXACT_SINGLE_INTEGERS
from feast_columnar.offline.rules import ISO_TIME, literal, quoted

_NAIVE_PATTERN = r"\s*\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?)?\s*"
_INTEGER_PATTERN = r"\s*[+-]?\d+\s*"
_NUMBER_PATTERN = r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*"
_NO_FINITE_PATTERN = r"\s*([+-]?(inf|infinity)|nan)\s*"
_INTEGER_TYPES = {f"{sign}{width}" for sign in ("", "U") for width in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")}
_FLOAT_TYPES = {"FLOAT", "DOUBLE"}
_LABEL_TYPES = _INTEGER_TYPES | _FLOAT_TYPES | {"BOOLEAN"}
_INT32: Final = 2**31

EVENT_TIME: Final = "a time such as 2026-06-15T08:00:00+02:00"
"""What an event time has to be."""


@dataclass(frozen=True)
class Rule:
    """How one column is read from its raw type, and when a value of it is at fault."""

    column: str
    kind: str
    value: str
    fault: str
    naive: str = "false"

    @property
    def reads_as_it_is(self) -> bool:
        """Return whether the column stays as it is."""
        return self.value == quoted(self.column)


@dataclass(frozen=True)
class _Reader:
    """A value as it is read, when one that is there is at fault, and when it is a time without a zone."""

    value: str
    fault: str = "false"
    naive: str = "false"


def time_rule(column: str, sql_type: str) -> Rule | None:
    """Return how an event time is read; None from a type that has none."""
    reader = _time(quoted(column), sql_type)
    return None if reader is None else _rule(column, EVENT_TIME, reader, required=True)


def key_rule(column: str, sql_type: str, reading: Reading = Reading.INTEGER) -> Rule | None:
    """Return how a key is read that has to be there; None from a type that has none."""
    return column_rule(column, sql_type, reading, required=True)


def number_rule(column: str, sql_type: str) -> Rule | None:
    """Return how a finite number that has to be there, a label for example, is read; None from a type that has none."""
    value = f"TRY_CAST({quoted(column)} AS DOUBLE)"
    fault = f"({value} IS NULL OR NOT isfinite({value}))"
    return Rule(column, "a number", value, fault) if sql_type in {"VARCHAR", *_LABEL_TYPES} else None


def column_rule(column: str, sql_type: str, reading: Reading, *, required: bool) -> Rule | None:
    """Return how a column is read; None from a type that it can't be read from.

    Args:
        column: Its name.
        sql_type: Its raw type, as DuckDB names it.
        reading: What it is read as.
        required: Whether nothing is at fault.
    """
    reader = _READERS[reading](quoted(column), sql_type)
    return None if reader is None else _rule(column, reading.value, reader, required=required)


def _rule(column: str, kind: str, reader: _Reader, *, required: bool) -> Rule:
    """Return the rule; values that are nothing are at fault or never."""
    name = quoted(column)
    if reader.fault == "false":
        fault = f"{name} IS NULL" if required else "false"
    else:
        fault = f"({name} IS NULL OR {reader.fault})" if required else f"({name} IS NOT NULL AND {reader.fault})"
    return Rule(column, kind, reader.value, fault, reader.naive)


def _time(name: str, sql_type: str) -> _Reader | None:
    if sql_type == "VARCHAR":
        value = f"TRY_CAST(trim({name}) AS TIMESTAMPTZ)"
        fault = f"({value} IS NULL OR NOT regexp_full_match({name}, {literal(ISO_TIME)}))"
        return _Reader(value, fault, f"regexp_full_match({name}, {literal(_NAIVE_PATTERN)})")
    if sql_type == "TIMESTAMP WITH TIME ZONE":
        return _Reader(name)
    if sql_type == "DATE" or sql_type.startswith("TIMESTAMP"):
        return _Reader(f"CAST(CAST({name} AS TIMESTAMP) AS TIMESTAMPTZ)", naive=f"{name} IS NOT NULL")
    return None


def _whole_seconds(name: str, sql_type: str) -> _Reader | None:
    time = _time(name, sql_type)
    if time is None:
        return None
    return _Reader(time.value, f"({time.fault} OR date_trunc('second', {time.value}) <> {time.value})", time.naive)


def _integer(name: str, sql_type: str) -> _Reader | None:
    value = f"TRY_CAST({name} AS BIGINT)"
    if sql_type == "VARCHAR":
        return _Reader(value, f"({value} IS NULL OR NOT {_matches(name, _INTEGER_PATTERN)})")
    if sql_type == "BIGINT":
        return _Reader(name)
    return _Reader(value, f"{value} IS NULL") if sql_type in _INTEGER_TYPES else None


def _exact_integer(name: str, sql_type: str) -> _Reader | None:
    return _within(_integer(name, sql_type), 1 - EXACT_INTEGERS, EXACT_INTEGERS - 1)


def _short_integer(name: str, sql_type: str) -> _Reader | None:
    return _within(_integer(name, sql_type), -_INT32, _INT32 - 1)


def _within(integer: _Reader | None, least: int, most: int) -> _Reader | None:
    if integer is None:
        return None
    return _Reader(integer.value, f"({integer.fault} OR {integer.value} NOT BETWEEN {least} AND {most})")


def _number(name: str, sql_type: str) -> _Reader | None:
    """Read a double. NaN is nothing; an integer that no double holds exactly is at fault."""
    value = f"TRY_CAST({name} AS DOUBLE)"
    if sql_type == "VARCHAR":
        return _Reader(_or_nothing(value), f"({_no_number(name, value)} OR ({_too_large(name, EXACT_INTEGERS)}))")
    if sql_type in _INTEGER_TYPES:
        return _Reader(value, f"{name} {_beyond(EXACT_INTEGERS)}")
    return _Reader(_or_nothing(value)) if sql_type in _FLOAT_TYPES else None


def _float(name: str, sql_type: str) -> _Reader | None:
    """Read a double that a float32 holds: of a text with a fraction the nearest one, of integers only what is exact."""
    value = f"CAST(TRY_CAST({name} AS FLOAT) AS DOUBLE)"
    if sql_type == "VARCHAR":
        return _Reader(
            _or_nothing(value), f"({_no_number(name, value)} OR ({_too_large(name, EXACT_SINGLE_INTEGERS)}))"
        )
    if sql_type in _INTEGER_TYPES:
        return _Reader(value, f"{name} {_beyond(EXACT_SINGLE_INTEGERS)}")
    rounded = f"{value} IS DISTINCT FROM CAST({name} AS DOUBLE)"
    return _Reader(_or_nothing(value), f"({rounded})") if sql_type in _FLOAT_TYPES else None


def _too_large(text: str, most: int) -> str:
    """Return when a text is an integer of which floats have not all that come before it."""
    integer = f"TRY_CAST({text} AS HUGEINT)"
    return f"{_matches(text, _INTEGER_PATTERN)} AND ({integer} IS NULL OR {integer} {_beyond(most)})"


def _beyond(most: int) -> str:
    return f"NOT BETWEEN {-most} AND {most}"


def _no_number(name: str, value: str) -> str:
    """Return when a text is no number: DuckDB takes 1_000, and makes an infinity of what is too large."""
    finite = f"({_matches(name, _NUMBER_PATTERN)} AND isfinite({value}))"
    return f"({value} IS NULL OR NOT ({finite} OR {_matches(f'lower({name})', _NO_FINITE_PATTERN)}))"


def _or_nothing(value: str) -> str:
    return f"CASE WHEN NOT isnan({value}) THEN {value} END"


def _boolean(name: str, sql_type: str) -> _Reader | None:
    if sql_type == "VARCHAR":
        value = f"lower(trim({name}))"
        return _Reader(f"{value} = 'true'", f"{value} NOT IN ('true', 'false')")
    return _Reader(name) if sql_type == "BOOLEAN" else None


def _text(name: str, sql_type: str) -> _Reader | None:
    return _Reader(name) if sql_type == "VARCHAR" else None


def _bytes(name: str, sql_type: str) -> _Reader | None:
    if sql_type == "VARCHAR":
        return _Reader(f"encode({name})")
    return _Reader(name) if sql_type == "BLOB" else None


def _other(name: str, sql_type: str) -> _Reader | None:
    return None if sql_type == "VARCHAR" else _Reader(name)  # text has values of any type, in ways of its own


def _unknown(name: str, sql_type: str) -> _Reader:  # noqa: ARG001 - as the others have it
    return _Reader(name)


_READERS: Final = {
    Reading.INTEGER: _integer,
    Reading.EXACT_INTEGER: _exact_integer,
    Reading.SHORT_INTEGER: _short_integer,
    Reading.NUMBER: _number,
    Reading.FLOAT: _float,
    Reading.BOOLEAN: _boolean,
    Reading.TEXT: _text,
    Reading.BYTES: _bytes,
    Reading.TIME: _whole_seconds,
    Reading.OTHER: _other,
    Reading.UNKNOWN: _unknown,
}


def _matches(text: str, pattern: str) -> str:
    return f"regexp_full_match({text}, {literal(pattern)})"
