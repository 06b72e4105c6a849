"""Features of keys from an online store, as arrays: `open_reader` for any Feast feature service.

    reader = open_reader(store, "driver_stats_v1", timeout=1.0)
    features = reader.read(np.array([1001, 1002]))
    features.matrix   # float64 [2, k], NaN where a value is missing, null or too old
    features.oldest   # int64 [2], event times in microseconds since the epoch, UTC

    reader = open_reader(store, "trips", columns=["rating", "zone_name"])
    reader.keys, reader.request   # what it wants: {"driver_id": Int64, "zone": String}, {"distance": Float64}
    features = reader.read({"driver_id": [1001, 1002], "zone": ["north"]}, request={"distance": [3.5]})
    features.others["zone_name"]   # texts, bytes and booleans as objects [2], None where there is none
    features.event_times()["rating"]   # int64 [2], of each column and row

Feast's `get_online_features` makes an object of each key and each value, and takes values of any age. Here keys and
values stay columns, and the ttl of a feature view holds as it does in the point-in-time join: a value counts from its
event time on, for as long as the ttl, both ends included (`feast_columnar.freshness`).
"""

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from feast_columnar.errors import RepoError
from feast_columnar.feature_service import column_types, number_columns, require_number, service_columns
from feast_columnar.online.features import OnlineFeatures
from feast_columnar.online.objects import OBJECTS, ObjectType
from feast_columnar.online.on_demand import OnDemandService
from feast_columnar.online.requested import Columns, Keys
from feast_columnar.online.sqlite_times import require_utc_for
from feast_columnar.online.taken import TakenView, taken_views
from feast_columnar.online.view_reader import open_view_reader
from feast_columnar.redaction import explained

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore
    from feast.infra.online_stores.online_store import OnlineStore
    from feast.types import FeastType


class OnlineReader(Protocol):
    """Reads some columns of a feature service. One read at a time."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the names of the columns that are read as numbers, in order."""
        ...

    @property
    def others(self) -> tuple[str, ...]:
        """Return the names of those that are read as objects: texts, bytes, and booleans that were asked for so."""
        ...

    @property
    def keys(self) -> "Mapping[str, FeastType]":
        """Return the names of the keys, as requests call them, with their types."""
        ...

    @property
    def request(self) -> "Mapping[str, FeastType]":
        """Return the names of what else requests have to have (`RequestSource`), with their types."""
        ...

    def read(self, keys: Keys, now: int | None = None, *, request: Columns | None = None) -> OnlineFeatures:
        """Read the features of keys.

        Args:
            keys: By name an array of n keys, or of one for all rows. If there is one that is an integer, also int64
                ``[n]`` alone. In any order, also repeated; keys that a view of 32-bit keys can't have are missing.
            now: The time of the request, in microseconds since the epoch, UTC: what is older than the ttl by then, or
                younger than it, is missing. The current time if not given.
            request: What else the request has, by name, likewise. A null (NaN, None) is an input that is missing.

        Returns:
            The values, float64 ``[n, k]`` and objects ``[n]``, with their event times.

        Raises:
            RequestError: Keys or what else the request has are missing, unknown, null, of another type or length.
            StoreUnavailableError: The store can't be read, or not in time.
            FeaturesLostError: It has lost its file or a table.
            OnDemandFeatureError: The code of an on-demand feature view fails for keys that have all of its inputs.
        """
        ...

    async def read_async(
        self,
        keys: Keys,
        now: int | None = None,
        thread: Executor | None = None,
        *,
        request: Columns | None = None,
    ) -> OnlineFeatures:
        """Read likewise, without holding up the event loop: in a thread, or by the loop itself where that is faster.

        Args:
            keys: As in `read`.
            now: As in `read`.
            thread: The thread; the event loop's own executor if not given.
            request: As in `read`.

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
            int64 ``[m]``, distinct, those with rows in most of the views first; empty if there are none, if the store
            is of a kind of which it can't be told, or if what is read is not keyed by one integer alone.

        Raises:
            StoreUnavailableError: The store can't be read.
        """
        ...

    def sample_keys(self, candidate: str, count: int) -> dict[str, list[Any]] | None:
        """Find keys of any kind that the store has rows of, which one request can ask for, with a bounded look at it.

        Args:
            candidate: The key of which several are wanted; of each other there will be one.
            count: How many at most.

        Returns:
            By name. Nothing of the candidate if there are none; None if the store is of a kind of which it can't be
            told.

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
    as_bool: Collection[str] = (),
    key: str | None = None,
    full_feature_names: bool = False,
    timeout: float = 5.0,
) -> OnlineReader:
    """Return a reader of a feature service's features. The registry is read here, and not again.

    Feature views, their on-demand views, projections under other names and join-key maps are read as
    `get_online_features` reads them, by any keys. Redis and SQLite are read directly, other stores through their own
    `online_read`. Features must be numbers, booleans, texts or bytes.

    Args:
        store: The applied feature store.
        service: The feature service, or its name.
        columns: Which columns to read, in this order, each once; all that are numbers, in the service's order, if not
            given. Those that are texts or bytes are read as objects.
        as_bool: Which of them, being booleans, are read as objects too, rather than as 0 and 1.
        key: What requests call the one integer by which all is read, where nothing else will do; any keys if not given.
        full_feature_names: Whether columns are named ``view__feature``, as in `get_online_features`.
        timeout: How long a Redis may take to answer, in seconds, where its connection string does not say; other
            stores know no limit.

    Returns:
        The reader.

    Raises:
        RepoError: There is no such service or column, two of its features have one name, the store can't be opened,
            or is Feast's own SQLite store, whose times depend on the zone of each process, and this one is not in UTC.
        UnservableFeatureError: A feature or a key is of a type that is not read, is keyed otherwise, or not online.
    """
    found = _service_named(store, service) if isinstance(service, str) else service
    wanted = _wanted(found, columns, full_feature_names=full_feature_names)
    with explained("The online store can't be opened", RepoError):
        online_store = _opened(store, timeout)
        taken = taken_views(store, found, wanted, full_feature_names=full_feature_names)
    others = _others(found, wanted, as_bool, full_feature_names=full_feature_names)
    numbers = tuple(name for name in wanted if name not in others)
    if any(map(_is_on_demand, taken)):
        types = column_types(found, full_feature_names=full_feature_names)
        for name in numbers:
            require_number(name, f"the feature service {found.name!r}", types[name])
        opened = OnDemandService(store, online_store, found)
        return opened.reader(taken, numbers, others=others, key=key)
    return open_view_reader(store, online_store, taken, numbers, others=others, key=key)


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


def _others(
    service: "FeatureService", wanted: Sequence[str], as_bool: Collection[str], *, full_feature_names: bool
) -> dict[str, ObjectType]:
    """Return the columns that are read as objects.

    Raises:
        RepoError: A column that is to be read as booleans holds none, or is not read.
    """
    from feast.types import Bool

    types = column_types(service, full_feature_names=full_feature_names)
    for name in as_bool:
        if name not in wanted or types[name] != Bool:
            message = f"The column {name!r} can't be read as booleans: it is {types.get(name, 'not there')}."
            raise RepoError(message)
    return {
        name: OBJECTS[types[name]]
        for name in wanted
        if types[name] in OBJECTS and (types[name] != Bool or name in as_bool)
    }


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
