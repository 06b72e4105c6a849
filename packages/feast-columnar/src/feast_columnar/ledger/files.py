"""Where entries are kept: one small file each, whole or not there, in a local folder or at any URL that fsspec opens.

A file an entry rather than lines of one file: a rename puts it in its place whole, so that no reader ever sees a part
of it; no writer waits for another or can cut one's line short; what a full disk leaves of one is not found; an entry is
removed without writing the others anew; and object stores, which can't append, keep them in the same way.
"""

from __future__ import annotations

import os
import re
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME: Final = re.compile(r"\d{8}T\d{12}Z-[0-9a-f]{12}-[0-9a-f]{32}\.json")
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_ATTEMPTS: Final = 10  # to write into a folder that others remove as soon as it is empty
_STALE_AFTER: Final = 24 * 3600  # seconds; until then an unfinished file may be that of a process still going on
_UNFINISHED: Final = ".partial"


class Files(Protocol):
    """Small files by their names: `DAY/NAME.json`."""

    def names(self) -> list[str]:
        """Return all names, sorted, which is by time."""
        ...

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            FileNotFoundError: It is not there, or has been removed meanwhile.
        """
        ...

    def write(self, name: str, content: bytes, *, durable: bool) -> None:
        """Put a file in its place, whole; one that is there is replaced.

        Args:
            name: Its name.
            content: What is in it.
            durable: Whether to wait until it would survive a loss of power.

        Raises:
            OSError: It can't be written; what was there is unchanged.
        """
        ...

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        ...


def is_entry(name: str) -> bool:
    """Tell whether a name `DAY/NAME` is that of an entry."""
    day, _, file = name.rpartition("/")
    return bool(_DAY.fullmatch(day) and _NAME.fullmatch(file))


@dataclass(frozen=True)
class LocalFiles:
    """Files in a folder of this machine, or of one that is mounted here."""

    folder: Path

    def names(self) -> list[str]:
        """Return all names."""
        return sorted(name for name in self._all() if is_entry(name))

    def _all(self) -> Iterator[str]:
        with suppress(FileNotFoundError):
            for day in os.scandir(self.folder):
                if _DAY.fullmatch(day.name):
                    with suppress(FileNotFoundError):
                        yield from (f"{day.name}/{file.name}" for file in os.scandir(day))

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        return (self.folder / name).read_bytes()

    def write(self, name: str, content: bytes, *, durable: bool) -> None:
        """Write a file under another name and rename it."""
        target = self.folder / name
        unfinished = target.with_name(f".{target.name}.{uuid.uuid4().hex}{_UNFINISHED}")
        try:
            _write_new(unfinished, content, durable=durable)
            unfinished.replace(target)
        except BaseException:
            with suppress(OSError):
                unfinished.unlink()
            raise
        if durable:
            _sync_folder(target.parent)

    def remove(self, name: str) -> None:
        """Remove a file, and its folder if that is empty then."""
        target = self.folder / name
        target.unlink(missing_ok=True)
        with suppress(OSError):
            target.parent.rmdir()

    def remove_unfinished(self) -> None:
        """Remove what killed processes have left, a day later."""
        for name in self._all():
            if name.endswith(_UNFINISHED):
                with suppress(FileNotFoundError):
                    if time.time() - (self.folder / name).stat().st_mtime > _STALE_AFTER:
                        self.remove(name)


def _write_new(path: Path, content: bytes, *, durable: bool) -> None:
    with _opened_new(path) as file:
        file.write(content)
        if durable:
            file.flush()
            os.fsync(file.fileno())


def _opened_new(path: Path) -> BinaryIO:
    for _ in range(_ATTEMPTS):
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # the last entry of a day was removed, and its folder with it
            return path.open("xb")
    return path.open("xb")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class RemoteFiles:
    """Files below a URL: an object store shows an object once all of it is there, and keeps it then."""

    system: Any
    folder: str

    def names(self) -> list[str]:
        """Return all names."""
        self.system.invalidate_cache()  # others write as well
        try:
            found = self.system.find(self.folder)
        except FileNotFoundError:
            return []
        names = ("/".join(path.split("/")[-2:]) for path in found)
        return sorted(name for name in names if is_entry(name))

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        content: bytes = self.system.cat_file(f"{self.folder}/{name}")
        return content

    def write(self, name: str, content: bytes, *, durable: bool) -> None:  # noqa: ARG002 - as durable as the store is
        """Write a file at once."""
        target = f"{self.folder}/{name}"
        self.system.makedirs(target.rpartition("/")[0], exist_ok=True)
        self.system.pipe_file(target, content)

    def remove(self, name: str) -> None:
        """Remove a file."""
        with suppress(FileNotFoundError):
            self.system.rm_file(f"{self.folder}/{name}")

    def remove_unfinished(self) -> None:
        """There is nothing of the kind."""


def files_at(place: str) -> LocalFiles | RemoteFiles:
    """Return the files in a folder or below a URL.

    Raises:
        ImportError, ValueError: fsspec does not know the scheme, or lacks the package for it.
    """
    if "://" not in place or place.startswith("file://"):
        return LocalFiles(Path(place.removeprefix("file://")))
    import fsspec

    system, folder = fsspec.core.url_to_fs(place)
    return RemoteFiles(system, folder.rstrip("/"))
