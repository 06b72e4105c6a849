"""Features of drivers where some are computed by on-demand feature views.

What the views compute from is read first. Their own code sees the drivers that have a row of all of it, of an age that
counts, and no others: what else it might make of nothing would be a score for a driver that nobody knows. Drivers of
whom a value is null are given to it apart from the rest; where it can't take them, they have no features.
"""

import asyncio
import copy
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from driver_ranking.errors import OnDemandFeatureError, UnservableFeatureError
from driver_ranking.feature_store.repo import ServiceFeatures, explained
from driver_ranking.ranking import is_fresh
from feast_columnar.online.access import follow_file, unavailable
from feast_columnar.online.features import UNREAD, OnlineFeatures, StoredKey, stored_key, time_to_live
from feast_columnar.online.keys import entity_key
from feast_columnar.online.presence import Presence
from feast_columnar.online.sample import Sampler
from feast_columnar.online.sqlite import sqlite_gate
from feast_columnar.online.sqlite_file import Gate
from feast_columnar.online.stock import Row, microseconds, rows_apart
from feast_columnar.online.stores import open_source
from feast_columnar.online.values import is_inexact
from feast_columnar.online.views import ViewRead

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.infra.online_stores.online_store import OnlineStore


@dataclass(frozen=True)
class _Table:
    """A feature view that is read, and what of it."""

    view: Any
    features: tuple[str, ...]
    key: StoredKey


@dataclass(frozen=True)
class _Rows:
    """The rows of some drivers in one table; None for those that do not count."""

    rows: list[Row | None]
    times: NDArray[np.int64]
    unreadable: NDArray[np.bool_]

    @property
    def usable(self) -> NDArray[np.bool_]:
        return np.array([row is not None for row in self.rows], dtype=np.bool_)


# float64 [n, k]; bool [n], drivers with an integer that float64 does not hold exactly, whose features are NaN
_Features = tuple[NDArray[np.float64], NDArray[np.bool_]]


@dataclass(frozen=True)
class _Computation:
    """What computes the features of drivers from their rows, as Feast's ``get_online_features`` does.

    Attributes:
        tables: What is read.
        views: The on-demand feature views.
        references: The features that the model takes, as ``view:feature``.
        full_names: Whether columns are named ``view__feature``.
        wanted: The columns of the model's signature, in order.
        key: The column that names the driver.
    """

    tables: tuple[_Table, ...]
    views: tuple[Any, ...]
    references: tuple[str, ...]
    full_names: bool
    wanted: tuple[str, ...]
    key: str

    def compute(self, drivers: Sequence[int], rows: Sequence[Sequence[Row]]) -> _Features:
        """Return the features, and which of them are no doubles.

        Args:
            drivers: The drivers, at least one.
            rows: For each table the drivers' rows, in their order.

        Raises:
            OnDemandFeatureError: A view's code fails, or gives what can't be used.
        """
        alone = any(getattr(view, "singleton", False) for view in self.views)  # their code takes one driver's values
        try:
            if not alone:
                return self._compute(drivers, rows)
            parts = [self._compute([one], [[table[place]] for table in rows]) for place, one in enumerate(drivers)]
            return np.concatenate([values for values, _ in parts]), np.concatenate([inexact for _, inexact in parts])
        except (Exception, SystemExit) as error:
            named = ", ".join(repr(view.name) for view in self.views)
            plural = "views" if len(self.views) > 1 else "view"
            message = f"The on-demand feature {plural} {named} can't be computed: {type(error).__name__}: {error}"
            raise OnDemandFeatureError(message) from error

    def _compute(self, drivers: Sequence[int], rows: Sequence[Sequence[Row]]) -> _Features:
        from feast import utils
        from feast.infra.online_stores.online_store import OnlineStore
        from feast.online_response import OnlineResponse
        from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesResponse
        from feast.protos.feast.types.Value_pb2 import Value

        field, count = self.tables[0].key.value_field, len(drivers)
        response = GetOnlineFeaturesResponse(results=[])
        ids = [Value(**{field: driver}) for driver in drivers]  # type: ignore[arg-type] # one of its integers
        utils._populate_result_rows_from_columnar(response, {self.key: ids})  # noqa: SLF001 - Feast has no other door to its own rules
        for table, found in zip(self.tables, rows, strict=True):
            places = tuple([place] for place in range(count))
            utils._populate_response_from_feature_data(  # noqa: SLF001 - Feast has no other door to its own rules
                list(table.features), list(found), places, response, self.full_names, table.view, count
            )
        types = OnlineStore._build_feature_types([(table.view, list(table.features)) for table in self.tables])  # noqa: SLF001 - Feast has no other door to its own rules
        utils._augment_response_with_on_demand_transforms(  # noqa: SLF001 - Feast has no other door to its own rules
            response, list(self.references), list(self.views), self.full_names, feature_types=types
        )
        answer = OnlineResponse(response, feature_types=types).to_dict()
        columns = [_numbers(name, answer, count) for name in self.wanted]
        inexact = np.logical_or.reduce([np.array([*map(is_inexact, column)], np.bool_) for column in columns])
        values = np.array(columns, dtype=np.float64).T  # None is NaN
        values[inexact] = np.nan
        return values, inexact


def _numbers(name: str, answer: dict[str, list[Any]], count: int) -> list[Any]:
    """Return a column of an answer, of numbers and None.

    Raises:
        ValueError: It is not there, has another length, or holds something else than numbers.
    """
    if name not in answer:
        message = f"there is no {name!r} in what it gives"
        raise ValueError(message)
    values = answer[name]
    if len(values) != count:
        message = f"{name!r} has {len(values)} values for {count} drivers"
        raise ValueError(message)
    if not all(value is None or isinstance(value, (int, float, np.number, np.bool_)) for value in values):
        message = f"{name!r} holds something else than numbers"
        raise ValueError(message)
    return values


def open_on_demand_reader(  # noqa: PLR0913 - each of them is another thing
    store: "FeatureStore",
    online_store: "OnlineStore",
    features: ServiceFeatures,
    taken: Sequence[tuple[Any, list[str]]],
    *,
    wanted: tuple[str, ...],
    key: str,
) -> "_OnDemandReader":
    """Return a reader of features some of which are computed. The registry is read here, and not again.

    Args:
        store: The applied feature store.
        online_store: Its online store.
        features: The model's feature service.
        taken: The views that the model takes something of, with the features' names.
        wanted: The columns of the model's signature, in order.
        key: The column that names the driver in requests.

    Raises:
        FeatureStoreError: A feature can't be read online by this key.
    """
    with explained("The on-demand feature views can't be opened"):
        tables, views, references = _resolved(store, features, taken)
    asked = sorted({name for view in views for name in view.get_request_data_schema()})
    if asked:
        message = (
            f"The on-demand feature view {views[0].name!r} needs {', '.join(map(repr, asked))} from the request "
            "(`RequestSource`), which requests to rank drivers don't have: it can't be served."
        )
        raise UnservableFeatureError(message)
    read = tuple(_Table(view, tuple(names), stored_key(view, key)) for view, names in tables)
    computation = _Computation(read, tuple(views), tuple(references), features.full_names, wanted, key)
    reads = tuple(ViewRead(one.view, one.key.join_key, one.key.value_field, None, (), ()) for one in read)
    source = open_source(store.config, online_store, reads)
    gate = sqlite_gate(online_store, source)
    return _OnDemandReader(store, online_store, computation, Presence(Sampler(source)), gate)


def _resolved(
    store: "FeatureStore", features: ServiceFeatures, taken: Sequence[tuple[Any, list[str]]]
) -> tuple[list[tuple[Any, list[str]]], list[Any], list[str]]:
    """Return what is to be read, the on-demand views, and the references of the features that the model takes."""
    from feast import utils

    registry: Any = store.registry
    registry.refresh(store.project)
    # of no effect on registries that have no such setting: a view is served while it is being materialized
    setattr(registry, "serve_features_while_materializing", True)  # noqa: B010 - Feast does not declare it
    service = copy.copy(features.service)
    service.feature_view_projections = [view.projection for view, _ in taken]
    plain, on_demand = utils._get_feature_views_to_use(  # noqa: SLF001 - Feast has no other door to its own rules
        registry, store.project, service, allow_cache=True, hide_dummy_entity=False
    )
    references = [f"{view.projection.name_to_use()}:{name}" for view, names in taken for name in names]
    tables, _ = utils._group_feature_refs(references, plain, on_demand)  # noqa: SLF001 - Feast has no other door to its own rules
    return tables, [view for view in on_demand if not view.write_to_online_store], references


@dataclass(frozen=True)
class _OnDemandReader:
    """Reads what on-demand feature views compute from, and lets them compute."""

    store: "FeatureStore"
    online_store: "OnlineStore"
    computation: _Computation
    presence: Presence
    gate: Gate

    # the methods of `OnlineReader`

    def read(self, driver_id: NDArray[np.int64], now: int) -> OnlineFeatures:
        drivers, places = np.unique(driver_id, return_inverse=True)
        with unavailable(self.online_store), self.gate:
            follow_file(self.online_store, self.store.config)
            tables = [self._rows(table, drivers, now) for table in self.computation.tables]
        usable = np.logical_and.reduce([table.usable for table in tables])
        complete = usable & np.array([_has_all(tables, place) for place in range(len(drivers))], dtype=np.bool_)
        matrix = np.full((len(drivers), len(self.computation.wanted)), np.nan)
        inexact = self._fill(matrix, drivers, tables, complete)
        try:
            inexact |= self._fill(matrix, drivers, tables, usable & ~complete)
        except OnDemandFeatureError:
            matrix[usable & ~complete] = np.nan  # its code can't take null: there are no features
        oldest = np.where(usable & ~inexact, np.minimum.reduce([table.times for table in tables]), UNREAD)
        unreadable = np.logical_or.reduce([inexact, *(table.unreadable for table in tables)])[places]
        return OnlineFeatures(matrix[places], oldest[places], unreadable if unreadable.any() else None)

    def _rows(self, table: _Table, drivers: NDArray[np.int64], now: int) -> _Rows:
        key = table.key
        info = np.iinfo(np.int64 if key.value_field == "int64_val" else np.int32)
        known = (drivers >= info.min) & (drivers <= info.max)
        keys = [entity_key(key.join_key, key.value_field, one) for one in drivers[known].tolist()]

        def read(some: list[Any]) -> list[Row]:
            return self.online_store.online_read(self.store.config, table.view, some, list(table.features))

        found: list[Row | None] = [(None, None)] * len(drivers)
        for place, row in zip(np.flatnonzero(known).tolist(), rows_apart(read, keys), strict=True):
            found[place] = row
        unreadable = np.array([row is None for row in found], dtype=np.bool_)
        times = np.array([0 if row is None else microseconds(row[0]) for row in found], dtype=np.int64)
        fresh = is_fresh(times, np.int64(now), time_to_live(table.view)) & (times != 0)
        return _Rows([row if use else None for row, use in zip(found, fresh, strict=True)], times, unreadable)

    def _fill(
        self, matrix: NDArray[np.float64], drivers: NDArray[np.int64], tables: list[_Rows], which: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Fill in the features of some drivers, and return of which drivers they are no doubles."""
        places = np.flatnonzero(which).tolist()
        inexact = np.zeros(len(drivers), dtype=np.bool_)
        if places:
            rows = [[row for place in places if (row := table.rows[place])] for table in tables]
            matrix[which], inexact[which] = self.computation.compute(drivers[which].tolist(), rows)
        return inexact

    async def read_async(self, driver_id: NDArray[np.int64], now: int, thread: Executor) -> OnlineFeatures:
        return await asyncio.get_running_loop().run_in_executor(thread, self.read, driver_id, now)

    def sample(self, count: int) -> NDArray[np.int64]:
        with unavailable(self.online_store), self.gate:
            follow_file(self.online_store, self.store.config)
            return self.presence.sampler.sample(count)

    def lacking(self) -> tuple[str, ...]:
        with unavailable(self.online_store), self.gate:
            follow_file(self.online_store, self.store.config)
            return self.presence.lacking()

    def close(self) -> None:
        self.gate.close()


def _has_all(tables: Sequence[_Rows], place: int) -> bool:
    """Tell whether none of a driver's values is null."""
    rows = [row[1] for table in tables if (row := table.rows[place])]
    return all(value.WhichOneof("val") not in {None, "null_val"} for row in rows if row for value in row.values())
