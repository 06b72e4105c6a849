"""Features of drivers from the online store, as arrays, by the rules that the point-in-time join has too.

What Feast does not do online is done here: a value older than its feature view's ttl is missing. On-demand feature
views are read through ``get_online_features``, which runs their transformations.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from driver_ranking.errors import FeatureStoreError, StoreUnavailableError
from driver_ranking.feature_store.online_sample import NONE, Sampler
from driver_ranking.feature_store.online_sources import (
    RedisSource,
    Source,
    ViewRead,
    ViewRows,
    microseconds,
    open_source,
)
from driver_ranking.feature_store.redis_wire import LinkLostError
from driver_ranking.feature_store.repo import ServiceFeatures, explained, projected_columns
from driver_ranking.feature_store.sqlite_file import Gate
from driver_ranking.feature_store.sqlite_source import sqlite_gate
from driver_ranking.feature_store.sqlite_times import require_utc_for
from driver_ranking.ranking import is_fresh

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView, RepoConfig
    from feast.infra.online_stores.online_store import OnlineStore
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey

_MICROSECOND = timedelta(microseconds=1)
_UNREAD = np.iinfo(np.int64).max  # the event time of drivers of which nothing was read
_INT32 = np.iinfo(np.int32)

Row = tuple[datetime | None, dict[str, Any] | None]


@dataclass(frozen=True)
class OnlineFeatures:
    """What the online store has of some drivers.

    Attributes:
        matrix: float64 ``[n, k]``, columns in the order of the model's signature; NaN where a value is missing, null
            or older than its feature view's ttl.
        oldest: int64 ``[n]``, event time of each driver's oldest usable feature row, in microseconds since the epoch,
            UTC; the largest int64 where there is none.
    """

    matrix: NDArray[np.float64]
    oldest: NDArray[np.int64]


class OnlineReader(Protocol):
    """Reads the features of one model. One read at a time."""

    def read(self, driver_id: NDArray[np.int64], now: int) -> OnlineFeatures:
        """Read the features of drivers.

        Args:
            driver_id: int64 ``[n]``.
            now: The time of the request, in microseconds since the epoch, UTC: what is older than the ttl by then,
                or younger than it, is missing.

        Raises:
            StoreUnavailableError: The store can't be read.
        """
        ...

    async def read_async(self, driver_id: NDArray[np.int64], now: int, thread: Executor) -> OnlineFeatures:
        """Read likewise, without holding up the event loop: in a thread, or by the loop itself where that is faster.

        Args:
            driver_id: As in `read`.
            now: As in `read`.
            thread: The thread.

        Raises:
            StoreUnavailableError: The store can't be read.
        """
        ...

    def sample(self, count: int) -> NDArray[np.int64]:
        """Find drivers that the store has rows of, with a bounded look at it, however many rows it has.

        Args:
            count: How many at most.

        Returns:
            int64 ``[m]``, distinct, those with rows in most of the views first; empty if there are none, or the store
            is of a kind of which it can't be told.

        Raises:
            StoreUnavailableError: The store can't be read.
        """
        ...

    def close(self) -> None:
        """Let go of what only `read_async` uses, once a read that is on its way has ended. It can still be read."""
        ...


def open_reader(
    store: "FeatureStore", features: ServiceFeatures, wanted: tuple[str, ...], *, key: str, timeout: float
) -> OnlineReader:
    """Return a reader of the features that a model takes. The registry is read here, and not again.

    Args:
        store: The applied feature store.
        features: The model's feature service.
        wanted: The columns of the model's signature, in order.
        key: The column that names the driver in requests.
        timeout: How long the store may take to answer, in seconds, where it can be told.

    Raises:
        FeatureStoreError: A feature can't be read online by this key.
    """
    from feast.infra.provider import get_provider
    from feast.on_demand_feature_view import OnDemandFeatureView

    with explained("The online store can't be opened"):
        online_store: OnlineStore = get_provider(store.config).online_store
        require_utc_for(online_store)
        _limit_redis(online_store, store.config.online_store, timeout)
        sources = _sources(store, features, wanted)
    if any(isinstance(view, OnDemandFeatureView) for view, _, _ in sources):
        return _OnDemandReader(store, online_store, features, wanted, key)
    views = tuple(_view_read(view, names, columns, key) for view, names, columns in sources)
    source = open_source(store.config, online_store, views)
    gate = sqlite_gate(online_store, source)
    return _ViewReader(store, online_store, views, source, Sampler(source), len(wanted), gate)


def _sources(
    store: "FeatureStore", features: ServiceFeatures, wanted: tuple[str, ...]
) -> list[tuple[Any, list[str], list[int]]]:
    """Return each feature view that the model needs something of, with the features' names and their columns."""
    sources = []
    for projection in features.service.feature_view_projections:
        offered = projected_columns(projection, full_names=features.full_names)
        taken = [(name, wanted.index(column)) for name, column in offered.items() if column in wanted]
        if taken:
            view = store.registry.get_any_feature_view(projection.name, store.project)
            names, columns = zip(*taken, strict=True)
            sources.append((view.with_projection(projection), list(names), list(columns)))
    return sources


def _view_read(view: "FeatureView", names: Sequence[str], columns: Sequence[int], key: str) -> ViewRead:
    from feast.types import Bool, Float32, Float64, Int32, Int64

    if not view.online:
        message = f"The feature view {view.name!r} is not online (`online=False`): it can't be served."
        raise FeatureStoreError(message)
    odd = [
        field
        for field in view.features
        if field.name in names and field.dtype not in (Float32, Float64, Int32, Int64, Bool)
    ]
    if odd:
        message = f"The feature {odd[0].name!r} of {view.name!r} is not a number, but {odd[0].dtype}."
        raise FeatureStoreError(message)
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
        raise FeatureStoreError(message)
    return ViewRead(view, next(iter(keys)), value_field, _microseconds(view.ttl), tuple(names), tuple(columns))


def _microseconds(ttl: timedelta | None) -> int | None:
    return ttl // _MICROSECOND if ttl else None


@dataclass(frozen=True)
class _ViewReader:
    """Reads the feature views and applies their ttl."""

    store: "FeatureStore"
    online_store: "OnlineStore"
    views: tuple[ViewRead, ...]
    source: Source
    sampler: Sampler
    width: int
    gate: Gate

    def read(self, driver_id: NDArray[np.int64], now: int) -> OnlineFeatures:
        asked = self._asked(driver_id)
        with _unavailable(self.online_store), self.gate:
            _follow_file(self.online_store, self.store.config)
            rows = self.source.read(asked)
        return self._features(rows, asked == driver_id, now)

    async def read_async(self, driver_id: NDArray[np.int64], now: int, thread: Executor) -> OnlineFeatures:
        loop, source = asyncio.get_running_loop(), self.source
        if not isinstance(source, RedisSource):
            return await loop.run_in_executor(thread, self.read, driver_id, now)
        if source.link.is_open:
            asked = self._asked(driver_id)
            with _unavailable(self.online_store), contextlib.suppress(LinkLostError):
                return self._features(await source.read_in_loop(asked), asked == driver_id, now)
        return await loop.run_in_executor(thread, self._read_and_connect, source, driver_id, now)

    def _read_and_connect(self, source: RedisSource, driver_id: NDArray[np.int64], now: int) -> OnlineFeatures:
        features = self.read(driver_id, now)
        source.link.connect()
        return features

    def sample(self, count: int) -> NDArray[np.int64]:
        with _unavailable(self.online_store), self.gate:
            _follow_file(self.online_store, self.store.config)
            return self.sampler.sample(count)

    def close(self) -> None:
        if isinstance(self.source, RedisSource):
            self.source.link.close()
        self.gate.close()

    def _asked(self, driver_id: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return ids that the views' keys can have."""
        small = any(view.value_field == "int32_val" for view in self.views)
        return np.clip(driver_id, _INT32.min, _INT32.max) if small else driver_id

    def _features(self, rows: list[ViewRows], known: NDArray[np.bool_], now: int) -> OnlineFeatures:
        """Apply the views' ttl; ``known`` says which drivers have an id that the keys can have."""
        values = np.empty((len(known), self.width))
        oldest = np.full(len(known), _UNREAD)
        for view, found in zip(self.views, rows, strict=True):
            usable = is_fresh(found.times, np.int64(now), view.ttl) & known
            if not usable.all():
                found.values[~usable] = np.nan
            values[:, list(view.columns)] = found.values
            present = usable & ~np.isnan(found.values).all(axis=1)
            oldest = np.where(present, np.minimum(oldest, found.times), oldest)
        return OnlineFeatures(values, oldest)


class _OnDemandReader:
    """Reads through ``get_online_features``, which runs the transformations of on-demand feature views."""

    def __init__(
        self,
        store: "FeatureStore",
        online_store: "OnlineStore",
        features: ServiceFeatures,
        wanted: tuple[str, ...],
        key: str,
    ) -> None:
        self._store = store
        self._features = features
        self._wanted = wanted
        self._key = key
        self._fresh = _fresh_rows_store(online_store)
        self._gate = sqlite_gate(online_store)
        self._registry = _frozen_registry(store)

    def read(self, driver_id: NDArray[np.int64], now: int) -> OnlineFeatures:
        with _unavailable(self._fresh.inner), self._gate:
            _follow_file(self._fresh.inner, self._store.config)
            self._fresh.begin(now)
            answer = self._fresh.get_online_features(
                config=self._store.config,
                features=self._features.service,
                entity_rows={self._key: driver_id.tolist()},
                registry=self._registry,
                project=self._store.project,
                full_feature_names=self._features.full_names,
            ).to_dict()
            columns = [np.array(answer[name], dtype=np.float64) for name in self._wanted]
        oldest = [self._fresh.oldest.get(one, _UNREAD) for one in driver_id.tolist()]
        return OnlineFeatures(np.column_stack(columns), np.array(oldest, dtype=np.int64))

    async def read_async(self, driver_id: NDArray[np.int64], now: int, thread: Executor) -> OnlineFeatures:
        return await asyncio.get_running_loop().run_in_executor(thread, self.read, driver_id, now)

    def sample(self, count: int) -> NDArray[np.int64]:
        """Find none: to be done."""
        del count
        return NONE

    def close(self) -> None:
        self._gate.close()


def _frozen_registry(store: "FeatureStore") -> Any:  # noqa: ANN401 - Feast's registries share no type that says it
    """Return the registry as it is now: it is not read again, nor is a view refused while it is being materialized."""
    registry = store.registry
    registry.refresh(store.project)
    for name, value in (("cached_registry_proto_ttl", timedelta(0)), ("serve_features_while_materializing", True)):
        setattr(registry, name, value)  # of no effect on registries that don't cache
    return registry


def _fresh_rows_store(inner: "OnlineStore") -> Any:  # noqa: ANN401 - its class is made here, Feast is imported late
    """Return an online store that reads another one and leaves out rows that are older than their view's ttl."""
    from feast.infra.online_stores.online_store import OnlineStore

    class FreshRowsStore(OnlineStore):
        def __init__(self) -> None:
            self.inner = inner
            self.now = np.int64(0)
            self.oldest: dict[int, int] = {}

        def begin(self, now: int) -> None:
            self.now, self.oldest = np.int64(now), {}

        def online_read(
            self,
            config: "RepoConfig",
            table: "FeatureView",
            entity_keys: "list[EntityKey]",
            requested_features: list[str] | None = None,
        ) -> list[Row]:
            rows = self.inner.online_read(config, table, entity_keys, list(requested_features or []) or None)
            times = np.array([microseconds(time) for time, _ in rows], dtype=np.int64)
            fresh = is_fresh(times, self.now, _microseconds(table.ttl))
            for key, time, usable in zip(entity_keys, times.tolist(), fresh, strict=True):
                if usable and key.entity_values:
                    one = int(getattr(key.entity_values[0], key.entity_values[0].WhichOneof("val")))
                    self.oldest[one] = min(time, self.oldest.get(one, time))
            return [row if usable else (None, None) for row, usable in zip(rows, fresh, strict=True)]

        def _refuse(self, *_: object, **__: object) -> None:
            message = "this store only reads"
            raise NotImplementedError(message)

        online_write_batch = update = teardown = _refuse

    return FreshRowsStore()


@contextlib.contextmanager
def _unavailable(online_store: object) -> Iterator[None]:
    """Turn whatever a store raises into an error that says so."""
    try:
        yield
    except Exception as error:
        name = type(online_store).__name__.removesuffix("OnlineStore") or "online"
        message = f"The {name} online store can't be read: {str(error) or type(error).__name__}"
        raise StoreUnavailableError(message) from error


def _limit_redis(online_store: Any, config: Any, timeout: float) -> None:  # noqa: ANN401 - any store
    """Let a Redis answer within the time limit or fail.

    The client waits without an end by default, and tries for three seconds to reach a server that is not there. One
    new try is kept: after the server's restart, the first use of each pooled connection finds it closed.
    """
    if not hasattr(online_store, "_parse_connection_string"):
        return
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    client = online_store._get_client(config)  # noqa: SLF001 - Feast's store takes no client of others
    if isinstance(client, redis.Redis):
        settings = client.connection_pool.connection_kwargs
        for name in ("socket_timeout", "socket_connect_timeout"):
            settings[name] = settings.get(name) or timeout
        client.set_retry(Retry(NoBackoff(), 1))


def _follow_file(online_store: Any, config: Any) -> None:  # noqa: ANN401 - any store
    """Open a SQLite store's file again if another one has taken its place: the open one would never change."""
    if not hasattr(online_store, "_get_db_path"):
        return
    path = Path(online_store._get_db_path(config))  # noqa: SLF001 - Feast has no other way
    try:
        inode = path.stat().st_ino
    except FileNotFoundError:
        message = "its file is not there; materialize"  # else SQLite would make an empty one
        raise FeatureStoreError(message) from None
    if online_store._conn and inode != getattr(online_store, "driver_ranking_inode", inode):  # noqa: SLF001
        online_store._conn.close()  # noqa: SLF001 - likewise
        online_store._conn = None  # noqa: SLF001 - the store opens the new file
    online_store.driver_ranking_inode = inode
