"""Feature views as they are stored, read by the column, with their ttl applied."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from feast_columnar.feature_service import require_number
from feast_columnar.freshness import is_fresh, microseconds_now, time_to_live
from feast_columnar.online.access import StoreAccess
from feast_columnar.online.features import UNREAD, OnlineFeatures, RowTimes
from feast_columnar.online.join_key import asked_keys, view_key
from feast_columnar.online.objects import ObjectFeature, ObjectType, objects
from feast_columnar.online.presence import Presence, StoreReader
from feast_columnar.online.redis import RedisSource
from feast_columnar.online.redis_wire import LinkLostError
from feast_columnar.online.requested import Columns, Keys, Requested, RequestSchema
from feast_columnar.online.sample import Sampler
from feast_columnar.online.sqlite import sqlite_gate
from feast_columnar.online.stores import open_source
from feast_columnar.online.taken import TakenView
from feast_columnar.online.view_keys import ViewKeys
from feast_columnar.online.views import Source, ViewRead, ViewRows

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.infra.online_stores.online_store import OnlineStore


def open_view_reader(  # noqa: PLR0913 - each of them is another thing
    store: "FeatureStore",
    online_store: "OnlineStore",
    taken: Sequence[TakenView],
    columns: tuple[str, ...],
    *,
    others: Mapping[str, ObjectType],
    key: str | None,
) -> "ViewReader":
    """Return a reader of features that are all stored. The registry is not read again.

    Args:
        store: The applied feature store.
        online_store: Its online store.
        taken: What is read of which views.
        columns: The columns that are numbers.
        others: Those that are none.
        key: What requests call the one integer by which all is read; None where any keys will do.

    Raises:
        UnservableFeatureError: A feature can't be read online by this key.
    """
    views = tuple(_view_read(one, columns, others, key) for one in taken)
    schema = RequestSchema(asked_keys([one.view for one in taken], [view.key for view in views]))
    source = open_source(store.config, online_store, views)
    access = StoreAccess(store.config, online_store, sqlite_gate(online_store, source))
    presence = Presence(Sampler.of(source, schema.integer))
    return ViewReader(columns, access, presence, schema, tuple(others), views, source)


def _view_read(
    taken: TakenView, columns: tuple[str, ...], others: Mapping[str, ObjectType], key: str | None
) -> ViewRead:
    view, stored = taken.view, view_key(taken.view, key)
    dtypes = {field.name: field.dtype for field in view.features}
    numbers = {name: columns.index(column) for name, column in taken.features.items() if column in columns}
    texts = [ObjectFeature(name, column, others[column]) for name, column in taken.features.items() if column in others]
    for name in [one for one in numbers if one in dtypes]:
        require_number(name, repr(view.name), dtypes[name])
    return ViewRead(view, stored, time_to_live(view), tuple(numbers), tuple(numbers.values()), tuple(texts))


@dataclass(frozen=True)
class ViewReader(StoreReader):
    """Reads feature views and applies their ttl. Its methods are those of `OnlineReader`.

    Attributes:
        views: What is read.
        source: What it is read from.
    """

    views: tuple[ViewRead, ...]
    source: Source

    def read(self, keys: Keys, now: int | None = None, *, request: Columns | None = None) -> OnlineFeatures:
        """Read the features of keys."""
        now = microseconds_now() if now is None else now
        requested = self.schema.requested(keys, request)
        asked = self.view_keys(requested)
        with self.access.reading():
            rows = self.source.read(asked)
        return self._features(rows, asked, requested.count, now)

    async def read_async(
        self,
        keys: Keys,
        now: int | None = None,
        thread: Executor | None = None,
        *,
        request: Columns | None = None,
    ) -> OnlineFeatures:
        """Read likewise: over the event loop's own connection to Redis once there is one, in the thread until then."""
        now = microseconds_now() if now is None else now
        loop, source = asyncio.get_running_loop(), self.source
        if isinstance(source, RedisSource) and source.link.is_open:
            requested = self.schema.requested(keys, request)
            asked = self.view_keys(requested)
            with self.access.naming_errors(), contextlib.suppress(LinkLostError):
                return self._features(await source.read_in_loop(asked), asked, requested.count, now)
        return await loop.run_in_executor(thread, self._read_and_connect, keys, now, request)

    def _read_and_connect(self, keys: Keys, now: int, request: Columns | None) -> OnlineFeatures:
        features = self.read(keys, now, request=request)
        if isinstance(self.source, RedisSource):
            self.source.link.connect()
        return features

    def view_keys(self, requested: Requested) -> list[ViewKeys]:
        """Return the keys that each view is asked for."""
        return [view.key.keys_of(requested.keys) for view in self.views]

    def _features(self, rows: list[ViewRows], asked: list[ViewKeys], count: int, now: int) -> OnlineFeatures:
        """Apply the views' ttl. Where a view has one row for all keys, it is repeated."""
        values = np.empty((count, len(self.columns)))
        oldest = np.full(count, UNREAD)
        unreadable: NDArray[np.bool_] | None = None
        others, times = {}, []
        for view, distinct, keys, names in zip(self.views, rows, asked, self._names, strict=True):
            found = distinct.at(keys.places)
            usable = is_fresh(found.times, np.int64(now), view.ttl)
            if keys.known is not None:
                usable &= keys.known
            if not usable.all():
                found.values[~usable] = np.nan
            values[:, list(view.columns)] = found.values
            present = usable & ~np.isnan(found.values).all(axis=1)
            for feature, texts in zip(view.others, found.others, strict=True):
                texts[~usable] = None
                present |= texts != None  # noqa: E711 - of each of them
                others[feature.column] = _repeated(texts, count)
            oldest = np.where(present, np.minimum(oldest, found.times), oldest)
            if found.unreadable is not None:
                spoilt = found.unreadable if keys.known is None else found.unreadable & keys.known
                unreadable = np.broadcast_to(spoilt, count) | (False if unreadable is None else unreadable)
            times.append(RowTimes(names, found.times, usable))
        return OnlineFeatures(values, oldest, unreadable, others, tuple(times))

    @cached_property
    def _names(self) -> list[tuple[str, ...]]:
        """Return the columns that come from each view."""
        return [
            (*(self.columns[place] for place in view.columns), *(one.column for one in view.others))
            for view in self.views
        ]

    def close(self) -> None:
        """Let go of connections and files."""
        if isinstance(self.source, RedisSource):
            self.source.link.close()
        super().close()


def _repeated(texts: NDArray[np.object_], count: int) -> NDArray[np.object_]:
    """Return objects of all keys, of those or the one that there is."""
    return texts if len(texts) == count else objects([texts[0]] * count)
