"""Files that rows are appended to as they come, held by whoever writes them; those left behind are found again."""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa

from driver_ranking.prediction_log.frames import framed
from driver_ranking.prediction_log.places import SPOOLED, UNNAMED

_WRITABLE: Final = 0o640


class SpoolFile:
    """A file that rows are appended to. It is locked for as long as it is open: by that others see that it is in use.

    Attributes:
        path: Where it is.
        rows: How many rows it has.
        size: How many bytes.
    """

    def __init__(self, path: Path) -> None:
        """Make it.

        Raises:
            OSError: That is not possible.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.rows, self.size = path, 0, 0
        unnamed = path.with_suffix(UNNAMED)
        self._file = os.open(unnamed, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, _WRITABLE)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unnamed.rename(path)  # only now: nobody may take it for one that was left behind
        except OSError:
            os.close(self._file)
            unnamed.unlink(missing_ok=True)
            raise

    def append(self, frame: pa.RecordBatch, rows: int) -> None:
        """Append a frame: all of it, or nothing if it fails.

        Args:
            frame: The frame.
            rows: How many rows of the log it has.

        Raises:
            OSError: They can't be written, or the file is gone.
        """
        if not os.fstat(self._file).st_nlink:
            raise FileNotFoundError(errno.ENOENT, "it was removed while it was written", str(self.path))
        parts = framed(frame)
        try:
            for part in parts:
                _write_all(self._file, memoryview(part))
        except OSError:
            os.ftruncate(self._file, self.size)
            raise
        self.rows += rows
        self.size += sum(map(len, parts))

    def close(self) -> None:
        """Let go of it."""
        os.close(self._file)


def _write_all(file: int, content: memoryview) -> None:
    written = 0
    while written < len(content):
        written += os.write(file, content[written:])


def left_behind(folder: Path) -> Iterator[Path]:
    """Yield files below a folder that nobody writes any more, each held until the next is asked for.

    Files without a name that were left behind are removed.
    """
    for path in sorted(folder.rglob("*")):
        if path.suffix in {SPOOLED, UNNAMED} and path.is_file():
            with _held(path) as is_ours:
                if is_ours and path.suffix == SPOOLED:
                    yield path
                elif is_ours:
                    path.unlink(missing_ok=True)


@contextlib.contextmanager
def _held(path: Path) -> Iterator[bool]:
    """Hold a file that nobody else holds, and tell whether that is so."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # someone else was faster
        yield False
        return
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield os.fstat(file).st_nlink > 0
    finally:
        os.close(file)
