"""What a moment counts from, and in what: microseconds since the epoch, UTC, everywhere in online stores."""

from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
