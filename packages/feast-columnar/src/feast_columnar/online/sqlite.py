"""The layout of Feast's SQLite tables, written and read by the column.

A table for each feature view of a project, with a row for each entity and feature: the serialized entity key, the
feature's name, the serialized value, its text if it has one, and the two times, of which `sqlite_times` tells more.

What is read goes over a connection of its own that goes on while others write, see `sqlite_file`; what is written, over
that of the store.
"""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import pyarrow.compute as pc
from feast.infra.online_stores.helpers import compute_table_id

from feast_columnar.online.sqlite_file import Gate, ReadConnection, let_use_log, use_log
from feast_columnar.online.sqlite_times import stored_time, time_of
from feast_columnar.online.times import LAST
from feast_columnar.online.views import view_rows
from feast_columnar.online.wire import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from feast import FeatureView
    from feast.repo_config import RepoConfig
    from numpy.typing import NDArray

    from feast_columnar.online.batches import EncodedBatch
    from feast_columnar.online.keys import KeyBytes
    from feast_columnar.online.sqlite_times import Stored
    from feast_columnar.online.values import FixedWidth, Texts
    from feast_columnar.online.view_keys import ViewKeys
    from feast_columnar.online.views import ViewRead, ViewRows

Epochs: TypeAlias = "Callable[[NDArray[np.datetime64]], list[Any]]"

_KEYS: Final = 10_000  # per statement; SQLite has a limit on its variables
_NOT_THERE: Final = object()
_KEY: Final = ("entity_key", "feature_name")
_CELL: Final = ("value", "value_text", "event_ts", "created_ts")


def _table(config: RepoConfig, view: FeatureView) -> str:
    """The name of a feature view's table."""
    table: str = compute_table_id(config.project, view, config.registry.enable_online_feature_view_versioning)
    return table


def _quoted(table: str) -> str:
    return '"' + table.replace('"', '""') + '"'


# --- Writing ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SqliteWriter:
    """Upserts into the table of a feature view, one transaction per batch.

    Like Feast's store, it overwrites whatever is there, newer or not.

    Attributes:
        writing: Gives the connection for a transaction.
        table: The table.
        stored: What the store keeps for times in UTC; None for none.
    """

    writing: Callable[[], contextlib.AbstractContextManager[Any]]
    table: str
    stored: Epochs

    def write(self, batch: EncodedBatch) -> None:
        """Upsert the rows in one transaction.

        Raises:
            sqlite3.Error: The batch is rolled back then.
        """
        rows = _table_rows(batch, self.stored)
        with self.writing() as connection, connection:
            connection.executemany(self._upsert(), rows)

    def _upsert(self) -> str:
        update = ", ".join(f"{column} = excluded.{column}" for column in _CELL)
        return (
            f"INSERT INTO {_quoted(self.table)} ({', '.join(_KEY + _CELL)}) "
            f"VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET {update}"
        )


def _table_rows(batch: EncodedBatch, stored: Epochs) -> Iterator[tuple[object, ...]]:
    """The rows of the table, in the order of the keys: neighbours share pages of its indexes."""
    order = pc.sort_indices(batch.keys)
    rows = order.to_numpy()
    keys = batch.keys.take(order).to_pylist()
    events = _each_once(batch.event_times[rows], stored)
    created = [None] * len(keys) if batch.created_times is None else _each_once(batch.created_times[rows], stored)
    cells = [
        zip(keys, repeat(name), column.wire().take(order).to_pylist(), _take(column.texts(), rows), events, created)
        for name, column in batch.columns.items()
    ]
    return chain.from_iterable(zip(*cells, strict=True))


def _take(texts: Texts, rows: NDArray[np.int64]) -> Texts:
    taken: Texts = np.array(texts, dtype=object)[rows].tolist()
    return taken


def _each_once(times: NDArray[np.datetime64], stored: Epochs) -> list[Any]:
    """What is stored for each time; each distinct one is worked out once."""
    moments, places = np.unique(times, return_inverse=True)
    adapted: list[Any] = np.array(stored(moments), dtype=object)[places].tolist()
    return adapted


def _stock_epochs(times: NDArray[np.datetime64]) -> list[int | None]:
    """What `sqlite3` makes of Feast's naive UTC timestamps: by Feast's adapter, which reads them as local time."""
    return [None if one is None else sqlite3.adapt(one, sqlite3.PrepareProtocol) for one in times.tolist()]


def _epochs(times: NDArray[np.datetime64]) -> list[Stored | None]:
    """What `SharedSqliteOnlineStore` keeps."""
    missing = np.isnat(times).tolist()
    micros = times.astype(np.int64).tolist()
    return [None if none else stored_time(one) for one, none in zip(micros, missing, strict=True)]


def stock_sqlite_writer(store: Any, config: RepoConfig, view: FeatureView) -> SqliteWriter | None:  # noqa: ANN401 - one of Feast's
    """What writes a view to Feast's own SQLite store; None for one that keeps more than this."""
    if _has_more_columns(config):
        return None
    connection = store._get_conn(config)  # noqa: SLF001 - the store's own connection and its settings
    use_log(connection)
    return SqliteWriter(partial(contextlib.nullcontext, connection), _table(config, view), _stock_epochs)


def shared_sqlite_writer(store: Any, config: RepoConfig, view: FeatureView) -> SqliteWriter | None:  # noqa: ANN401 - not imported
    """What writes a view to a `SharedSqliteOnlineStore`; None for one that keeps more than this."""
    if _has_more_columns(config):
        return None
    return SqliteWriter(partial(store.writing, config), _table(config, view), _epochs)


def _has_more_columns(config: RepoConfig) -> bool:
    """Whether tables have further columns, which Feast alone fills."""
    options = config.online_store
    return bool(options.vector_enabled or options.enable_openai_compatible_store)


# --- Reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SqliteView:
    """A view and its table.

    Attributes:
        read: The view.
        table: The table's name, quoted.
        key: The layout of the view's keys where they are one integer.
        widths: How each feature that is a number is stored.
    """

    read: ViewRead
    table: str
    key: KeyBytes | None
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

    def read(self, keys: Sequence[ViewKeys]) -> list[ViewRows]:
        """Read view by view."""
        return self.file.read(lambda connection: self._rows(connection, keys))

    def _rows(self, connection: sqlite3.Connection, keys: Sequence[ViewKeys]) -> list[ViewRows]:
        with _one_moment(connection):
            return [_view_rows(connection, *asked) for asked in zip(self.views, keys, strict=True)]

    def keys_of(self, place: int, count: int) -> list[Any]:
        """Return up to ``count`` entity keys of a view, by its place, as they are stored."""
        statement = f"SELECT DISTINCT entity_key FROM {self.views[place].table} LIMIT ?"
        return [key for (key,) in self.file.read(lambda connection: connection.execute(statement, (count,)).fetchall())]

    def has_rows(self, place: int) -> bool:
        """Tell whether there is any row of a view, by its place."""
        statement = f"SELECT 1 FROM {self.views[place].table} LIMIT 1"
        return bool(self.file.read(lambda connection: connection.execute(statement).fetchall()))


@contextlib.contextmanager
def _one_moment(connection: sqlite3.Connection) -> Iterator[None]:
    """Let several statements see the same rows."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.rollback()


def _stored(view: SqliteView, asked: ViewKeys) -> list[bytes]:
    """Return the serialized keys."""
    if view.key is None:
        return asked.packed()
    rows = view.key.rows(asked.integers)
    joined, length = rows.tobytes(), rows.shape[1]
    return [joined[start : start + length] for start in range(0, len(joined), length)]


def _view_rows(connection: sqlite3.Connection, view: SqliteView, asked: ViewKeys) -> ViewRows:
    keys, names = _stored(view, asked), view.read.names
    cells: dict[str, dict[bytes, bytes | None]] = {name: {} for name in names}
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
    columns = [cells[name] for name in names]
    found = [(*(column.get(key) for column in columns), stored.get(key, _NOT_THERE)) for key in keys]
    return view_rows(found, view.widths, _time, view.read.others)


def _time(stored: Any) -> int:  # noqa: ANN401 - SQLite's columns hold anything
    """Return microseconds; 0 where there is no row."""
    if stored is _NOT_THERE:
        return 0
    micros = time_of(stored)
    if abs(micros) > LAST:
        raise UnreadableError
    return micros


def sqlite_source(config: RepoConfig, online_store: Any, views: tuple[ViewRead, ...]) -> SqliteSource:  # noqa: ANN401 - Feast's, or ours
    """Return what reads views of a SQLite store; of one that Feast's own class writes, the log is turned on."""
    path = _file(online_store, config)
    let_use_log(path)
    return SqliteSource(ReadConnection(path), tuple(_sqlite_view(config, read) for read in views))


def _file(online_store: Any, config: RepoConfig) -> Path:  # noqa: ANN401 - as above
    return Path(online_store._get_db_path(config))  # noqa: SLF001 - Feast has no other way


def _sqlite_view(config: RepoConfig, read: ViewRead) -> SqliteView:
    return SqliteView(read, _quoted(_table(config, read.view)), read.key.layout(), read.fixed_widths())


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


# --- Contents ---------------------------------------------------------------------------------------------------------


def sqlite_has(online_store: Any, config: RepoConfig, view: FeatureView) -> bool:  # noqa: ANN401 - as above
    """Tell whether a SQLite store has any row of a view.

    Raises:
        sqlite3.Error: It can't be read.
    """
    path, table = _file(online_store, config), _table(config, view)
    if not path.exists():
        return False
    with contextlib.closing(sqlite3.connect(path, timeout=60)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)).fetchone():
            return False
        return connection.execute(f"SELECT 1 FROM {_quoted(table)} LIMIT 1").fetchone() is not None
