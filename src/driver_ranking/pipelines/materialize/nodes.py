"""The node of pipeline ``materialize``."""

import contextlib
import io
import logging
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from driver_ranking.errors import FeatureStoreError, RequestError
from driver_ranking.feature_store.library_errors import own_errors
from driver_ranking.pipelines.times import time_of
from feast_columnar.online.sqlite_times import require_utc_for

if TYPE_CHECKING:
    from feast import FeatureStore

    from feast_columnar.ledger.entries import Run

logger = logging.getLogger(__name__)


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
        What was brought: mode, start, end and feature views, as the ledger of materializations has it of this run.

    Raises:
        RequestError: A time can't be read, the start is not before the end or in the future, or the end of an
            incremental run is.
        FeatureStoreError: A store fails, or its times depend on the zone of this process, which is not UTC.
    """
    from feast_columnar.materialization.ranges import online_views

    with own_errors():
        require_utc_for(feature_store._get_provider().online_store)  # noqa: SLF001 - Feast has no other way
    now = datetime.now(tz=UTC)
    first, last = time_of(start, "start"), time_of(end, "end") or now
    if last > now and first is None:
        message = f"end={last.isoformat()} is in the future: the next incremental run would begin there and miss rows."
        raise RequestError(message)
    if first is not None and first > now:
        message = f"start={first.isoformat()} is in the future: there is nothing to bring yet."
        raise RequestError(message)
    if first is not None and first >= last:
        message = f"start={first.isoformat()} is not before end={last.isoformat()}."
        raise RequestError(message)
    brought = [view.name for view in online_views(feature_store)]
    run = _run(feature_store, first, last, now)
    views = _recorded_views(feature_store, run, brought, now)
    logger.info("Materialized %s up to %s (%s).", ", ".join(views) or "nothing", run.end, run.mode)
    return {"mode": run.mode, "start": run.start, "end": run.end, "feature_views": views}


def _recorded_views(feature_store: "FeatureStore", run: "Run", brought: list[str], since: datetime) -> list[str]:
    """Return the views that the ledger has of a run, or, said aloud, what was brought though it has not all of it."""
    from feast_columnar.ledger.settings import ledger_of

    ledger = ledger_of(feature_store.config)
    if ledger is None:
        return brought
    try:
        recorded = sorted({entry.view for entry in ledger.run(run.id, since=since) if entry.start is not None})
    except Exception as error:  # noqa: BLE001 - whatever a ledger fails at, the materialization has ended well
        logger.error("The ledger of materializations %s can't be read: %s", ledger.place, error)  # noqa: TRY400 - no traceback
        return brought
    if recorded != brought:
        missing = ", ".join(sorted(set(brought) - set(recorded)))
        logger.error("The ledger of materializations %s lacks what was brought of %s.", ledger.place, missing)
        return brought
    return recorded


def _run(feature_store: "FeatureStore", start: datetime | None, end: datetime, now: datetime) -> "Run":
    from feast_columnar.materialization.ranges import materialize_on, materialize_range

    try:
        with contextlib.redirect_stdout(io.StringIO()):  # Feast prints; the log says the same
            if start is None:
                return materialize_on(feature_store, end, now)
            return materialize_range(feature_store, start, end, now)
    except Exception as error:
        message = f"The features can't be materialized: {str(error) or type(error).__name__}"
        raise FeatureStoreError(message) from error
