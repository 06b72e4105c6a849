"""What is wrong with a CSV or TSV file, where DuckDB could only say that it can't make it out, or takes minutes."""

from __future__ import annotations

import csv
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import fsspec

from feast_columnar.offline.engine import URL_SCHEME

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_COLUMNS = 10_000
"""Of entity rows; DuckDB's rows have room for some more, and it takes minutes to say that there are too many."""

_LONGEST_HEADER = 1 << 20  # bytes
_BLOCK = 1 << 20  # bytes
_END = re.compile(rb"\r\n|\n|\r(?=.)", re.DOTALL)  # of a CR at the end of a block, the next one tells
_ENDS = {b"\r\n": "CRLF", b"\n": "LF", b"\r": "CR"}
_UNCLEAR = re.compile("reached an invalid state|automatically detect the CSV parsing dialect")
_END_ALIKE = "end all in LF or all in CRLF"


class TextFileError(ValueError):
    """What is wrong with the file, as the end of a sentence that begins with its name."""


def header_line(path: str) -> str:
    """Return the first line of a text file, local or at a URL, compressed or not, without its end.

    Raises:
        TextFileError: There is none that names columns: its end is none, or it has too many bytes.
    """
    try:
        with fsspec.open(_url(path), "rb", compression="infer") as file:
            beginning: bytes = file.read(_LONGEST_HEADER)
        raw, _, rest = beginning.partition(b"\n")
        header = raw.decode("utf-8-sig").rstrip("\r")
    except (OSError, ValueError, EOFError, zlib.error) as error:
        message = f"its header line can't be read as UTF-8 text: {error}"
        raise TextFileError(message) from error
    if "\r" in header:
        message = f"its lines end in CR alone, or some do; {_END_ALIKE}"
        raise TextFileError(message)
    if not rest and len(raw) == _LONGEST_HEADER:
        message = f"its first line, which names the columns, has more than {_LONGEST_HEADER} bytes"
        raise TextFileError(message)
    if header.count('"') % 2:
        message = "a name in its header has a line break, or a quotation mark that is not doubled; rename it"
        raise TextFileError(message)
    return header


def header_names(header: str, separator: str) -> list[str]:
    """Return the names of the columns.

    Raises:
        TextFileError: There are too many, or one is too long.
    """
    try:
        names = next(csv.reader([header], delimiter=separator), [])
    except csv.Error as error:
        message = f"a name in its header can't be read: {error}"
        raise TextFileError(message) from error
    require_few(len(names))
    return names


def require_few(count: int) -> None:
    """Refuse rows of more columns than can be joined.

    Raises:
        TextFileError: There are too many.
    """
    if count > MOST_COLUMNS:
        message = f"there are {count} columns; {MOST_COLUMNS} are the most"
        raise TextFileError(message)


def uneven_ends(path: str, said: str) -> str | None:
    """Return which line of a text file ends in another way than the first, if that is why DuckDB can't read it.

    Args:
        path: The file.
        said: What DuckDB says of it; line breaks within quotes may end as they like.
    """
    if not _UNCLEAR.search(said):
        return None
    first = None
    with fsspec.open(_url(path), "rb", compression="infer") as file:
        for number, end in enumerate(_line_ends(iter(lambda: file.read(_BLOCK), b"")), start=1):
            first = first or end
            if end != first:
                return f"line 1 ends in {_ENDS[first]}, but line {number} in {_ENDS[end]}; {_END_ALIKE}"
    return None


def _line_ends(blocks: Iterator[bytes]) -> Iterator[bytes]:
    kept = b""
    for block in blocks:
        both = kept + block
        yield from _END.findall(both)
        kept = b"\r" if both.endswith(b"\r") else b""
    if kept:
        yield kept


def _url(path: str) -> str:
    return path if URL_SCHEME.match(path) else f"file://{Path(path).absolute()}"
