"""When a feature row is young enough to be used: Feast's rule of the ttl, for what is read online.

Feast applies it in the point-in-time join alone: what its `get_online_features` gives may be of any age. Pure NumPy.
"""

import time
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MICROSECOND = timedelta(microseconds=1)


def is_fresh(
    feature_timestamp: NDArray[np.int64], request_timestamp: NDArray[np.int64] | np.int64, ttl: int | None
) -> NDArray[np.bool_]:
    """Return for each feature row whether it is young enough to be used at the time of the request.

    The rule is that of Feast's point-in-time join: ``request - ttl <= feature <= request``, both ends included.

    Args:
        feature_timestamp: int64 ``[n]``, event times in microseconds since the epoch, UTC.
        request_timestamp: int64 ``[n]`` or one value, likewise.
        ttl: Time to live in microseconds; None or 0 for no limit.
    """
    known = feature_timestamp <= request_timestamp
    if not ttl:
        return np.asarray(known)
    return np.asarray(known & (request_timestamp - feature_timestamp <= ttl))


def time_to_live(view: Any) -> int | None:  # noqa: ANN401 - a feature view of one of Feast's kinds
    """Return a view's ttl in microseconds; None for no limit."""
    ttl = getattr(view, "ttl", None)
    return ttl // _MICROSECOND if ttl else None


def microseconds_now() -> int:
    """Return the time, in microseconds since the epoch, UTC."""
    return time.time_ns() // 1000
