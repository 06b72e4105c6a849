"""How much of a file a message quotes: the value at fault, cut short, and never the line that it stands in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST_VALUE = 40
_MOST_NAMES = 20
_LONGEST_REASON = 600
# DuckDB quotes the line, then says what is wrong with it
_LINE = re.compile(
    r"\nOriginal Line: .*?(?=\n(?:Expected Number of Columns|Error when converting column|Invalid unicode|"
    r"Value with unterminated quote|Maximum line size)|\Z)",
    re.DOTALL,
)
# and goes on with options of its reader, the name of the file among them
_ADVICE = re.compile(
    r"\n\s*(?:Possible (?:fixes|solutions?)|The search space used|Column .* is being converted|"
    r"This type was auto-detected|This can happen when|file = ).*\Z",
    re.DOTALL | re.IGNORECASE,
)
_RECORD = re.compile(r"(Malformed records are detected in record parsing): .*", re.DOTALL)  # Spark's words
_FILE = re.compile(r"\n  file = (.+)")
_LONG_VALUE = re.compile(rf"""(?<!file )(['"])((?:(?!\1).){{{LONGEST_VALUE}}})(?:(?!\1).){{60,}}\1""", re.DOTALL)


def reason(said: object) -> str:
    """Return what DuckDB, Arrow or Spark say of a failure, without the lines of files that they quote."""
    of_file, mark, of_query = str(said).partition("\n\nLINE ")
    told = _ADVICE.sub("", _RECORD.sub(r"\1", _LINE.sub("", of_file))).rstrip()
    file = _FILE.search(of_file)
    kept = _LONG_VALUE.sub(r"\1\2...\1", told) + (f" (in {file[1]})" if file else "") + mark + of_query
    return kept if len(kept) <= _LONGEST_REASON else kept[:_LONGEST_REASON] + "..."


def shown(value: object) -> str:
    """Return a value, or the beginning of a long one."""
    text = str(value)
    return text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "..."


def listed(names: Iterable[str]) -> str:
    """Return names, of many the first ones."""
    given = list(names)
    more = f" and {len(given) - _MOST_NAMES:,} more" if len(given) > _MOST_NAMES else ""
    return (", ".join(f"'{shown(name)}'" for name in given[:_MOST_NAMES]) or "none") + more
