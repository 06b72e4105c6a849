"""Recognize a full disk in what libraries make of it."""

import errno
import re
import sqlite3
import tempfile
from collections.abc import Iterator
from typing import Final

_ERRNOS: Final = {errno.ENOSPC, errno.EDQUOT}
_SQLITE: Final = {"SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"}  # the latter says no more than "disk I/O error"
_SPILL: Final = "failed to offload data block"  # DuckDB, which takes no more than most of what is free
_SAID: Final = re.compile(r"database or disk is full|No space left on device|Disk quota exceeded", re.IGNORECASE)


def full_disk_message(error: BaseException) -> str | None:
    """Return what to tell a user whose disk is full; None for any other error.

    SQLite, SQLAlchemy, MLflow, DuckDB, Arrow and the operating system say it each in their own way.
    """
    chain = list(_causes(error))
    if not any(_is_full(one) for one in chain):
        return None
    files = [one.filename for one in chain if isinstance(one, OSError) and one.filename]
    where = f", where {files[-1]} was to be written" if files else ""
    if any(_SPILL in str(one) for one in chain):
        where = f", where rows that the memory limit has no room for are put aside: {tempfile.gettempdir()}, or TMPDIR"
    return f"The disk is full{where}. Free some space and run again: whatever had been finished before is as it was."


def _is_full(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in _ERRNOS:
        return True
    if isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorname", None) in _SQLITE:
        return True
    return _SPILL in str(error) or _SAID.search(str(error)) is not None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
