"""How event times stand in a SQLite online store, so that no process's zone has a say.

Feast's own SQLite store writes UTC as if it were local time, in whole seconds, and reads it back likewise: what a
process in one zone has written, a process in another one misreads by hours, and the hours of a change to or from
daylight saving can't be told apart at all. `SharedSqliteOnlineStore` writes microseconds since the epoch, UTC. The
numbers are so much larger that each row says by itself who wrote it; the few days around 1970 in which they aren't
are written as text.

What Feast's own store wrote is right where both processes are in UTC. It is read there, and refused in other zones:
which zone its writer had is not known.
"""

import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from feast_columnar.errors import RepoError
from feast_columnar.online.moments import EPOCH, MICROSECOND

STORE_TYPE: Final = "feast_columnar.SharedSqliteOnlineStore"
"""The class path of the store that has these times."""

_SECONDS_END = 260_000_000_000  # seconds of the years 1 to 9999 are below it, microseconds but those near 1970 above
_MONTHS = [datetime(year, month, 1) for year in range(1970, 2038) for month in range(1, 13)]  # noqa: DTZ001 - naive on purpose

Stored = int | str


def stored_time(micros: int) -> Stored:
    """Return what is stored for a time in microseconds since the epoch, UTC."""
    if abs(micros) >= _SECONDS_END:
        return micros
    return (EPOCH + micros * MICROSECOND).isoformat()


@lru_cache(maxsize=65_536)  # event times repeat among keys
def time_of(stored: Stored) -> int:
    """Return the microseconds since the epoch, UTC, of what is stored.

    Raises:
        RepoError: Feast's own store wrote it, and this process is not in UTC.
    """
    if isinstance(stored, str):
        return (datetime.fromisoformat(stored) - EPOCH) // MICROSECOND
    if abs(stored) >= _SECONDS_END:
        return stored
    require_utc("The SQLite online store has rows that Feast's own SQLite store wrote")
    return stored * 1_000_000


def moment_of(stored: Stored) -> datetime:
    """Return the moment, in UTC, of what is stored.

    Raises:
        RepoError: As in `time_of`.
    """
    return EPOCH + time_of(stored) * MICROSECOND


def require_utc(what: str) -> None:
    """Refuse to go on in a process whose zone is not UTC.

    Args:
        what: What depends on the zone; the beginning of the message.

    Raises:
        RepoError: The zone is another one.
    """
    if not _is_utc(time.tzname, time.timezone, time.altzone):
        message = (
            f"{what}, whose times depend on the time zone of each process; this one's is {'/'.join(time.tzname)}. "
            f"Set `online_store: {{type: {STORE_TYPE}}}` in feature_store.yaml, remove the store's file and "
            "materialize again, or run every process with TZ=UTC."
        )
        raise RepoError(message)


def require_utc_for(online_store: object) -> None:
    """Refuse Feast's own SQLite store, and what inherits its times, in a process whose zone is not UTC.

    Args:
        online_store: Any online store. A subclass that keeps times otherwise says so by an attribute `keeps_utc`.

    Raises:
        RepoError: It is that store, and the zone is another one.
    """
    classes = {f"{one.__module__}.{one.__qualname__}" for one in type(online_store).__mro__}
    if "feast.infra.online_stores.sqlite.SqliteOnlineStore" in classes and not getattr(
        online_store, "keeps_utc", False
    ):
        require_utc("The online store is Feast's own SQLite store (`type: sqlite`)")


@lru_cache(maxsize=8)
def _is_utc(*_zone: object) -> bool:
    """Whether local time has been UTC in every month of the years that zones' rules are known for."""
    return all(month.timestamp() == month.replace(tzinfo=UTC).timestamp() for month in _MONTHS)
