"""The file of a request, opened: its scan in SQL and the raw types of its columns."""

import csv
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

import duckdb
import fsspec

from driver_ranking.datasets.long_lines import LONGEST_LINE, ends_with_long_line
from driver_ranking.datasets.refusal import refusal
from feast_columnar.errors import AsofError
from feast_columnar.offline.engine import exact_pattern
from feast_columnar.offline.rules import literal
from feast_columnar.offline.schemas import file_schemas, require_own_names, require_readable

_SEPARATORS = {",": "comma", "\t": "tab"}
_OTHER_SEPARATORS = {";": "semicolon", "|": "vertical bar"}
_PARQUET_SUFFIXES = {".parquet", ".parq", ".pq"}
_MOST_COLUMNS = 10_000
_LONGEST_HEADER = 1 << 20  # bytes


class RequestSource:
    """Rows that the rules are worked out for.

    Attributes:
        filepath: Where they come from, as the user wrote it.
        is_parquet: Whether columns have types; those of CSV and TSV are text.
        scan: The rows in DuckDB.
        types: The raw types of the columns.
    """

    filepath: str
    is_parquet: bool
    scan: str
    types: dict[str, str]

    def fail(self, fault: str) -> NoReturn:
        """Refuse the rows."""
        raise refusal(self.filepath, fault)


class FileSource(RequestSource):
    """One file of entity rows, opened: its scan in SQL and the raw types of its columns."""

    separator = ","

    def __init__(self, filepath: str, path: str, connection: duckdb.DuckDBPyConnection) -> None:
        self.filepath = filepath
        self._path = path
        self._connection = connection
        suffixes = {suffix.lower() for suffix in PurePosixPath(path).suffixes}
        self.is_parquet = bool(suffixes & _PARQUET_SUFFIXES)
        self.scan = self._parquet_scan() if self.is_parquet else self._text_scan()
        self.types = self._describe()

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a statement, or refuse the file with DuckDB's reason."""
        try:
            return self._connection.execute(sql).fetchall()
        except duckdb.Error as error:
            mixed = not self.is_parquet and _has_mixed_ends(self._path)
            hint = " Some lines end in CRLF, others in LF." if mixed else ""
            self.fail(f"can't be read: {str(error).splitlines()[0]}{hint}")

    @property
    def lenient_scan(self) -> str:
        """The scan that puts lines which don't fit aside, into the table ``reject_errors``, instead of failing."""
        return self.scan if self.is_parquet else self.scan[:-1] + ", store_rejects=true)"

    @property
    def _sql_path(self) -> str:
        return literal(exact_pattern(self._path))

    def _parquet_scan(self) -> str:
        try:
            (file,) = file_schemas([self._path], self.filepath)
        except AsofError as error:
            self.fail(f"can't be read: {error.__cause__}")
        if len(file.schema) > _MOST_COLUMNS:
            self.fail(f"it has {len(file.schema)} columns; {_MOST_COLUMNS} are the most.")
        with self._refusing():
            require_readable(file.schema, self.filepath)
        return f"read_parquet({self._sql_path}, hive_partitioning=false)"

    def _text_scan(self) -> str:
        header = self._header_line()
        if ends_with_long_line(Path(self._path)):
            self.fail(f"its last line has more than {LONGEST_LINE // 1_000_000} million bytes.")
        self.separator = self._separator(header)
        names = next(csv.reader([header], delimiter=self.separator))
        if len(set(names)) < len(names) or "" in names:
            self.fail(f"the header has a column without a name or one twice: {listed(names)}.")
        if len(names) > _MOST_COLUMNS:
            self.fail(f"it has {len(names)} columns; {_MOST_COLUMNS} are the most.")
        with self._refusing():
            require_own_names(names, self.filepath)
        columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names)
        return (
            f"read_csv({self._sql_path}, delim={literal(self.separator)}, header=true, auto_detect=false, "
            f"quote='\"', escape='\"', hive_partitioning=false, columns={{{columns}}})"
        )

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Refuse the file where the offline store would refuse its columns."""
        try:
            yield
        except AsofError as error:
            self.fail(f"{str(error).removeprefix(self.filepath).removeprefix(':').strip()}.")

    def _header_line(self) -> str:
        try:
            with fsspec.open(f"file://{self._path}", "rb", compression="infer") as file:
                raw: bytes = file.readline(_LONGEST_HEADER)
            header = raw.decode("utf-8-sig").rstrip("\r\n")
        except (OSError, UnicodeDecodeError, EOFError, zlib.error) as error:
            self.fail(f"its header line can't be read as UTF-8 text: {error}.")
        if "\r" in header:
            self.fail("its lines end in CR alone, or some do; end all in LF or all in CRLF.")
        if len(raw) == _LONGEST_HEADER:
            self.fail(f"its first line, which names the columns, has more than {_LONGEST_HEADER} bytes.")
        if header.count('"') % 2:
            self.fail("a name in its header has a line break, or a quotation mark that is not doubled; rename it.")
        return header

    def _separator(self, header: str) -> str:
        found = [separator for separator in _SEPARATORS if separator in header]
        wrong = [name for separator, name in _OTHER_SEPARATORS.items() if separator in header]
        if not found and wrong:
            self.fail(f"the columns are separated by a {wrong[0]}; separate them by a comma or a tab.")
        return max(found, key=header.count, default=",")

    def _describe(self) -> dict[str, str]:
        return {str(name): str(sql_type) for name, sql_type, *_ in self.query(f"DESCRIBE SELECT * FROM {self.scan}")}


def _has_mixed_ends(path: str) -> bool:
    """Look at the beginning of a text file."""
    with fsspec.open(f"file://{path}", "rb", compression="infer") as file:
        beginning: bytes = file.read(_LONGEST_HEADER)
    return 0 < beginning.count(b"\r\n") < beginning.count(b"\n")


def listed(names: Iterable[str]) -> str:
    """Return names for a message."""
    return ", ".join(repr(name) for name in names)
