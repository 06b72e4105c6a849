"""Rows of Feast's SQLite tables as arrays, over a connection of one's own that goes on while others write."""

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from feast_columnar.online.cells import LAST, FixedWidth, UnreadableError, ViewRows, view_rows
from feast_columnar.online.sources import KeyBytes, ViewRead, _key_bytes, _widths
from feast_columnar.online.sqlite_file import Gate, ReadConnection, let_use_log
from feast_columnar.online.sqlite_times import Stored, time_of

if TYPE_CHECKING:
    from feast import RepoConfig

_KEYS = 10_000  # per statement; SQLite has a limit on its variables
_NOT_THERE = object()


@dataclass(frozen=True)
class SqliteView:
    """A view and its table.

    Attributes:
        read: The view.
        table: The table's name, quoted.
        key: The layout of the view's keys.
        widths: How each feature is stored.
    """

    read: ViewRead
    table: str
    key: KeyBytes
    widths: tuple[FixedWidth | None, ...]


@dataclass(frozen=True)
class SqliteSource:
    """Reads the tables of the views, all at one moment.

    Attributes:
        file: The database.
        views: The views.
    """

    file: ReadConnection
    views: tuple[SqliteView, ...]

    def read(self, driver_id: NDArray[np.int64]) -> list[ViewRows]:
        """Read view by view."""
        return self.file.read(lambda connection: self._rows(connection, driver_id))

    def _rows(self, connection: sqlite3.Connection, driver_id: NDArray[np.int64]) -> list[ViewRows]:
        with _one_moment(connection):
            return [_view_rows(connection, view, driver_id) for view in self.views]


@contextlib.contextmanager
def _one_moment(connection: sqlite3.Connection) -> Iterator[None]:
    """Let several statements see the same rows."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.rollback()


def _view_rows(connection: sqlite3.Connection, view: SqliteView, driver_id: NDArray[np.int64]) -> ViewRows:
    rows = view.key.rows(driver_id)
    joined, length = rows.tobytes(), rows.shape[1]
    keys = [joined[start : start + length] for start in range(0, len(joined), length)]
    cells: dict[str, dict[bytes, bytes | None]] = {name: {} for name in view.read.features}
    stored: dict[bytes, Stored] = {}
    for start in range(0, len(keys), _KEYS):
        some = keys[start : start + _KEYS]
        statement = (
            f"SELECT entity_key, feature_name, value, event_ts FROM {view.table} "
            f"WHERE entity_key IN ({','.join('?' * len(some))})"
        )
        for key, name, value, time in connection.execute(statement, some):
            stored[key] = time
            if name in cells:
                cells[name][key] = value
    columns = [cells[name] for name in view.read.features]
    found = [(*(column.get(key) for column in columns), stored.get(key, _NOT_THERE)) for key in keys]
    return view_rows(found, view.widths, _time)


def _time(stored: Any) -> int:  # noqa: ANN401 - SQLite's columns hold anything
    """Return microseconds; 0 where there is no row."""
    if stored is _NOT_THERE:
        return 0
    micros = time_of(stored)
    if abs(micros) > LAST:
        raise UnreadableError
    return micros


def open_sqlite_source(config: "RepoConfig", online_store: Any, views: tuple[ViewRead, ...]) -> SqliteSource:  # noqa: ANN401 - Feast's, or ours
    """Return what reads views of a SQLite store; of one that Feast's own class writes, the log is turned on."""
    path = Path(online_store._get_db_path(config))  # noqa: SLF001 - Feast has no other way
    let_use_log(path)
    return SqliteSource(ReadConnection(path), tuple(_sqlite_view(config, read) for read in views))


def _sqlite_view(config: "RepoConfig", read: ViewRead) -> SqliteView:
    from feast.infra.online_stores.helpers import compute_table_id

    table = compute_table_id(config.project, read.view, config.registry.enable_online_feature_view_versioning)
    quoted = table.replace('"', '""')
    return SqliteView(read, f'"{quoted}"', _key_bytes(read), _widths(read))


def sqlite_gate(online_store: Any, source: object = None) -> Gate:  # noqa: ANN401 - any store
    """Return a gate that closes the files of a SQLite store, ours or Feast's, and of what reads it directly.

    Args:
        online_store: Any store; others than these are left alone.
        source: What reads it, if that is no part of Feast.
    """

    def let_go() -> None:
        if isinstance(source, SqliteSource):
            source.file.close()
        if hasattr(online_store, "close_connections"):
            online_store.close_connections()
        elif getattr(online_store, "_conn", None) and hasattr(online_store, "_get_db_path"):
            online_store._conn.close()  # noqa: SLF001 - Feast has no other way
            online_store._conn = None  # noqa: SLF001 - likewise: it is opened again when it is needed

    return Gate(let_go)
