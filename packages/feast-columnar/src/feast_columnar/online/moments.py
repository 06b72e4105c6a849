"""What a moment counts from, and in what: microseconds since the epoch, UTC, everywhere in online stores."""

from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)


def aware(time: datetime) -> datetime:
    """Return the same moment in UTC; a naive time is taken as such."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
