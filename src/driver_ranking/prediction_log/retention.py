"""Removes what is older than the log is kept."""

import contextlib
from datetime import datetime, timedelta
from pathlib import Path

from driver_ranking.prediction_log.places import PARQUET, SPOOL, partitions


def remove_older(root: Path, days: int, now: datetime) -> int:
    """Remove the files of hours that ended more than so many days ago, of all feature services, and emptied folders.

    What is in these folders beside files of the log stays.

    Args:
        root: The folder of the log.
        days: How many days are kept.
        now: The time, with a zone.

    Returns:
        How many files were removed.
    """
    removed = 0
    for service in sorted(path for path in root.iterdir() if path.is_dir() and path.name != SPOOL):
        for hour, folder in partitions(service):
            if hour + timedelta(days=days, hours=1) <= now:
                for file in folder.glob(f"*{PARQUET}"):
                    file.unlink(missing_ok=True)  # another process may be at it too
                    removed += 1
                _remove_if_empty(folder)
                _remove_if_empty(folder.parent)
    return removed


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()
