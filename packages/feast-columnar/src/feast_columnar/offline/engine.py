"""DuckDB as the join uses it: a connection of its own per query, with the time zone UTC, and errors that explain."""

from __future__ import annotations

import re
import tempfile
import uuid
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import duckdb
import fsspec
import pyarrow as pa
from fsspec import AbstractFileSystem

from feast_columnar.errors import AsofError
from feast_columnar.offline.messages import listed, reason
from feast_columnar.offline.rules import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

ENTITIES = "the entity rows"
URL_CHAIN = re.compile(r"\w+(://[^\s'\"]*)?::\w+://")
_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)
WILDCARD = re.compile(r"([*?\[])")
URL_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
RESERVED = "asof 5b6e2f91d3: "  # begins the names of columns that the store adds, and of no other
ROW_NUMBER = f"{RESERVED}number of the row"


def exact_pattern(path: str) -> str:
    """Return a pattern of DuckDB's that matches exactly this path; a ? on the web begins a query."""
    return path if path.startswith(("http://", "https://")) else WILDCARD.sub(r"[\1]", path)


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn errors of DuckDB and Arrow into one that starts with what failed.

    Raises:
        AsofError: For any of them.
    """
    try:
        yield
    except (duckdb.Error, pa.ArrowException) as error:
        message = f"{what}: {reason(error)}"
        raise AsofError(message) from error


@dataclass(frozen=True)
class Relation:
    """A table expression, its columns with their DuckDB types, the columns that number its rows, and its name.

    Of text, the columns may be called anything that the first line says: no message lists them.
    """

    sql: str
    columns: dict[str, str]
    order: tuple[str, ...]
    what: str
    is_text: bool = False

    @property
    def shape(self) -> str:
        """Say which columns there are, or how many."""
        return f"{len(self.columns)} column(s)" if self.is_text else listed(self.columns)

    def require(self, names: Iterable[str], why: str) -> None:
        """Refuse a relation that lacks a column; `why` says who needs it.

        Raises:
            AsofError: It lacks one.
        """
        missing = [name for name in names if name not in self.columns]
        if missing:
            message = f"{self.what} has no column {listed(missing)}, {why}; it has {self.shape}"
            raise AsofError(message)


class Engine:
    """One DuckDB connection and what is registered with it."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._schemes = {"file"}

    def execute(self, sql: str) -> duckdb.DuckDBPyConnection:
        """Run a statement."""
        with explained("DuckDB could not run the query"):
            return self._connection.execute(sql)

    def relation(self, sql: str, what: str, order: tuple[str, ...] = ()) -> Relation:
        """Look up the columns of a table expression; `what` names it in errors.

        Raises:
            AsofError: It can't be read, or a column is called like the store's own.
        """
        with explained(f"{what} cannot be read"):
            described = self._connection.execute(f"DESCRIBE SELECT * FROM {sql}").fetchall()
        taken = [name for name, *_ in described if name.casefold().startswith(RESERVED) and name not in order]
        if taken:
            message = f"{what}: the name of column '{taken[0]}' begins like those of the store's own columns; rename it"
            raise AsofError(message)
        return Relation(sql, {name: kind for name, kind, *_ in described if name not in order}, order, what)

    def numbered(self, sql: str, what: str) -> Relation:
        """Number rows that have no numbers of their own, in the order in which they are read."""
        self.execute("SET preserve_insertion_order = true")
        return self.relation(
            f"(SELECT *, row_number() OVER () AS {quoted(ROW_NUMBER)} FROM {sql})", what, (ROW_NUMBER,)
        )

    def register(self, data: object, name: str | None = None) -> str:
        """Let DuckDB read an Arrow table or data set in place, by a name or a made-up one; return its name in SQL."""
        name = name or f"asof_{uuid.uuid4().hex}"
        self._connection.register(name, data)
        return quoted(name)

    def mount(self, text: str, what: str) -> None:
        """Register the fsspec file system of every URL scheme in a text.

        Raises:
            AsofError: fsspec has none, or the text names a chain of them.
        """
        if chain := URL_CHAIN.search(text):
            message = f"{what}: '{chain[0]}...' is a chain of file systems; fetch the file, and name it by its path"
            raise AsofError(message)
        for scheme in set(URL_SCHEME.findall(text)) - self._schemes:
            try:
                self._connection.register_filesystem(_timed(fsspec.filesystem(scheme)))
            except (ImportError, TypeError, ValueError) as error:
                message = f"{what}: fsspec has no file system for {scheme}:// ({error})"
                raise AsofError(message) from error
            self._schemes.add(scheme)

    def glob(self, pattern: str, what: str) -> list[str]:
        """Return the paths that match, sorted."""
        with explained(f"{what} cannot be listed"):
            found = self._connection.execute("SELECT file FROM glob(?)", [pattern]).fetchall()
        return sorted(file for (file,) in found)


def _timed(system: Any) -> Any:  # noqa: ANN401  # fsspec has no types
    """Return a file system that tells when files were changed, which DuckDB asks for; those of the web do not."""
    kind = type(system)
    if kind.modified is not AbstractFileSystem.modified:
        return system
    # what DuckDB remembers of files by this time ends with the connection, which is made for one query
    return type(kind.__name__, (kind,), {"modified": lambda *_: _ANY_TIME})()


@contextmanager
def open_engine(options: Mapping[str, Any]) -> Iterator[Engine]:
    """Open a DuckDB connection with its own settings; None leaves one at its default."""
    with tempfile.TemporaryDirectory(prefix="asof-") as spill:
        # Rows in any order need less memory; what needs an order says so. DuckDB joins row by row where it expects few
        # entity rows, and it can't know how many there are in memory: 10^5 by 10^5 rows took 75 times as long.
        settings: dict[str, Any] = {
            "preserve_insertion_order": False,
            "temp_directory": spill,
            "asof_loop_join_threshold": 0,
        }
        settings |= {name: value for name, value in options.items() if value is not None}
        with explained("DuckDB refuses the options of the offline store"):
            connection = duckdb.connect(config=settings)
        with closing(connection):
            connection.execute("SET TimeZone = 'UTC'")
            yield Engine(connection)
