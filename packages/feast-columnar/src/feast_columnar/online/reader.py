"""Features of drivers from the online store, as arrays, by the rules that the point-in-time join has too.

What Feast does not do online is done here: a value older than its feature view's ttl is missing.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from driver_ranking.errors import UnservableFeatureError
from driver_ranking.feature_store.repo import ServiceFeatures, explained, projected_columns
from driver_ranking.ranking import is_fresh
from feast_columnar.online.access import follow_file, limit_redis, unavailable
from feast_columnar.online.features import UNREAD, OnlineFeatures, stored_key, time_to_live
from feast_columnar.online.on_demand import open_on_demand_reader
from feast_columnar.online.presence import Presence
from feast_columnar.online.redis import RedisSource
from feast_columnar.online.redis_wire import LinkLostError
from feast_columnar.online.sample import Sampler
from feast_columnar.online.sqlite import sqlite_gate
from feast_columnar.online.sqlite_file import Gate
from feast_columnar.online.sqlite_times import require_utc_for
from feast_columnar.online.stores import open_source
from feast_columnar.online.views import Source, ViewRead, ViewRows

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView
    from feast.infra.online_stores.online_store import OnlineStore

_INT32 = np.iinfo(np.int32)


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

    def lacking(self) -> tuple[str, ...]:
        """Look whether the store answers, and name the feature views of which it has no row of any driver.

        A bounded look; a view of which it can't be told is not named.

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
        limit_redis(online_store, store.config.online_store, timeout)
        sources = _sources(store, features, wanted)
    if any(isinstance(view, OnDemandFeatureView) for view, _, _ in sources):
        taken = [(view, names) for view, names, _ in sources]
        return open_on_demand_reader(store, online_store, features, taken, wanted=wanted, key=key)
    views = tuple(_view_read(view, names, columns, key) for view, names, columns in sources)
    source = open_source(store.config, online_store, views)
    gate = sqlite_gate(online_store, source)
    return _ViewReader(store, online_store, views, source, Presence(Sampler(source)), len(wanted), gate)


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

    stored = stored_key(view, key)
    odd = [
        field
        for field in view.features
        if field.name in names and field.dtype not in (Float32, Float64, Int32, Int64, Bool)
    ]
    if odd:
        message = f"The feature {odd[0].name!r} of {view.name!r} is not a number, but {odd[0].dtype}."
        raise UnservableFeatureError(message)
    return ViewRead(view, stored.join_key, stored.value_field, time_to_live(view), tuple(names), tuple(columns))


@dataclass(frozen=True)
class _ViewReader:
    """Reads the feature views and applies their ttl."""

    store: "FeatureStore"
    online_store: "OnlineStore"
    views: tuple[ViewRead, ...]
    source: Source
    presence: Presence
    width: int
    gate: Gate

    def read(self, driver_id: NDArray[np.int64], now: int) -> OnlineFeatures:
        asked = self._asked(driver_id)
        with unavailable(self.online_store), self.gate:
            follow_file(self.online_store, self.store.config)
            rows = self.source.read(asked)
        return self._features(rows, asked == driver_id, now)

    async def read_async(self, driver_id: NDArray[np.int64], now: int, thread: Executor) -> OnlineFeatures:
        loop, source = asyncio.get_running_loop(), self.source
        if not isinstance(source, RedisSource):
            return await loop.run_in_executor(thread, self.read, driver_id, now)
        if source.link.is_open:
            asked = self._asked(driver_id)
            with unavailable(self.online_store), contextlib.suppress(LinkLostError):
                return self._features(await source.read_in_loop(asked), asked == driver_id, now)
        return await loop.run_in_executor(thread, self._read_and_connect, source, driver_id, now)

    def _read_and_connect(self, source: RedisSource, driver_id: NDArray[np.int64], now: int) -> OnlineFeatures:
        features = self.read(driver_id, now)
        source.link.connect()
        return features

    def sample(self, count: int) -> NDArray[np.int64]:
        with unavailable(self.online_store), self.gate:
            follow_file(self.online_store, self.store.config)
            return self.presence.sampler.sample(count)

    def lacking(self) -> tuple[str, ...]:
        with unavailable(self.online_store), self.gate:
            follow_file(self.online_store, self.store.config)
            return self.presence.lacking()

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
        oldest = np.full(len(known), UNREAD)
        unreadable: NDArray[np.bool_] | None = None
        for view, found in zip(self.views, rows, strict=True):
            usable = is_fresh(found.times, np.int64(now), view.ttl) & known
            if not usable.all():
                found.values[~usable] = np.nan
            values[:, list(view.columns)] = found.values
            present = usable & ~np.isnan(found.values).all(axis=1)
            oldest = np.where(present, np.minimum(oldest, found.times), oldest)
            if found.unreadable is not None:
                unreadable = (found.unreadable & known) | (False if unreadable is None else unreadable)
        return OnlineFeatures(values, oldest, unreadable)
