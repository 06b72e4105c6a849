"""Materialize, and remember what was brought rather than what was asked for.

Feast keeps the interval that a materialization was asked for, and an incremental one goes on from the latest end. An
end in the future is therefore one that nothing goes on from until then: rows that arrive meanwhile are never brought.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

from feast_columnar.ledger.recording import one_run
from feast_columnar.materialization.intervals import brought_up_to, refill_start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from feast import FeatureStore
    from feast.feature_view import FeatureView

    from feast_columnar.ledger.entries import Run

logger = logging.getLogger(__name__)


def materialize_range(store: FeatureStore, start: datetime, end: datetime, now: datetime) -> Run:
    """Bring the rows of a range; where it ends in the future, what is remembered ends now.

    Args:
        store: The applied feature store.
        start: The first event time, not after now.
        end: The last event time.
        now: The time before any row was read.

    Returns:
        What tells its entries in the ledger, if the repo keeps one.
    """
    for view in online_views(store):
        last = brought_up_to(view)
        if last is not None and last < start:
            logger.warning(
                "The rows of %s between %s, where its last materialization ended, and start=%s are not brought by this "
                "run, and not by incremental ones, which go on from its end.",
                view.name,
                _shown(last),
                _shown(start),
            )
    with one_run("full", start, min(end, now)) as run, _remembering(store.registry, now):
        store.materialize(start_date=start, end_date=end)
    return run


def materialize_on(store: FeatureStore, end: datetime, now: datetime) -> Run:
    """Bring the rows since the last materialization; the first time those of the view's ttl.

    Args:
        store: The applied feature store.
        end: The last event time, not after now.
        now: The time before any row was read.

    Returns:
        What tells its entries in the ledger, if the repo keeps one.
    """
    with one_run("incremental", None, min(end, now)) as run, _remembering(store.registry, now):
        for view in online_views(store):
            last, said = brought_up_to(view), view.most_recent_end_time
            if last is None or said is None:
                continue
            start = last
            if last > now:
                start = refill_start(view, now)
                logger.warning(
                    "The registry says that %s is materialized up to %s, which is in the future: what of it has been "
                    "brought is not known, so it is brought from %s on.",
                    view.name,
                    _shown(last),
                    _shown(start),
                )
            if start >= end:
                message = "Nothing to bring to %s: it is materialized up to %s, and end=%s is not after that."
                logger.warning(message, view.name, _shown(last), _shown(end))
            elif start < said:  # Feast would go on from there
                store.materialize(start_date=start, end_date=end, feature_views=[view.name])
        store.materialize_incremental(end_date=end)
    return run


def online_views(store: FeatureStore) -> list[FeatureView]:
    """Return the views that Feast materializes, those of streams among them, sorted by name."""
    registry: Any = store.registry  # the store's own lists take the stand-in for a key out of views that Feast keeps
    views = [*registry.list_feature_views(store.project), *registry.list_stream_feature_views(store.project)]
    return sorted((view for view in views if view.online and view.enabled), key=lambda view: str(view.name))


@contextlib.contextmanager
def _remembering(registry: Any, now: datetime) -> Iterator[None]:  # noqa: ANN401 - Feast's registries share no type
    """Have a registry keep intervals that are true; Feast has no way to change one that is kept."""
    keep = registry.apply_materialization

    def brought(view: FeatureView, project: str, start: datetime, end: datetime, commit: bool = True) -> None:  # noqa: FBT001, FBT002 - Feast's interface
        if start <= now:  # one that goes on from a time in the future stays as it is: see `brought_up_to`
            end = min(end, now)
            start = min(start, end)  # nothing was asked for if it comes after the end
        keep(view, project, start, end, commit)

    registry.apply_materialization = brought
    try:
        yield
    finally:
        del registry.apply_materialization


def _shown(time: datetime) -> str:
    return time.isoformat(timespec="seconds")
