"""Makes Parquet files of what is spooled and nobody writes any more, and removes what is old."""

from datetime import datetime
from pathlib import Path

from driver_ranking.prediction_log.parquet import make_whole
from driver_ranking.prediction_log.places import LogPlaces
from driver_ranking.prediction_log.retention import remove_older
from driver_ranking.prediction_log.spool import left_behind


def file_spooled(root: Path, retention_days: int, now: datetime) -> list[str]:
    """Do both, as far as it can be done.

    Args:
        root: The folder of the log.
        retention_days: How many days are kept; 0 for all.
        now: The time, with a zone.

    Returns:
        What could not be done, and why.
    """
    places, faults = LogPlaces(root), []
    for spooled in left_behind(places.spool):
        try:
            make_whole(places, spooled)
        except FileNotFoundError:  # someone has removed it
            continue
        except Exception as error:  # noqa: BLE001 - whatever it is, the next one may be another thing
            faults.append(f"{spooled}: {type(error).__name__}: {error}")
    if retention_days:
        try:
            remove_older(root, retention_days, now)
        except OSError as error:
            faults.append(f"What is older than {retention_days} days can't be removed: {error}")
    return faults
