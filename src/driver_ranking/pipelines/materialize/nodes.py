"""The node of pipeline ``materialize``."""

import contextlib
import io
import logging
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from driver_ranking.errors import FeatureStoreError, RequestError
from driver_ranking.feature_store.library_errors import own_errors
from feast_columnar.online.sqlite_times import require_utc_for

if TYPE_CHECKING:
    from feast import FeatureStore

logger = logging.getLogger(__name__)

# what fits into nanoseconds of 64 bits, in whole years
_FIRST, _LAST = datetime(1678, 1, 1, tzinfo=UTC), datetime(2262, 1, 1, tzinfo=UTC)
_SHOWN = 60


def materialize(
    feature_store: "FeatureStore", start: str | date | int | None, end: str | date | int | None
) -> dict[str, object]:
    """Write the latest feature values into the online store.

    With a start, the values of ``start <= event time <= end``. Without one, incrementally: from where each feature
    view's last materialization ended, the first time from its ttl back. Running it again changes nothing.

    Args:
        feature_store: The applied feature store.
        start: ISO 8601 time, UTC where it has no offset; None for incremental.
        end: Likewise; None for now.

    Returns:
        What was brought: mode, start, end and feature views.

    Raises:
        RequestError: A time can't be read, the start is not before the end or in the future, or the end of an
            incremental run is.
        FeatureStoreError: A store fails, or its times depend on the zone of this process, which is not UTC.
    """
    from feast_columnar.materialization.ranges import online_views

    with own_errors():
        require_utc_for(feature_store._get_provider().online_store)  # noqa: SLF001 - Feast has no other way
    now = datetime.now(tz=UTC)
    first, last = _time(start, "start"), _time(end, "end") or now
    if last > now and first is None:
        message = f"end={last.isoformat()} is in the future: the next incremental run would begin there and miss rows."
        raise RequestError(message)
    if first is not None and first > now:
        message = f"start={first.isoformat()} is in the future: there is nothing to bring yet."
        raise RequestError(message)
    if first is not None and first >= last:
        message = f"start={first.isoformat()} is not before end={last.isoformat()}."
        raise RequestError(message)
    views = [view.name for view in online_views(feature_store)]
    _run(feature_store, first, last, now)
    last = min(last, now)  # rows that arrive from here on are for the next run
    mode = "incremental" if first is None else "full"
    logger.info("Materialized %s up to %s (%s).", ", ".join(views) or "nothing", last.isoformat(), mode)
    started = first.isoformat() if first else None
    return {"mode": mode, "start": started, "end": last.isoformat(), "feature_views": views}


def _run(feature_store: "FeatureStore", start: datetime | None, end: datetime, now: datetime) -> None:
    from feast_columnar.materialization.ranges import materialize_on, materialize_range

    try:
        with contextlib.redirect_stdout(io.StringIO()):  # Feast prints; the log says the same
            if start is None:
                materialize_on(feature_store, end, now)
            else:
                materialize_range(feature_store, start, end, now)
    except Exception as error:
        message = f"The features can't be materialized: {str(error) or type(error).__name__}"
        raise FeatureStoreError(message) from error


def _time(value: object, name: str) -> datetime | None:
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
