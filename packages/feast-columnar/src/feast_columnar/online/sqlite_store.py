"""A SQLite online store that processes in any time zone read and write side by side.

Plugged in by class path in feature_store.yaml:

    online_store:
      type: feast_columnar.SharedSqliteOnlineStore
      path: data/online_store.db
      busy_timeout: 60   # optional: how long a writer waits for others, in seconds

It is Feast's own SQLite store, tables and all, but for this: readers go on while others write (`sqlite_file`), event
times are kept to the microsecond whatever the zones (`sqlite_times`), and the file that the configuration names is the
only one that it touches, whatever a registry remembers of others.
"""

from __future__ import annotations

import contextlib
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feast.infra.online_stores.sqlite import SqliteOnlineStore, SqliteOnlineStoreConfig
from pydantic import PositiveFloat, StrictStr  # noqa: TC002 - pydantic evaluates the annotations

from feast_columnar.ledger.recording import written
from feast_columnar.online.moments import EPOCH, MICROSECOND
from feast_columnar.online.sqlite_file import ReadConnection, empty_log, log_of, open_to_write
from feast_columnar.online.sqlite_times import STORE_TYPE, moment_of, stored_time

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Sequence

    from feast import Entity, FeatureView
    from feast.infra.infra_object import InfraObject
    from feast.protos.feast.core.Registry_pb2 import Registry
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value
    from feast.repo_config import RepoConfig

    Written = tuple[EntityKey, dict[str, Value], datetime, datetime | None]

_TIMES = frozenset({"event_ts", "created_ts"})


class SharedSqliteOnlineStoreConfig(SqliteOnlineStoreConfig):
    """The `online_store` section of feature_store.yaml.

    Attributes:
        type: The class path of the store.
        path: The database; a relative path counts from the repo's folder.
        busy_timeout: How long a writer waits for other writers, in seconds.
    """

    type: StrictStr = STORE_TYPE  # type: ignore[assignment] # not a literal of Feast's
    busy_timeout: PositiveFloat = 60.0


class SharedSqliteOnlineStore(SqliteOnlineStore):
    """Feast's SQLite store with connections and times of its own. Can be used from threads, copied and pickled."""

    keeps_utc = True

    def __init__(self) -> None:
        self._writing = threading.RLock()
        self._writer: sqlite3.Connection | None = None
        self._writer_file: tuple[int, int] | None = None
        self._writing_thread: int | None = None
        self._reader: ReadConnection | None = None

    def __getstate__(self) -> dict[str, object]:
        """Connections stay where they are."""
        return {}

    def __setstate__(self, _state: dict[str, object]) -> None:
        """Begin without connections."""
        SharedSqliteOnlineStore.__init__(self)

    def _get_conn(self, config: RepoConfig) -> sqlite3.Connection:
        """What Feast's code reads from; while this thread writes, what it writes to."""
        if self._writing_thread == threading.get_ident():
            return self._open_writer(config)
        if self._reader is None or self._reader.path != self.path(config):
            self._reader = ReadConnection(self.path(config), _read_moments)
        return self._reader.get()

    def path(self, config: RepoConfig) -> Path:
        """The database."""
        return Path(self._get_db_path(config))

    @contextlib.contextmanager
    def writing(self, config: RepoConfig) -> Iterator[sqlite3.Connection]:
        """Give the connection to write with, to one thread at a time; what is committed is then in the file itself.

        Raises:
            sqlite3.Error: The database can't be opened.
        """
        with self._writing:
            before, self._writing_thread = self._writing_thread, threading.get_ident()
            try:
                connection = self._open_writer(config)
                try:
                    yield connection
                finally:
                    connection.rollback()  # Feast's search fills its index and leaves it at that
                empty_log(connection)
            finally:
                self._writing_thread = before

    def _open_writer(self, config: RepoConfig) -> sqlite3.Connection:
        path = self.path(config)
        if self._writer is None or self._writer_file != _identity(path):  # what is written to a removed file is lost
            self._close_writer()
            self._writer = open_to_write(path, config.online_store.busy_timeout)
            _read_moments(self._writer)
            self._writer_file = _identity(path)
        return self._writer

    def _close_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = None

    def close_connections(self) -> None:
        """Close the files, while nothing is being read; they are opened again when they are needed."""
        with self._writing:
            self._close_writer()
            if self._reader is not None:
                self._reader.close()

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[Written],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write as Feast does, but for the times."""
        rows: list[Written] = [
            (key, values, _Moment.of(event), None if created is None or created != created else _Moment.of(created))  # noqa: PLR0124 - pandas' NaT
            for key, values, event, created in data
        ]
        with written(config, table, data), self.writing(config):
            super().online_write_batch(config, table, rows, progress)

    def update(  # noqa: PLR0913, PLR0917 - Feast's interface
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,  # noqa: FBT001 - Feast's interface
    ) -> None:
        """Make the tables that are not there, and drop those that are no longer wanted, in the configured file."""
        with self.writing(config):
            super().update(
                config, tables_to_delete, tables_to_keep, entities_to_delete, entities_to_keep, partial=partial
            )

    def plan(self, config: RepoConfig, desired_registry_proto: Registry) -> list[InfraObject]:  # noqa: ARG002 - as above
        """Nothing for the registry to remember: Feast would act on the paths that it finds there."""
        return []

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]) -> None:  # noqa: ARG002 - as above
        """Remove the configured file, and what SQLite keeps beside it."""
        self.close_connections()
        path = self.path(config)
        for one in (path, log_of(path), path.with_name(f"{path.name}-shm")):
            one.unlink(missing_ok=True)

    def retrieve_online_documents(self, config: RepoConfig, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - handed on as they come
        """Search as Feast does, which makes tables for it."""
        with self.writing(config):
            return super().retrieve_online_documents(config, *arguments, **named)

    def retrieve_online_documents_v2(self, config: RepoConfig, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - handed on as they come
        """Search as Feast does, which makes tables for it."""
        with self.writing(config):
            return super().retrieve_online_documents_v2(config, *arguments, **named)


class _Moment(datetime):
    """A naive time in UTC that `sqlite3` stores as such: adapters go by the exact class, and Feast's is of datetime."""

    @classmethod
    def of(cls, time: datetime) -> _Moment:
        """The same moment; a naive time is taken as UTC, as Feast does everywhere else."""
        one = time if time.tzinfo is None else time.astimezone(UTC)
        return cls(one.year, one.month, one.day, one.hour, one.minute, one.second, one.microsecond)

    def __conform__(self, _protocol: object) -> int | str:
        """What is stored: nothing but `sqlite3` asks."""
        return stored_time(_microseconds(self))


def _microseconds(naive: datetime) -> int:
    return (naive.replace(tzinfo=UTC) - EPOCH) // MICROSECOND


def _read_moments(connection: sqlite3.Connection) -> None:
    """Let a connection give moments in UTC for the columns that have times."""
    connection.row_factory = _row


def _row(cursor: sqlite3.Cursor, values: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(
        moment_of(value) if column[0] in _TIMES and value is not None else value
        for column, value in zip(cursor.description, values, strict=True)
    )


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        file = path.stat()
    except FileNotFoundError:
        return None
    return file.st_dev, file.st_ino
