"""Files at URLs, brought here as they are: what was checked is what is read, even if the original changes."""

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import fsspec
from fsspec.implementations.local import LocalFileSystem

from driver_ranking.datasets.refusal import refusal

_BLOCK = 1 << 20  # bytes


class FetchedFile:
    """A file that lies here, or a copy of one that lies elsewhere.

    Any URL will do that fsspec opens, chains such as ``simplecache::s3://...`` and ``zip://name::https://...``
    among them. It is read once, from its first byte to its last: not every server answers for a part of a file. The
    copy is removed with `remove`, when the object is, or at the end of the process.
    """

    def __init__(self, filepath: str, options: Mapping[str, Any]) -> None:
        """Find the file, and fetch it if it is elsewhere.

        Args:
            filepath: Path or URL.
            options: What the file system needs: credentials and more.

        Raises:
            RequestError: There is no such file, it is a folder, it is empty, or it can't be read.
        """
        self._copy: weakref.finalize[[str], FetchedFile] | None = None
        try:
            system, path = fsspec.core.url_to_fs(filepath, **options)
            found = "there is no such file" if not system.exists(path) else None
            fault = "is a folder; name a file" if found is None and system.isdir(path) else found
            if fault is None:
                self.path = Path(path) if isinstance(system, LocalFileSystem) else self._fetched(system, path)
                fault = "the file is empty" if self.path.stat().st_size == 0 else None
        except Exception as error:  # noqa: BLE001  # each file system has errors of its own
            fault = f"can't be opened: {str(error) or type(error).__name__}"
        if fault is not None:
            self.remove()
            raise refusal(filepath, f"{fault}.")

    def _fetched(self, system: Any, path: str) -> Path:  # noqa: ANN401  # fsspec has no types
        folder = tempfile.mkdtemp(prefix="driver_ranking-")
        self._copy = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        copy = Path(folder) / PurePosixPath(urlsplit(path).path).name  # the name tells the format
        with system.open(path, "rb") as original, copy.open("wb") as file:
            shutil.copyfileobj(original, file, _BLOCK)
        return copy

    def remove(self) -> None:
        """Remove the copy, if it is one."""
        if self._copy is not None:
            self._copy()
