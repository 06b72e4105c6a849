"""Connections to a SQLite database that some processes read while others write it.

The write-ahead log lets readers and one writer go on side by side; its mode is kept in the file itself. A reader opens
the file read-only, so that it never waits for a writer's lock nor takes one, and follows it when another file takes its
place. A writer copies the log back into the file and empties it after each transaction: the log does not grow, and the
file by itself is whole when nobody writes.

In a folder that can't be written to, the log's index can't be made. With no log beside it, the file is read as one that
does not change, and opened again when it does.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from threading import RLock
from typing import TypeAlias, TypeVar
from urllib.parse import quote

Result = TypeVar("Result")
State: TypeAlias = tuple[int, ...]

_CHECKPOINT_WAIT = 2_000  # milliseconds: readers are done in a few; one that hangs only makes the log longer
_READ_WAIT = 1.0  # seconds: only a log's recovery and its removal by the last connection keep a reader waiting
_TRIES = 3  # of a read during which an unwritable folder's file changes


class ReadConnection:
    """A read-only connection to whichever file has a name at the moment. Can be used from threads."""

    def __init__(self, path: Path, configure: Callable[[sqlite3.Connection], None] | None = None) -> None:
        """Open nothing yet.

        Args:
            path: The database.
            configure: What is done to each new connection.
        """
        self.path = path
        self._configure = configure
        self._lock, self._one_read = RLock(), RLock()
        self._closed = False
        self._connection: sqlite3.Connection | None = None
        self._opened: State = ()
        self._immutable = False

    def get(self) -> sqlite3.Connection:
        """Return the connection, a new one if there is another file.

        Raises:
            FileNotFoundError: There is no file.
            sqlite3.Error: It can't be read.
        """
        with self._lock:
            connection = self._connection
            if connection is None or self._state() != self._opened:
                # the one before is not closed: another thread may be reading from it
                connection = self._connection = self._open()
            return connection

    def read(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Do what reads, one at a time.

        Args:
            work: Reads from the connection and leaves no statement open.

        Raises:
            FileNotFoundError: There is no file.
            sqlite3.Error: It can't be read.
        """
        with self._one_read:
            try:
                return self._read(work)
            finally:
                if self._closed:
                    self._connection = None

    def _read(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        for _ in range(_TRIES):
            try:
                result = work(self.get())
            except sqlite3.DatabaseError:
                if not self._has_changed():
                    raise
            else:
                if not self._has_changed():
                    return result
        message = "the store is being written to, in a folder that can't be written to from here"
        raise sqlite3.OperationalError(message)

    def close(self) -> None:
        """Close the file, once a read that is on its way has ended, without waiting for it. It can still be read."""
        self._closed, self._connection = True, None  # the last one to hold it closes it

    def _has_changed(self) -> bool:
        """Whether the file is one that is read without locks, and has been written to since."""
        return self._immutable and self._state() != self._opened

    def _state(self) -> State:
        try:
            file = self.path.stat()
        except FileNotFoundError:
            message = "its file is not there; materialize"  # else SQLite would make an empty one
            raise FileNotFoundError(message) from None
        if not self._immutable:
            return file.st_dev, file.st_ino
        return file.st_dev, file.st_ino, file.st_mtime_ns, file.st_size, _size(log_of(self.path))

    def _open(self) -> sqlite3.Connection:
        self._immutable = False
        self._opened = self._state()  # before it is opened: what changes meanwhile is seen the next time
        connection = _connect(self.path, "mode=ro", _READ_WAIT)
        try:
            connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        except sqlite3.Error as error:
            connection.close()
            if error.sqlite_errorcode & 0xFF not in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}:
                raise
            if _size(log_of(self.path)) > 0:
                message = "it has a write-ahead log that can't be read here: open it once where it can be written to"
                raise sqlite3.OperationalError(message) from error
            self._immutable = True
            self._opened = self._state()
            connection = _connect(self.path, "mode=ro&immutable=1", _READ_WAIT)
        if self._configure:
            self._configure(connection)
        return connection


def log_of(path: Path) -> Path:
    """Return the write-ahead log of a database."""
    return path.with_name(f"{path.name}-wal")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def _connect(path: Path, options: str, timeout: float) -> sqlite3.Connection:
    name = f"file:{quote(os.fspath(path.absolute()))}?{options}"
    return sqlite3.connect(name, timeout=timeout, uri=True, check_same_thread=False)


def open_to_write(path: Path, timeout: float) -> sqlite3.Connection:
    """Open a database to write to it, make it if it is not there, and let it have a write-ahead log.

    Args:
        path: The database.
        timeout: How long to wait for other writers, in seconds.

    Raises:
        sqlite3.Error: It can't be opened.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = _connect(path, "mode=rwc", timeout)
    use_log(connection)
    connection.execute("PRAGMA synchronous = NORMAL")  # `empty_log` makes it durable
    return connection


def use_log(connection: sqlite3.Connection) -> None:
    """Let a database have a write-ahead log, if that can be: it may be in use, or on a file system that can't."""
    with contextlib.suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA journal_mode = WAL").fetchone()


def let_use_log(path: Path) -> None:
    """Let a database that others write have a write-ahead log, if it is there and that can be."""
    with (
        contextlib.suppress(sqlite3.OperationalError),
        contextlib.closing(_connect(path, "mode=rw", _READ_WAIT)) as one,
    ):
        use_log(one)


def empty_log(connection: sqlite3.Connection) -> None:
    """Copy the write-ahead log into the database and empty it; leave it to the next time if a reader hangs."""
    (waited,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute(f"PRAGMA busy_timeout = {_CHECKPOINT_WAIT}")
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.execute(f"PRAGMA busy_timeout = {waited}")
