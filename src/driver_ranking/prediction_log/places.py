"""Where the log's files are: whole ones by feature service, date and hour, and beside them what is being written."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import quote

SPOOL: Final = ".spool"
SPOOLED: Final = ".frames"
UNNAMED: Final = ".new"
PARTIAL: Final = ".part"
PARQUET: Final = ".parquet"
HOUR: Final = 3_600_000_000  # microseconds
_DATE, _HOUR = "date=", "hour="


@dataclass(frozen=True)
class LogPlaces:
    """The folder of a log.

    Attributes:
        root: The folder.
    """

    root: Path

    @property
    def spool(self) -> Path:
        """Return the folder of what is being written."""
        return self.root / SPOOL

    def service(self, name: str) -> Path:
        """Return the folder of a feature service's log, which Feast is told."""
        return self.root / folder_name(name)

    def spooled(self, service: str, hour: int, stem: str) -> Path:
        """Return where rows of an hour are while they are being written.

        Args:
            service: The feature service.
            hour: The hour, in hours since the epoch, UTC.
            stem: The file's name without its ending.
        """
        return self.spool / folder_name(service) / partition(hour) / (stem + SPOOLED)

    def whole(self, spooled: Path) -> Path:
        """Return where the rows of a spooled file are to be in the end."""
        return (self.root / spooled.relative_to(self.spool)).with_suffix(PARQUET)


def folder_name(service: str) -> str:
    """Return what the folder of a feature service is called: its name, but for what no folder can be called."""
    return quote(service, safe=" +@,=~")


def partition(hour: int) -> str:
    """Return the folders of an hour, which is in hours since the epoch, UTC."""
    begin = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=hour)
    return f"{_DATE}{begin:%Y-%m-%d}/{_HOUR}{begin:%H}"


def partitions(folder: Path) -> Iterator[tuple[datetime, Path]]:
    """Yield the hours that a folder has, with their folders, in order of time; what is called otherwise is not ours."""
    for day in sorted(folder.glob(f"{_DATE}*")):
        for hour in sorted(day.glob(f"{_HOUR}*")):
            begin = _begin(day.name, hour.name)
            if begin is not None:
                yield begin, hour


def _begin(day: str, hour: str) -> datetime | None:
    try:
        return datetime.strptime(f"{day}{hour}", f"{_DATE}%Y-%m-%d{_HOUR}%H").replace(tzinfo=UTC)
    except ValueError:
        return None
