"""Feature views as they are stored, read by the column, with their ttl applied."""

import asyncio
import contextlib
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from feast_columnar.errors import UnservableFeatureError
from feast_columnar.freshness import is_fresh, microseconds_now, time_to_live
from feast_columnar.online.access import StoreAccess
from feast_columnar.online.features import UNREAD, OnlineFeatures
from feast_columnar.online.join_key import common_key, stored_key
from feast_columnar.online.presence import Presence, StoreReader
from feast_columnar.online.redis import RedisSource
from feast_columnar.online.redis_wire import LinkLostError
from feast_columnar.online.sample import Sampler
from feast_columnar.online.sqlite import sqlite_gate
from feast_columnar.online.stores import open_source
from feast_columnar.online.taken import TakenView
from feast_columnar.online.views import Source, ViewRead, ViewRows

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.infra.online_stores.online_store import OnlineStore

_INT32 = np.iinfo(np.int32)


def open_view_reader(
    store: "FeatureStore",
    online_store: "OnlineStore",
    taken: Sequence[TakenView],
    columns: tuple[str, ...],
    key: str | None,
) -> "ViewReader":
    """Return a reader of features that are all stored. The registry is not read again.

    Args:
        store: The applied feature store.
        online_store: Its online store.
        taken: What is read of which views.
        columns: The reader's columns.
        key: What requests call the key; None for the one that the views have.

    Raises:
        UnservableFeatureError: A feature can't be read online by this key.
    """
    key = key or common_key(one.view for one in taken)
    views = tuple(_view_read(one, key) for one in taken)
    source = open_source(store.config, online_store, views)
    access = StoreAccess(store.config, online_store, sqlite_gate(online_store, source))
    return ViewReader(columns, access, Presence(Sampler(source)), views, source)


def _view_read(taken: TakenView, key: str) -> ViewRead:
    from feast.types import Bool, Float32, Float64, Int32, Int64

    view, names = taken.view, taken.features
    stored = stored_key(view, key)
    odd = [
        field
        for field in view.features
        if field.name in names and field.dtype not in (Float32, Float64, Int32, Int64, Bool)
    ]
    if odd:
        message = f"The feature {odd[0].name!r} of {view.name!r} is not a number, but {odd[0].dtype}."
        raise UnservableFeatureError(message)
    return ViewRead(view, stored.join_key, stored.value_field, time_to_live(view), names, taken.places)


@dataclass(frozen=True)
class ViewReader(StoreReader):
    """Reads feature views and applies their ttl. Its methods are those of `OnlineReader`.

    Attributes:
        views: What is read.
        source: What it is read from.
    """

    views: tuple[ViewRead, ...]
    source: Source

    def read(self, keys: NDArray[np.int64], now: int | None = None) -> OnlineFeatures:
        """Read the features of keys."""
        now = microseconds_now() if now is None else now
        asked = self._asked(keys)
        with self.access.reading():
            rows = self.source.read(asked)
        return self._features(rows, asked == keys, now)

    async def read_async(
        self, keys: NDArray[np.int64], now: int | None = None, thread: Executor | None = None
    ) -> OnlineFeatures:
        """Read likewise: over the event loop's own connection to Redis once there is one, in the thread until then."""
        now = microseconds_now() if now is None else now
        loop, source = asyncio.get_running_loop(), self.source
        if not isinstance(source, RedisSource):
            return await loop.run_in_executor(thread, self.read, keys, now)
        if source.link.is_open:
            asked = self._asked(keys)
            with self.access.naming_errors(), contextlib.suppress(LinkLostError):
                return self._features(await source.read_in_loop(asked), asked == keys, now)
        return await loop.run_in_executor(thread, self._read_and_connect, source, keys, now)

    def _read_and_connect(self, source: RedisSource, keys: NDArray[np.int64], now: int) -> OnlineFeatures:
        features = self.read(keys, now)
        source.link.connect()
        return features

    def _asked(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return keys that the views can have."""
        small = any(view.value_field == "int32_val" for view in self.views)
        return np.clip(keys, _INT32.min, _INT32.max) if small else keys

    def _features(self, rows: list[ViewRows], known: NDArray[np.bool_], now: int) -> OnlineFeatures:
        """Apply the views' ttl; ``known`` says which keys the views can have."""
        values = np.empty((len(known), len(self.columns)))
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

    def close(self) -> None:
        """Let go of connections and files."""
        if isinstance(self.source, RedisSource):
            self.source.link.close()
        super().close()
