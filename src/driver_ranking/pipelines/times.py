"""Times that runs are given by ``--params``."""

from datetime import UTC, date, datetime

from driver_ranking.errors import RequestError

# what fits into nanoseconds of 64 bits, in whole years
_FIRST, _LAST = datetime(1678, 1, 1, tzinfo=UTC), datetime(2262, 1, 1, tzinfo=UTC)
_SHOWN = 60


def time_of(value: object, name: str) -> datetime | None:
    """Return the time that a parameter gives.

    Args:
        value: ISO 8601, UTC where it has no offset; None or nothing for no time.
        name: What the parameter is called.

    Raises:
        RequestError: It is no time, or none that the stores can keep.
    """
    if value is None or value == "":
        return None
    try:
        time = datetime.fromisoformat(value.isoformat() if isinstance(value, date) else str(value))
        time = time if time.tzinfo else time.replace(tzinfo=UTC)
        in_range = _FIRST <= time < _LAST
    except (ValueError, OverflowError) as error:
        message = f"{name}={_shortened(value)} is not a time such as 2026-06-15T08:00:00+00:00."
        raise RequestError(message) from error
    if not in_range:
        message = f"{name}={time.isoformat()} is not a time that the stores can keep: give a year from 1678 to 2261."
        raise RequestError(message)
    return time


def _shortened(value: object) -> str:
    try:
        text = str(value)
    except ValueError:  # Python writes no number of thousands of digits
        return "(a number of thousands of digits)"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)} characters)"


def known_time_of(value: object, name: str) -> datetime | None:
    """Return the time at which the world is to be seen as it was known then.

    Raises:
        RequestError: It is no time, or in the future.
    """
    time = time_of(value, name)
    if time is not None and time > datetime.now(tz=UTC):
        message = f"{name}={time.isoformat()} is in the future: what will be known then can't be joined yet."
        raise RequestError(message)
    return time
