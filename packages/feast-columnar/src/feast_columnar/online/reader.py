"""Features of keys from an online store, as arrays: `open_reader` for any Feast feature service.

    reader = open_reader(store, "driver_stats_v1", key="driver_id", timeout=1.0)
    features = reader.read(np.array([1001, 1002]))
    features.matrix   # float64 [2, k], NaN where a value is missing, null or too old
    features.oldest   # int64 [2], event times in microseconds since the epoch, UTC

Feast's `get_online_features` makes an object of each key and each value, and takes values of any age. Here keys and
values stay columns, and the ttl of a feature view holds as it does in the point-in-time join: a value counts from its
event time on, for as long as the ttl, both ends included (`feast_columnar.freshness`).
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from feast_columnar.errors import RepoError
from feast_columnar.feature_service import number_columns, service_columns
from feast_columnar.online.features import OnlineFeatures
from feast_columnar.online.on_demand import open_on_demand_reader
from feast_columnar.online.sqlite_times import require_utc_for
from feast_columnar.online.taken import TakenView, taken_views
from feast_columnar.online.view_reader import open_view_reader
from feast_columnar.redaction import explained

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore
    from feast.infra.online_stores.online_store import OnlineStore


class OnlineReader(Protocol):
    """Reads some columns of a feature service. One read at a time."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the names of the columns that are read, in order."""
        ...

    def read(self, keys: NDArray[np.int64], now: int | None = None) -> OnlineFeatures:
        """Read the features of keys.

        Args:
            keys: int64 ``[n]``, in any order, also repeated; keys that a view of 32-bit keys can't have are missing.
            now: The time of the request, in microseconds since the epoch, UTC: what is older than the ttl by then, or
                younger than it, is missing. The current time if not given.

        Returns:
            The values, float64 ``[n, k]``, with their event times.

        Raises:
            StoreUnavailableError: The store can't be read, or not in time.
            FeaturesLostError: It has lost its file or a table.
            OnDemandFeatureError: The code of an on-demand feature view fails for keys that have all of its inputs.
        """
        ...

    async def read_async(
        self, keys: NDArray[np.int64], now: int | None = None, thread: Executor | None = None
    ) -> OnlineFeatures:
        """Read likewise, without holding up the event loop: in a thread, or by the loop itself where that is faster.

        Args:
            keys: As in `read`.
            now: As in `read`.
            thread: The thread; the event loop's own executor if not given.

        Returns:
            As `read` does.

        Raises:
            StoreUnavailableError: As in `read`, as are the others.
        """
        ...

    def sample(self, count: int) -> NDArray[np.int64]:
        """Find keys that the store has rows of, with a bounded look at it, however many rows it has.

        Args:
            count: How many at most.

        Returns:
            int64 ``[m]``, distinct, those with rows in most of the views first; empty if there are none, or the store
            is of a kind of which it can't be told.

        Raises:
            StoreUnavailableError: The store can't be read.
        """
        ...

    def lacking(self) -> tuple[str, ...]:
        """Look whether the store answers, and name the feature views of which it has no row of any key.

        A bounded look; a view of which it can't be told is not named.

        Raises:
            StoreUnavailableError: The store can't be read.
        """
        ...

    def close(self) -> None:
        """Let go of the store's files and of what only `read_async` uses, once a read on its way has ended.

        It can still be read: files are opened again.
        """
        ...


def open_reader(  # noqa: PLR0913 - each of them is another thing, and most have a default
    store: "FeatureStore",
    service: "FeatureService | str",
    *,
    columns: Sequence[str] | None = None,
    key: str | None = None,
    full_feature_names: bool = False,
    timeout: float = 5.0,
) -> OnlineReader:
    """Return a reader of a feature service's features. The registry is read here, and not again.

    Feature views, their on-demand views, projections under other names and join-key maps are read as
    `get_online_features` reads them. Redis and SQLite are read directly, other stores through their own
    `online_read`. A view must have one join key, a 64-bit or 32-bit integer; features must be numbers or booleans.

    Args:
        store: The applied feature store.
        service: The feature service, or its name.
        columns: Which columns to read, in this order, each once; all that are numbers, in the service's order, if not
            given.
        key: What requests call the join key; found by itself if all views have the same one.
        full_feature_names: Whether columns are named ``view__feature``, as in `get_online_features`.
        timeout: How long a Redis may take to answer, in seconds, where its connection string does not say; other
            stores know no limit.

    Returns:
        The reader.

    Raises:
        RepoError: There is no such service or column, two of its features have one name, the store can't be opened,
            or is Feast's own SQLite store, whose times depend on the zone of each process, and this one is not in UTC.
        UnservableFeatureError: A feature is not a number, is keyed otherwise, not online, or made of a request's data.
    """
    found = _service_named(store, service) if isinstance(service, str) else service
    wanted = _wanted(found, columns, full_feature_names=full_feature_names)
    with explained("The online store can't be opened", RepoError):
        online_store = _opened(store, timeout)
        taken = taken_views(store, found, wanted, full_feature_names=full_feature_names)
    if any(map(_is_on_demand, taken)):
        return open_on_demand_reader(
            store, online_store, found, taken, columns=wanted, key=key, full_feature_names=full_feature_names
        )
    return open_view_reader(store, online_store, taken, wanted, key)


def _service_named(store: "FeatureStore", name: str) -> "FeatureService":
    with explained(f"The feature service {name!r} can't be read", RepoError):
        service: FeatureService = store.get_feature_service(name)
        return service


def _wanted(service: "FeatureService", columns: Sequence[str] | None, *, full_feature_names: bool) -> tuple[str, ...]:
    """Return the columns to read, each of which the service has once.

    Raises:
        RepoError: It has not, or there are none.
    """
    offered = service_columns(service, full_feature_names=full_feature_names)
    wanted = number_columns(service, full_feature_names=full_feature_names) if columns is None else tuple(columns)
    has = ", ".join(map(repr, offered))
    unknown = [name for name in wanted if name not in offered]
    twice = [name for name in wanted if wanted.count(name) > 1 or offered.count(name) > 1]
    if unknown:
        named = ", ".join(map(repr, unknown))
        message = f"The feature service {service.name!r} has no column {named}; it has {has}."
    elif twice:
        message = (
            f"Which column {twice[0]!r} is, is not clear: name each one once, and where the feature service "
            f"{service.name!r} has features of one name, by full_feature_names=True."
        )
    elif not wanted:
        message = f"No column of the feature service {service.name!r} is to be read; it has {has}."
    else:
        return wanted
    raise RepoError(message)


def _opened(store: "FeatureStore", timeout: float) -> "OnlineStore":
    """Return the online store, in a process whose zone it can be read in, and with its time limit."""
    from feast.infra.provider import get_provider

    online_store: OnlineStore = get_provider(store.config).online_store
    require_utc_for(online_store)
    if hasattr(online_store, "_parse_connection_string"):  # Feast's Redis store, or one that inherits it
        from feast_columnar.online.redis_limits import limit_redis

        limit_redis(online_store, store.config.online_store, timeout)
    return online_store


def _is_on_demand(taken: TakenView) -> bool:
    from feast.on_demand_feature_view import OnDemandFeatureView

    return isinstance(taken.view, OnDemandFeatureView)
