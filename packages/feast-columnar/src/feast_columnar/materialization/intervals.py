"""What a registry remembers of materializations, and from where an incremental one has to start.

Feast takes the registry's word for what a store holds. A store that was flushed, removed, replaced by another or is not
the one that the registry was filled for has none of it, and would be given only what is new since.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from feast.feature_view import FeatureView

_YEAR: Final = timedelta(weeks=52)
"""What Feast goes back where a view has no ttl."""

_LONGEST: Final = timedelta(days=73_000)
"""Further back than two hundred years there is no time that all stores can compare with."""


def refill_start(view: FeatureView, now: datetime) -> datetime:
    """Return from where a store that has lost a view's features is filled again.

    As the first time, from the view's ttl back; from further back if earlier materializations began there, so that
    nothing is missing that was there before.

    Args:
        view: A feature view that has been materialized before.
        now: The time, with a zone.
    """
    back = now - min(view.ttl or _YEAR, _LONGEST)
    return min([back, *(_aware(start) for start, _ in view.materialization_intervals)])


def brought_up_to(view: FeatureView) -> datetime | None:
    """Return up to when a view's rows have been brought, which is where an incremental materialization goes on.

    That is the latest end of the intervals that the registry keeps, but for one: an interval that ends before it begins
    was kept by an incremental run that came before the end of an earlier one, and had to bring its rows by itself.

    Returns:
        None for a view that has not been materialized.
    """
    last: datetime | None = None
    for start, end in view.materialization_intervals:
        last = _aware(end) if last is None or start > end else max(last, _aware(end))
    return last


def goes_on(view: FeatureView, start: datetime) -> bool:
    """Tell whether a materialization with this start goes on from where the view's last one has ended."""
    return brought_up_to(view) == _aware(start)


def _aware(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)
