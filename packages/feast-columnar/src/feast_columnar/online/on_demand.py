"""Features of keys where some are computed by on-demand feature views.

What the views compute from is read first. The code of each sees the keys that have a row of all that it computes from,
of an age that counts, and no others: what else it might make of nothing would be features of a key that nobody knows.
Keys of which a value that it computes from is null are given to it apart from the rest (`feast_columnar.nulls`); where
it can't take them, they have no features of it. What other views have of a key is not touched by that.
"""

import asyncio
import copy
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from feast.types import FeastType, Int32, Int64, from_value_type
from numpy.typing import NDArray

from feast_columnar.errors import OnDemandFeatureError, RepoError, UnservableFeatureError
from feast_columnar.freshness import is_fresh, microseconds_now, time_to_live
from feast_columnar.nulls import compute_apart, groups_by_nulls
from feast_columnar.online.access import StoreAccess
from feast_columnar.online.computation import Computation, Computed, Table
from feast_columnar.online.features import UNREAD, OnlineFeatures, RowTimes
from feast_columnar.online.join_key import asked_keys, view_key
from feast_columnar.online.objects import ObjectType, objects
from feast_columnar.online.presence import Presence, StoreReader
from feast_columnar.online.requested import REQUEST_TYPES, Columns, Keys, Requested, RequestSchema
from feast_columnar.online.sample import Sampler
from feast_columnar.online.sqlite import sqlite_gate
from feast_columnar.online.stock import Row, microseconds, rows_apart
from feast_columnar.online.stores import open_source
from feast_columnar.online.taken import TakenView
from feast_columnar.online.view_keys import value_messages
from feast_columnar.online.views import ViewRead
from feast_columnar.redaction import explained

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore
    from feast.infra.online_stores.online_store import OnlineStore


@dataclass(frozen=True)
class OnDemandService:
    """A feature service some of whose features are computed.

    Attributes:
        store: The applied feature store.
        online_store: Its online store.
        service: The feature service.
    """

    store: "FeatureStore"
    online_store: "OnlineStore"
    service: "FeatureService"

    def reader(
        self, taken: Sequence[TakenView], columns: tuple[str, ...], *, others: Mapping[str, ObjectType], key: str | None
    ) -> "OnDemandReader":
        """Return a reader of features. The registry is read here, and not again.

        Args:
            taken: What is taken of which views.
            columns: The columns that are numbers.
            others: Those that are none.
            key: What requests call the one integer by which all is read; None where any keys will do.

        Raises:
            RepoError: Feast can't tell what the views compute from.
            UnservableFeatureError: A feature can't be read online by this key.
        """
        with explained("The on-demand feature views can't be opened", RepoError):
            tables, views = _resolved(self.store, self.service, taken)
        read = tuple(Table(view, tuple(names), view_key(view, key)) for view, names in tables)
        keys = asked_keys([one.view for one in read], [one.key for one in read])
        schema = RequestSchema(keys, _request_features(views, keys))
        computations = tuple(_computation(one, read, views, columns, others) for one in taken)
        source = open_source(
            self.store.config, self.online_store, tuple(ViewRead(one.view, one.key, None) for one in read)
        )
        access = StoreAccess(self.store.config, self.online_store, sqlite_gate(self.online_store, source))
        presence = Presence(Sampler.of(source, schema.integer))
        return OnDemandReader(columns, access, presence, schema, tuple(others), read, computations)


def _resolved(
    store: "FeatureStore", service: "FeatureService", taken: Sequence[TakenView]
) -> tuple[list[tuple[Any, list[str]]], list[Any]]:
    """Return what is to be read, and the on-demand views that compute from it."""
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
    return tables, [view for view in on_demand if not view.write_to_online_store]


def _request_features(views: Sequence[Any], keys: Mapping[str, FeastType]) -> dict[str, FeastType]:
    """Return what views compute from that only a request has, with the types.

    Raises:
        UnservableFeatureError: It is of a type that is not taken, or of two.
    """
    found: dict[str, FeastType] = {}
    for view in views:
        for name, value_type in view.get_request_data_schema().items():
            dtype = from_value_type(value_type)
            if dtype not in REQUEST_TYPES or found.get(name, dtype) != dtype:
                message = (
                    f"The on-demand feature view {view.name!r} wants {name!r} from the request (`RequestSource`) as "
                    f"{dtype}: it must be a number, text, bytes, boolean or timestamp, the same in all views."
                )
                raise UnservableFeatureError(message)
            if name not in keys:
                found[name] = dtype
    return found


def _computation(
    taken: TakenView,
    tables: Sequence[Table],
    views: Sequence[Any],
    columns: Collection[str],
    others: Mapping[str, ObjectType],
) -> Computation:
    """Return what makes the features that are taken of one view."""
    name = taken.view.projection.name_to_use()
    view = next((one for one in views if one.projection.name_to_use() == name), None)
    sources = {name: list(taken.features)}
    if view is not None:
        projections = view.source_feature_view_projections.values()
        sources = {one.name_to_use(): [feature.name for feature in one.features] for one in projections}
    names = [table.view.projection.name_to_use() for table in tables]
    at = tuple(place for place, source in enumerate(names) if source in sources)
    return Computation(
        at,
        tuple(replace(tables[place], features=tuple(sources[names[place]])) for place in at),
        view,
        name,
        {column: feature for feature, column in taken.features.items() if column in columns},
        {column: feature for feature, column in taken.features.items() if column in others},
        others,
    )


@dataclass(frozen=True)
class _Rows:
    """The rows of some keys in one table; None for those that do not count."""

    rows: list[Row | None]
    times: NDArray[np.int64]
    unreadable: NDArray[np.bool_]

    @property
    def usable(self) -> NDArray[np.bool_]:
        return np.array([row is not None for row in self.rows], dtype=np.bool_)


class _Result:
    """What has been made of the rows of a request, filled in view by view."""

    def __init__(self, count: int, columns: Sequence[str], others: Sequence[str]) -> None:
        self.values = np.full((count, len(columns)), np.nan)
        self.others = {name: objects([None] * count) for name in others}
        self.oldest = np.full(count, UNREAD)
        self.inexact = np.zeros(count, dtype=np.bool_)
        self.rows: list[RowTimes] = []
        self._places = {name: place for place, name in enumerate(columns)}

    def fill(self, computation: Computation, which: NDArray[np.intp], computed: Computed) -> None:
        """Fill in what one view has of some rows."""
        places = [self._places[name] for name in computation.columns]
        self.values[np.ix_(which, np.array(places, dtype=np.intp))] = computed.values
        self.inexact[which] |= computed.inexact
        for name, column in computed.others.items():
            self.others[name][which] = column

    def note(self, computation: Computation, used: NDArray[np.bool_], times: NDArray[np.int64]) -> None:
        """Note which rows one view has used, and the oldest time of each."""
        places = [self._places[name] for name in computation.columns]
        present = ~np.isnan(self.values[:, places]).all(axis=1)
        for name in computation.others:
            present |= self.others[name] != None  # noqa: E711 - of each of them
        self.oldest = np.where(used & present, np.minimum(self.oldest, times), self.oldest)
        self.rows.append(RowTimes(computation.taken, times, used))


@dataclass(frozen=True)
class OnDemandReader(StoreReader):
    """Reads what on-demand feature views compute from, and lets them. Its methods are those of `OnlineReader`.

    Attributes:
        tables: What is read.
        computations: What makes features of it.
    """

    tables: tuple[Table, ...]
    computations: tuple[Computation, ...]

    def read(self, keys: Keys, now: int | None = None, *, request: Columns | None = None) -> OnlineFeatures:
        """Read the features of keys."""
        now = microseconds_now() if now is None else now
        asked = self.schema.requested(keys, request)
        if self.schema.integer is None or self.schema.request:
            return self._read(asked, now)
        name, values = next(iter(asked.keys.items()))
        distinct, places = np.unique(values, return_inverse=True)
        found = self._read(Requested(len(distinct), {name: distinct}), now)
        spoilt = None if found.unreadable is None else found.unreadable[places]
        return OnlineFeatures(
            found.matrix[places],
            found.oldest[places],
            spoilt if spoilt is not None and spoilt.any() else None,
            {name: column[places] for name, column in found.others.items()},
            tuple(RowTimes(one.columns, one.times[places], one.usable[places]) for one in found.rows),
        )

    async def read_async(
        self,
        keys: Keys,
        now: int | None = None,
        thread: Executor | None = None,
        *,
        request: Columns | None = None,
    ) -> OnlineFeatures:
        """Read likewise, in the thread."""
        read = partial(self.read, keys, now, request=request)
        return await asyncio.get_running_loop().run_in_executor(thread, read)

    def _read(self, asked: Requested, now: int) -> OnlineFeatures:
        with self.access.reading():
            tables = [self._rows(table, asked, now) for table in self.tables]
        inputs, result = self._inputs(asked), _Result(asked.count, self.columns, self.others)
        used = [
            self._compute(computation, inputs, [tables[place] for place in computation.at], result)
            for computation in self.computations
        ]
        result.values[result.inexact] = np.nan
        for computation, (usable, times) in zip(self.computations, used, strict=True):
            result.note(computation, usable & ~result.inexact, times)
        spoilt = np.logical_or.reduce([result.inexact, *(table.unreadable for table in tables)])
        unreadable = spoilt if spoilt.any() else None
        return OnlineFeatures(result.values, result.oldest, unreadable, result.others, tuple(result.rows))

    def _rows(self, table: Table, asked: Requested, now: int) -> _Rows:
        keys = table.key.keys_of(asked.keys)

        def read(some: list[Any]) -> list[Row]:
            access = self.access
            return access.online_store.online_read(access.config, table.view, some, list(table.features))

        found = rows_apart(read, keys.messages())
        if keys.places is not None:
            found = [found[place] for place in keys.places.tolist()]
        if keys.known is not None:
            found = [row if known else (None, None) for row, known in zip(found, keys.known, strict=True)]
        found = found if len(found) == asked.count else found * asked.count
        unreadable = np.array([row is None for row in found], dtype=np.bool_)
        times = np.array([0 if row is None else microseconds(row[0]) for row in found], dtype=np.int64)
        fresh = is_fresh(times, np.int64(now), time_to_live(table.view)) & (times != 0)
        return _Rows([row if use else None for row, use in zip(found, fresh, strict=True)], times, unreadable)

    def _inputs(self, asked: Requested) -> dict[str, list[Any]]:
        """Return Feast's messages of what a request has, by name."""
        types = {**self.schema.keys, **self.schema.request}
        given = {name: {**asked.keys, **asked.request}[name] for name in types}
        # as 64 bits, which Feast too takes integers of a request for: a key may be one that a view of 32 can't have
        kinds = {name: Int64 if kind == Int32 else kind for name, kind in types.items()}
        messages = {name: value_messages(given[name], kind.to_value_type()) for name, kind in kinds.items()}
        return {name: found if len(found) == asked.count else found * asked.count for name, found in messages.items()}

    def _compute(
        self, computation: Computation, inputs: Mapping[str, list[Any]], tables: Sequence[_Rows], result: _Result
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Make the features of one view: where nothing is null, and apart from that where something is.

        Returns:
            Which rows it could be made of, bool ``[n]``, and the oldest time of each, int64 ``[n]``.
        """
        count = len(result.oldest)
        usable = np.logical_and.reduce([np.ones(count, np.bool_), *(table.usable for table in tables)])
        there = np.flatnonzero(usable)

        def compute(which: NDArray[np.intp], *, has_nulls: bool = False) -> None:
            places = which.tolist()
            rows = [[row for place in places if (row := table.rows[place])] for table in tables]
            some = {name: [values[place] for place in places] for name, values in inputs.items()}
            result.fill(computation, which, computation.compute(some, rows, len(places), has_nulls=has_nulls))

        complete, incomplete = groups_by_nulls(computation.nulls(inputs, [table.rows for table in tables], there))
        if complete.size:
            compute(there[complete])
        # where its code can't take a null, there are no features
        compute_apart([there[group] for group in incomplete], partial(compute, has_nulls=True), OnDemandFeatureError)
        return usable, np.minimum.reduce([np.full(count, UNREAD), *(table.times for table in tables)])
