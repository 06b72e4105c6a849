"""What is read of drivers, and when it counts."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from driver_ranking.errors import UnservableFeatureError

UNREAD = np.iinfo(np.int64).max  # the event time of drivers of which nothing was read

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class OnlineFeatures:
    """What the online store has of some drivers.

    Attributes:
        matrix: float64 ``[n, k]``, columns in the order of the model's signature; NaN where a value is missing, null
            or older than its feature view's ttl.
        oldest: int64 ``[n]``, event time of each driver's oldest usable feature row, in microseconds since the epoch,
            UTC; the largest int64 where there is none.
        unreadable: bool ``[n]``, drivers of whom the store holds something that can't be read; their features are
            missing. None if there are none.
    """

    matrix: NDArray[np.float64]
    oldest: NDArray[np.int64]
    unreadable: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class StoredKey:
    """How a feature view's rows are keyed in the store.

    Attributes:
        join_key: Name of the one join key, in the store.
        value_field: The field of Feast's value message that holds a key, ``int64_val`` or ``int32_val``.
    """

    join_key: str
    value_field: str


def stored_key(view: Any, key: str) -> StoredKey:  # noqa: ANN401 - a feature view of one of Feast's kinds
    """Return how a view's rows are keyed, where the key is one integer.

    Args:
        view: The view, projected as the service wants it.
        key: What names the driver in requests.

    Raises:
        UnservableFeatureError: It is keyed otherwise, or not online.
    """
    from feast.types import Int32, Int64

    if not getattr(view, "online", True):
        message = f"The feature view {view.name!r} is not online (`online=False`): it can't be served."
        raise UnservableFeatureError(message)
    fields = {"int64_val": Int64, "int32_val": Int32}
    keys = {column.name: column.dtype for column in view.entity_columns}
    named = [view.projection.join_key_map.get(name, name) for name in keys]
    value_field = next((field for field, dtype in fields.items() if [dtype] == list(keys.values())), None)
    if named != [key] or value_field is None:
        found = ", ".join(f"{name} ({dtype})" for name, dtype in keys.items()) or "none"
        message = (
            f"The feature view {view.name!r} has the join keys {found}; what is served online is keyed by one integer, "
            f"{key!r}."
        )
        raise UnservableFeatureError(message)
    return StoredKey(next(iter(keys)), value_field)


def time_to_live(view: Any) -> int | None:  # noqa: ANN401 - as above
    """Return a view's ttl in microseconds; None for no limit."""
    ttl = getattr(view, "ttl", None)
    return ttl // _MICROSECOND if ttl else None
