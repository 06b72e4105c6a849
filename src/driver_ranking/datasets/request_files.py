"""The file of a request, opened: its scan in SQL and the raw types of its columns."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

import duckdb

from driver_ranking.datasets.long_lines import LONGEST_LINE, ends_with_long_line
from driver_ranking.datasets.refusal import refusal
from feast_columnar.errors import AsofError
from feast_columnar.offline.engine import exact_pattern
from feast_columnar.offline.messages import listed, reason
from feast_columnar.offline.rows import require_few_columns
from feast_columnar.offline.rules import literal
from feast_columnar.offline.schemas import file_schemas, require_own_names, require_readable
from feast_columnar.offline.text_files import TextFileError, header_line, header_names, uneven_ends

_SEPARATORS = {",": "comma", "\t": "tab"}
_OTHER_SEPARATORS = {";": "semicolon", "|": "vertical bar"}
_PARQUET_SUFFIXES = {".parquet", ".parq", ".pq"}


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


class QueriedSource(RequestSource):
    """Rows that DuckDB reads by a query."""

    is_parquet = True

    def __init__(self, filepath: str, scan: str, connection: duckdb.DuckDBPyConnection) -> None:
        self.filepath = filepath
        self.scan = scan
        self._connection = connection
        self.types = self._describe()

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a statement, or refuse the rows with DuckDB's reason."""
        try:
            return self._connection.execute(sql).fetchall()
        except duckdb.Error as error:
            self.fail(self._fault(reason(error)))

    def _fault(self, said: str) -> str:
        return f"can't be read: {said.splitlines()[0]}"

    def _describe(self) -> dict[str, str]:
        return {str(name): str(sql_type) for name, sql_type, *_ in self.query(f"DESCRIBE SELECT * FROM {self.scan}")}


class FileSource(QueriedSource):
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

    def _fault(self, said: str) -> str:
        uneven = uneven_ends(self._path, said)
        return f"{uneven}." if uneven else super()._fault(said)

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
        with self._refusing():
            require_few_columns(len(file.schema), self.filepath)
            require_readable(file.schema, self.filepath)
        return f"read_parquet({self._sql_path}, hive_partitioning=false)"

    def _text_scan(self) -> str:
        try:
            header = header_line(self._path)
            if ends_with_long_line(Path(self._path)):
                self.fail(f"its last line has more than {LONGEST_LINE // 1_000_000} million bytes.")
            self.separator = self._separator(header)
            names = header_names(header, self.separator)
        except TextFileError as error:
            self.fail(f"{error}.")
        if len(set(names)) < len(names) or "" in names:
            alike = [name for name, count in Counter(names).items() if count > 1 or not name]
            self.fail(f"the header has a column without a name or one twice: {listed(alike)}.")
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

    def _separator(self, header: str) -> str:
        found = [separator for separator in _SEPARATORS if separator in header]
        wrong = [name for separator, name in _OTHER_SEPARATORS.items() if separator in header]
        if not found and wrong:
            self.fail(f"the columns are separated by a {wrong[0]}; separate them by a comma or a tab.")
        return max(found, key=header.count, default=",")
