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
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import TypeAlias, TypeVar
from urllib.parse import quote

Result = TypeVar("Result")
State: TypeAlias = tuple[int, ...]

_CHECKPOINT_WAIT = 2_000  # milliseconds: readers are done in a few; one that hangs only makes the log longer
_READ_WAIT = 1.0  # seconds: only a log's recovery and its removal by the last connection keep a reader waiting
_TRIES, _PAUSE = 5, 0.02  # seconds between reads during which the file in an unwritable folder changes
_CLOCK = 50_000_000  # nanoseconds: two writes within a tick of the system's clock may have one time


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
        self._lock, self._one_read = Lock(), Lock()
        self._connection: sqlite3.Connection | None = None
        self._opened: State = ()
        self._immutable = False

    def get(self) -> sqlite3.Connection:
        """Return the connection, a new one if there is another file.

        Raises:
            FileNotFoundError: There is no file.
            sqlite3.Error: It can't be read.
        """
        return self._current()[0]  # one before it is left to whichever thread may be reading from it

    def read(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Do what reads, one at a time.

        Args:
            work: Reads from the connection and leaves no statement open.

        Raises:
            FileNotFoundError: There is no file.
            sqlite3.Error: It can't be read.
        """
        with self._one_read:
            for _ in range(_TRIES):
                connection, before = self._current()
                if before is not None:
                    before.close()
                try:
                    result = work(connection)
                except sqlite3.DatabaseError:
                    if not self._has_changed():
                        raise
                else:
                    if not self._has_changed():
                        return result
                time.sleep(_PAUSE)
        message = "the store is being written to, in a folder that can't be written to from here"
        raise sqlite3.OperationalError(message)

    def close(self) -> None:
        """Close the file, while nothing is being read. It can still be read, and is open again then."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _current(self) -> tuple[sqlite3.Connection, sqlite3.Connection | None]:
        """Return the connection, and the one before if there is another file."""
        with self._lock:
            connection = self._connection
            if connection is not None and self._state() == self._opened:
                return connection, None
            self._connection = self._open()
            return self._connection, connection

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
            written = self.path.stat().st_mtime_ns
            self._opened = self._state() if abs(time.time_ns() - written) > _CLOCK else ()
            connection = _connect(self.path, "mode=ro&immutable=1", _READ_WAIT)
        if self._configure:
            self._configure(connection)
        return connection


class Gate:
    """Lets in whoever reads, and lets go of what is read once it is closed and nobody is left inside.

    SQLite's connections are parts of cycles: nobody holding them does not close them.
    """

    def __init__(self, let_go: Callable[[], None]) -> None:
        """Be open.

        Args:
            let_go: Is called when it has been closed and the last one has left; more than once if others enter yet.
        """
        self._let_go = let_go
        self._lock = Lock()
        self._inside = 0
        self._closed = False

    def __enter__(self) -> None:
        """Enter, before the first read or after."""
        with self._lock:
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        """Leave."""
        with self._lock:
            self._inside -= 1
            self._leave()

    def close(self) -> None:
        """Close it, without waiting for those inside."""
        with self._lock:
            self._closed = True
            self._leave()

    def _leave(self) -> None:
        if self._closed and not self._inside:
            self._let_go()


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
    with contextlib.suppress(sqlite3.Error), contextlib.closing(_connect(path, "mode=rw", _READ_WAIT)) as connection:
        use_log(connection)


def empty_log(connection: sqlite3.Connection) -> None:
    """Copy the write-ahead log into the database and empty it; leave it to the next time if a reader hangs."""
    (waited,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute(f"PRAGMA busy_timeout = {_CHECKPOINT_WAIT}")
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.execute(f"PRAGMA busy_timeout = {waited}")
