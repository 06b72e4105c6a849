"""Files that are whole or not there: written under a temporary name and renamed into place."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_STALE_AFTER = 24 * 3600  # seconds


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path``, which replaces it when the block ends without an error.

    The folder is created; a link stays, and what it leads to is replaced. After an error, or a kill, ``path`` is as it
    was; a killed run leaves a hidden file behind, which a successful one removes a day later: until then it may be that
    of a run still going on.
    """
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _remove_stale(path)


def _remove_stale(path: Path) -> None:
    for stale in path.parent.glob(f".*{path.name}.*.tmp*"):  # what writes itself may have renamed a file of its own
        with suppress(FileNotFoundError):
            if time.time() - stale.stat().st_mtime > _STALE_AFTER:
                stale.unlink()
