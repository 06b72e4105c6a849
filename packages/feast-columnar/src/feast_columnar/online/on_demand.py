"""Features of keys where some are computed by on-demand feature views.

What the views compute from is read first. Their own code sees the keys that have a row of all of it, of an age that
counts, and no others: what else it might make of nothing would be features of a key that nobody knows. Keys of which a
value is null are given to it apart from the rest; where it can't take them, they have no features.
"""

import asyncio
import contextlib
import copy
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from feast.types import FeastType, Int32, Int64, from_value_type
from numpy.typing import NDArray

from feast_columnar.errors import OnDemandFeatureError, RepoError, UnservableFeatureError
from feast_columnar.freshness import is_fresh, microseconds_now, time_to_live
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
        full_feature_names: Whether columns are named ``view__feature``.
    """

    store: "FeatureStore"
    online_store: "OnlineStore"
    service: "FeatureService"
    full_feature_names: bool

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
            tables, views, references = _resolved(self.store, self.service, taken)
        read = tuple(Table(view, tuple(names), view_key(view, key)) for view, names in tables)
        keys = asked_keys([one.view for one in read], [one.key for one in read])
        schema = RequestSchema(keys, _request_features(views, keys))
        named = self.full_feature_names
        computation = Computation(read, tuple(views), tuple(references), named, columns, others)
        source = open_source(
            self.store.config, self.online_store, tuple(ViewRead(one.view, one.key, None) for one in read)
        )
        access = StoreAccess(self.store.config, self.online_store, sqlite_gate(self.online_store, source))
        presence = Presence(Sampler.of(source, schema.integer))
        origins = _origins(taken, read)
        return OnDemandReader(columns, access, presence, schema, tuple(others), computation, origins)


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


def _origins(
    taken: Sequence[TakenView], tables: Sequence[Table]
) -> tuple[tuple[tuple[str, ...], tuple[int, ...]], ...]:
    """Return for each taken view its columns, and the tables, by their places, that they come from."""
    names = [table.view.projection.name_to_use() for table in tables]
    origins = []
    for one in taken:
        sources = {one.view.projection.name_to_use()}
        if hasattr(one.view, "source_feature_view_projections"):
            sources |= {source.name_to_use() for source in one.view.source_feature_view_projections.values()}
        origins.append((tuple(one.features.values()), tuple(at for at, name in enumerate(names) if name in sources)))
    return tuple(origins)


@dataclass(frozen=True)
class _Rows:
    """The rows of some keys in one table; None for those that do not count."""

    rows: list[Row | None]
    times: NDArray[np.int64]
    unreadable: NDArray[np.bool_]

    @property
    def usable(self) -> NDArray[np.bool_]:
        return np.array([row is not None for row in self.rows], dtype=np.bool_)


@dataclass
class _Result:
    """What has been computed of some rows.

    Attributes:
        values: As in `Computed`.
        others: Likewise.
        inexact: Likewise.
    """

    values: NDArray[np.float64]
    others: dict[str, NDArray[np.object_]]
    inexact: NDArray[np.bool_]

    def fill(self, which: NDArray[np.bool_], computed: Computed) -> None:
        """Fill in what was computed of some of them."""
        self.values[which] = computed.values
        self.inexact[which] = computed.inexact
        for name, column in computed.others.items():
            self.others[name][which] = column


@dataclass(frozen=True)
class OnDemandReader(StoreReader):
    """Reads what on-demand feature views compute from, and lets them. Its methods are those of `OnlineReader`.

    Attributes:
        computation: What is read, and what computes.
        origins: Which columns come from which of the tables.
    """

    computation: Computation
    origins: tuple[tuple[tuple[str, ...], tuple[int, ...]], ...]

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
        count = asked.count
        with self.access.reading():
            tables = [self._rows(table, asked, now) for table in self.computation.tables]
        usable = np.logical_and.reduce([np.ones(count, np.bool_), *(table.usable for table in tables)])
        inputs = self._inputs(asked)
        complete = usable & np.array([_has_all(tables, place) for place in range(count)], dtype=np.bool_)
        for values in inputs.values():
            complete &= np.array([value.WhichOneof("val") is not None for value in values], dtype=np.bool_)
        result = self._computed(inputs, tables, usable, complete)
        used = usable & ~result.inexact
        oldest = np.where(used, np.minimum.reduce([np.full(count, UNREAD), *(table.times for table in tables)]), UNREAD)
        unreadable = np.logical_or.reduce([result.inexact, *(table.unreadable for table in tables)])
        return OnlineFeatures(
            result.values,
            oldest,
            unreadable if unreadable.any() else None,
            result.others,
            tuple(
                RowTimes(names, np.minimum.reduce([np.full(count, UNREAD), *(tables[at].times for at in places)]), used)
                for names, places in self.origins
            ),
        )

    def _rows(self, table: Table, asked: Requested, now: int) -> _Rows:
        keys = table.key.keys_of(asked.keys)

        def read(some: list[Any]) -> list[Row]:
            access = self.access
            return access.online_store.online_read(access.config, table.view, some, list(table.features))

        found = rows_apart(read, keys.messages())
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

    def _computed(
        self,
        inputs: Mapping[str, list[Any]],
        tables: list[_Rows],
        usable: NDArray[np.bool_],
        complete: NDArray[np.bool_],
    ) -> _Result:
        """Let the views compute: first where nothing is null, then where something is."""
        count, computation = len(usable), self.computation
        others = {name: objects([None] * count) for name in self.others}
        result = _Result(np.full((count, len(self.columns)), np.nan), others, np.zeros(count, dtype=np.bool_))

        def compute(which: NDArray[np.bool_]) -> None:
            if places := np.flatnonzero(which).tolist():
                rows = [[row for place in places if (row := table.rows[place])] for table in tables]
                some = {name: [values[place] for place in places] for name, values in inputs.items()}
                result.fill(which, computation.compute(some, rows, len(places)))

        compute(complete)
        with contextlib.suppress(OnDemandFeatureError):  # its code can't take null: there are no features
            compute(usable & ~complete)
        return result


def _has_all(tables: Sequence[_Rows], place: int) -> bool:
    """Tell whether none of a key's values is null."""
    rows = [row[1] for table in tables if (row := table.rows[place])]
    return all(value.WhichOneof("val") not in {None, "null_val"} for row in rows if row for value in row.values())
