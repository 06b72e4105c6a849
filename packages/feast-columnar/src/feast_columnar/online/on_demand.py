"""Features of keys where some are computed by on-demand feature views.

What the views compute from is read first. Their own code sees the keys that have a row of all of it, of an age that
counts, and no others: what else it might make of nothing would be features of a key that nobody knows. Keys of which a
value is null are given to it apart from the rest; where it can't take them, they have no features.
"""

import asyncio
import copy
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from feast_columnar.errors import OnDemandFeatureError, RepoError, UnservableFeatureError
from feast_columnar.freshness import is_fresh, microseconds_now, time_to_live
from feast_columnar.online.access import StoreAccess
from feast_columnar.online.computation import Computation, Table
from feast_columnar.online.features import UNREAD, OnlineFeatures
from feast_columnar.online.join_key import common_key, stored_key
from feast_columnar.online.keys import entity_key
from feast_columnar.online.presence import Presence, StoreReader
from feast_columnar.online.sample import Sampler
from feast_columnar.online.sqlite import sqlite_gate
from feast_columnar.online.stock import Row, microseconds, rows_apart
from feast_columnar.online.stores import open_source
from feast_columnar.online.taken import TakenView
from feast_columnar.online.views import ViewRead
from feast_columnar.redaction import explained

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore
    from feast.infra.online_stores.online_store import OnlineStore


def open_on_demand_reader(  # noqa: PLR0913 - each of them is another thing
    store: "FeatureStore",
    online_store: "OnlineStore",
    service: "FeatureService",
    taken: Sequence[TakenView],
    *,
    columns: tuple[str, ...],
    key: str | None,
    full_feature_names: bool,
) -> "OnDemandReader":
    """Return a reader of features some of which are computed. The registry is read here, and not again.

    Args:
        store: The applied feature store.
        online_store: Its online store.
        service: The feature service.
        taken: What is taken of which of its views.
        columns: The reader's columns.
        key: What requests call the key; None for the one that the views have.
        full_feature_names: Whether columns are named ``view__feature``.

    Raises:
        RepoError: Feast can't tell what the views compute from.
        UnservableFeatureError: A feature can't be read online by this key.
    """
    with explained("The on-demand feature views can't be opened", RepoError):
        tables, views, references = _resolved(store, service, taken)
    _require_no_request_data(views)
    key = key or common_key(view for view, _ in tables)
    read = tuple(Table(view, tuple(names), stored_key(view, key)) for view, names in tables)
    computation = Computation(read, tuple(views), tuple(references), full_feature_names, columns, key)
    reads = tuple(ViewRead(one.view, one.key.join_key, one.key.value_field, None, (), ()) for one in read)
    source = open_source(store.config, online_store, reads)
    access = StoreAccess(store.config, online_store, sqlite_gate(online_store, source))
    return OnDemandReader(columns, access, Presence(Sampler(source)), computation)


def _resolved(
    store: "FeatureStore", service: "FeatureService", taken: Sequence[TakenView]
) -> tuple[list[tuple[Any, list[str]]], list[Any], list[str]]:
    """Return what is to be read, the on-demand views, and the references of the features that are taken."""
    from feast import utils

    registry: Any = store.registry
    registry.refresh(store.project)
    # of no effect on registries that have no such setting: a view is served while it is being materialized
    setattr(registry, "serve_features_while_materializing", True)  # noqa: B010 - Feast does not declare it
    service = copy.copy(service)
    service.feature_view_projections = [one.view.projection for one in taken]
    plain, on_demand = utils._get_feature_views_to_use(  # noqa: SLF001 - Feast has no other door to its own rules
        registry, store.project, service, allow_cache=True, hide_dummy_entity=False
    )
    references = [f"{one.view.projection.name_to_use()}:{name}" for one in taken for name in one.features]
    tables, _ = utils._group_feature_refs(references, plain, on_demand)  # noqa: SLF001 - Feast has no other door to its own rules
    return tables, [view for view in on_demand if not view.write_to_online_store], references


def _require_no_request_data(views: Sequence[Any]) -> None:
    """Refuse views that compute from values of a request.

    Raises:
        UnservableFeatureError: One does.
    """
    asked = sorted({name for view in views for name in view.get_request_data_schema()})
    if asked:
        message = (
            f"The on-demand feature view {views[0].name!r} needs {', '.join(map(repr, asked))} from the request "
            "(`RequestSource`), which a read by keys alone does not have: it can't be served."
        )
        raise UnservableFeatureError(message)


@dataclass(frozen=True)
class _Rows:
    """The rows of some keys in one table; None for those that do not count."""

    rows: list[Row | None]
    times: NDArray[np.int64]
    unreadable: NDArray[np.bool_]

    @property
    def usable(self) -> NDArray[np.bool_]:
        return np.array([row is not None for row in self.rows], dtype=np.bool_)


@dataclass(frozen=True)
class OnDemandReader(StoreReader):
    """Reads what on-demand feature views compute from, and lets them. Its methods are those of `OnlineReader`.

    Attributes:
        computation: What is read, and what computes.
    """

    computation: Computation

    def read(self, keys: NDArray[np.int64], now: int | None = None) -> OnlineFeatures:
        """Read the features of keys."""
        now = microseconds_now() if now is None else now
        distinct, places = np.unique(keys, return_inverse=True)
        with self.access.reading():
            tables = [self._rows(table, distinct, now) for table in self.computation.tables]
        usable = np.logical_and.reduce([table.usable for table in tables])
        complete = usable & np.array([_has_all(tables, place) for place in range(len(distinct))], dtype=np.bool_)
        values = np.full((len(distinct), len(self.columns)), np.nan)
        inexact = self._fill(values, distinct, tables, complete)
        try:
            inexact |= self._fill(values, distinct, tables, usable & ~complete)
        except OnDemandFeatureError:
            values[usable & ~complete] = np.nan  # its code can't take null: there are no features
        oldest = np.where(usable & ~inexact, np.minimum.reduce([table.times for table in tables]), UNREAD)
        unreadable = np.logical_or.reduce([inexact, *(table.unreadable for table in tables)])[places]
        return OnlineFeatures(values[places], oldest[places], unreadable if unreadable.any() else None)

    async def read_async(
        self, keys: NDArray[np.int64], now: int | None = None, thread: Executor | None = None
    ) -> OnlineFeatures:
        """Read likewise, in the thread."""
        return await asyncio.get_running_loop().run_in_executor(thread, self.read, keys, now)

    def _rows(self, table: Table, keys: NDArray[np.int64], now: int) -> _Rows:
        key = table.key
        info = np.iinfo(np.int64 if key.value_field == "int64_val" else np.int32)
        known = (keys >= info.min) & (keys <= info.max)
        stored = [entity_key(key.join_key, key.value_field, one) for one in keys[known].tolist()]

        def read(some: list[Any]) -> list[Row]:
            access = self.access
            return access.online_store.online_read(access.config, table.view, some, list(table.features))

        found: list[Row | None] = [(None, None)] * len(keys)
        for place, row in zip(np.flatnonzero(known).tolist(), rows_apart(read, stored), strict=True):
            found[place] = row
        unreadable = np.array([row is None for row in found], dtype=np.bool_)
        times = np.array([0 if row is None else microseconds(row[0]) for row in found], dtype=np.int64)
        fresh = is_fresh(times, np.int64(now), time_to_live(table.view)) & (times != 0)
        return _Rows([row if use else None for row, use in zip(found, fresh, strict=True)], times, unreadable)

    def _fill(
        self, values: NDArray[np.float64], keys: NDArray[np.int64], tables: list[_Rows], which: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Fill in the features of some keys, and return of which keys they are no doubles."""
        places = np.flatnonzero(which).tolist()
        inexact = np.zeros(len(keys), dtype=np.bool_)
        if places:
            rows = [[row for place in places if (row := table.rows[place])] for table in tables]
            values[which], inexact[which] = self.computation.compute(keys[which].tolist(), rows)
        return inexact


def _has_all(tables: Sequence[_Rows], place: int) -> bool:
    """Tell whether none of a key's values is null."""
    rows = [row[1] for table in tables if (row := table.rows[place])]
    return all(value.WhichOneof("val") not in {None, "null_val"} for row in rows if row for value in row.values())
