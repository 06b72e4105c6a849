"""On-demand features of joined rows: one code for tables, streams, files and Spark's workers.

The transformations are Feast's and the user's. What is settled here is which rows they see, what a fault in them says,
and that each feature has the type that its view declares, whatever a batch of rows happens to hold.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.type_map import feast_value_type_to_pa
from feast.utils import _parse_feature_ref

from feast_columnar.errors import AsofError
from feast_columnar.nulls import compute_apart, groups_by_nulls
from feast_columnar.offline.engine import RESERVED
from feast_columnar.offline.messages import listed
from feast_columnar.offline.rules import Feature

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from feast.infra.offline_stores.offline_store import RetrievalMetadata
    from feast.infra.registry.base_registry import BaseRegistry
    from numpy.typing import NDArray


def used_name(view: Any) -> str:  # noqa: ANN401  # a feature view or an on-demand one
    """Return the name by which a request refers to a view: its alias and version, where it has them."""
    return str(view.projection.name_to_use())


def requested_views(
    refs: Sequence[str], known: Sequence[str], registry: BaseRegistry, project: str
) -> list[OnDemandFeatureView]:
    """Return the on-demand feature views that a request names, by name or by the alias of a feature service.

    Args:
        refs: The features that are asked for.
        known: The names of the feature views of the request.
        registry: Where the views are defined.
        project: The Feast project.

    Raises:
        AsofError: A view can't be computed.
    """
    found = list(OnDemandFeatureView.get_requested_odfvs(refs, project, registry))
    names = {_parse_feature_ref(ref)[0] for ref in refs} - {used_name(view) for view in found} - set(known)
    found += _aliased(names, registry, project) if names else []
    for view in found:
        if view.feature_transformation is None:
            message = (
                f"on-demand feature view '{view.name}' has aggregations, which Feast computes online alone; use a "
                "transformation, or write the aggregates to Parquet"
            )
            raise AsofError(message)
    return found


def _aliased(names: set[str], registry: BaseRegistry, project: str) -> list[OnDemandFeatureView]:
    """Look up on-demand feature views by what feature services call them; Feast hands the names over, not the views."""
    views = {view.name: view for view in registry.list_on_demand_feature_views(project)}
    aliases: dict[str, dict[str, Any]] = {}
    for service in registry.list_feature_services(project):
        for projection in service.feature_view_projections:
            if projection.name_alias in names and projection.name in views:
                aliases.setdefault(projection.name_alias, {})[projection.name] = projection
    for alias, found in aliases.items():
        if len(found) > 1:
            message = f"'{alias}' is an alias of the on-demand feature views {listed(sorted(found))}; rename one"
            raise AsofError(message)
    return [
        views[name].with_projection(copy(projection))
        for found in aliases.values()
        for name, projection in found.items()
    ]


def settled_refs(refs: Sequence[str], on_demand: Sequence[OnDemandFeatureView]) -> list[str]:
    """Return the features of a request in an order that doesn't change from process to process.

    Feast appends what on-demand views need, and takes it from a set of names, whose order is another in each process.

    Args:
        refs: The features as Feast hands them over: those that were asked for, then the needed ones.
        on_demand: The on-demand feature views of the request.

    Returns:
        The same features; the needed ones at the end are in the order of the views and of what they declare.
    """
    needed: dict[str, int] = {}
    projections: list[Any] = [one for view in on_demand for one in view.source_feature_view_projections.values()]
    for projection in projections:
        for feature in projection.features:
            needed.setdefault(f"{projection.name_to_use()}:{feature.name}", len(needed))
    start = len(refs)
    while start and refs[start - 1] in needed:
        start -= 1
    return [*refs[:start], *sorted(refs[start:], key=needed.__getitem__)]


@dataclass(frozen=True)
class OnDemand:
    """The on-demand features that a request adds to joined rows.

    Attributes:
        views: Their views.
        refs: The features that are asked for, as ``view:feature``.
        full_feature_names: Whether features are named ``view__feature``.
        present: By the names of views: columns that are null where one of its sources has no row. Such rows don't
            reach the transformation, and their features are null; nor do nulls that it can't take end the job: rows
            with nulls are given to it apart (`feast_columnar.nulls`), and have no features where it fails. Numbers are
            of 64 bits then, as they are online.
    """

    views: tuple[OnDemandFeatureView, ...] = ()
    refs: tuple[str, ...] = ()
    full_feature_names: bool = False
    present: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def fields(self, view: OnDemandFeatureView) -> list[pa.Field]:
        """Return the columns that a view adds, with the types that it declares."""
        asked = {tuple(ref.split(":", 1)) for ref in self.refs}
        prefix = f"{used_name(view)}__" if self.full_feature_names else ""
        return [
            pa.field(prefix + item.name, _declared(item.dtype.to_value_type(), view.name))
            for item in view.features
            if (used_name(view), item.name) in asked
        ]

    def schema(self, rows: pa.Schema) -> pa.Schema:
        """Return the columns of rows with the features added."""
        hidden = {name for names in self.present.values() for name in names}
        kept = [item for item in rows if item.name not in hidden]
        return pa.schema([*kept, *(item for view in self.views for item in self.fields(view))])

    def add(self, rows: pa.Table) -> pa.Table:
        """Return rows with the features added.

        Raises:
            AsofError: A transformation fails, or gives other than what its view declares.
        """
        hidden = sorted({name for names in self.present.values() for name in names})
        visible = rows.drop_columns(hidden)
        result = visible
        for view in self.views:
            seen = _seen(rows, self.present.get(view.name, ()))
            for item, column in zip(self.fields(view), self._computed(view, visible, seen), strict=True):
                result = result.append_column(item, column)
        return result

    def _computed(self, view: OnDemandFeatureView, rows: pa.Table, seen: pa.ChunkedArray | None) -> list[Any]:
        fields = self.fields(view)
        if view.name not in self.present:
            return self._columns(view, rows)
        names = _inputs(view, rows)
        given = _wide(rows if seen is None else rows.filter(seen), names)
        where = np.arange(rows.num_rows) if seen is None else np.flatnonzero(seen.to_numpy())
        nulls = [given.column(name).is_null().to_numpy() for name in names]
        complete, incomplete = groups_by_nulls(np.array(nulls, dtype=np.bool_).reshape(len(names), given.num_rows).T)
        made = _Made(fields, rows.num_rows)

        def compute(some: NDArray[np.intp]) -> None:
            part = given if len(some) == given.num_rows else given.take(pa.array(some))
            made.add(where[some], self._columns(view, part))

        if complete.size:
            compute(complete)
        compute_apart(incomplete, compute, AsofError)
        return made.columns()

    def _columns(self, view: OnDemandFeatureView, rows: pa.Table) -> list[Any]:
        if not rows.num_rows:
            return [pa.chunked_array([], item.type) for item in self.fields(view)]
        made = _transformed(view, rows, full_feature_names=self.full_feature_names)
        return [_column(view, made, item, rows.num_rows) for item in self.fields(view)]


class _Made:
    """Features of some rows, and of others, until they are put together."""

    def __init__(self, fields: Sequence[pa.Field], count: int) -> None:
        self._fields = fields
        self._parts: list[list[pa.ChunkedArray]] = []
        self._places = np.full(count, -1, dtype=np.int64)  # of each row, where its features are in the parts together
        self._made = 0

    def add(self, places: NDArray[np.intp], columns: list[pa.ChunkedArray]) -> None:
        self._parts.append(columns)
        self._places[places] = np.arange(self._made, self._made + len(places))
        self._made += len(places)

    def columns(self) -> list[pa.ChunkedArray]:
        """Return the features of all rows, null of those that were not added."""
        places = pa.array(self._places, mask=self._places < 0)
        joined = [
            pa.chunked_array([chunk for part in self._parts for chunk in part[place].chunks], item.type)
            for place, item in enumerate(self._fields)
        ]
        if self._made == len(self._places) and np.array_equal(self._places, np.arange(self._made)):
            return joined
        return [column.take(places) for column in joined]


def _inputs(view: Any, rows: pa.Table) -> list[str]:  # noqa: ANN401  # Feast leaves its projections untyped
    """Return the columns that a view declares to compute from."""
    names = list(view.get_request_data_schema())
    for one in view.source_feature_view_projections.values():
        for feature in one.features:
            full = [f"{prefix}__{feature.name}" for prefix in (one.name_to_use(), one.name)]
            names.append(next((name for name in full if name in rows.column_names), feature.name))
    return [name for name in dict.fromkeys(names) if name in rows.column_names]


def _wide(rows: pa.Table, names: Sequence[str]) -> pa.Table:
    """Return rows with the numbers of some columns in 64 bits."""
    for name in names:
        kind = rows.schema.field(name).type
        wide = pa.int64() if pa.types.is_signed_integer(kind) else pa.float64() if pa.types.is_floating(kind) else kind
        if wide != kind:
            rows = rows.set_column(rows.column_names.index(name), name, rows.column(name).cast(wide))
    return rows


def _declared(value_type: Any, view: str) -> pa.DataType:  # noqa: ANN401  # Feast's enumeration
    try:
        return feast_value_type_to_pa(value_type)
    except KeyError:
        message = f"on-demand feature view '{view}' declares {value_type}, which has no column type; declare another"
        raise AsofError(message) from None


def _seen(rows: pa.Table, present: Sequence[str]) -> pa.ChunkedArray | None:
    """Return which rows have a row of every source; None for all."""
    seen = None
    for name in present:
        here = pc.is_valid(rows.column(name))
        seen = here if seen is None else pc.and_(seen, here)
    return seen


def _transformed(view: OnDemandFeatureView, rows: pa.Table, *, full_feature_names: bool) -> pa.Table:
    if view.singleton and view.mode == "python":
        transformation: Any = view.feature_transformation
        view = copy(view)
        view.feature_transformation = _RowByRow(transformation.udf)  # type: ignore[assignment]  # what is used of it
    try:
        return view.transform_arrow(rows, full_feature_names)
    except (Exception, SystemExit) as error:
        message = (
            f"on-demand feature view '{view.name}' fails on the joined rows, in which values may be null: "
            f"{type(error).__name__}: {error}"
        )
        raise AsofError(message) from error


@dataclass(frozen=True)
class _RowByRow:
    """A transformation of one row at a time, on a table; Feast's own code would hand it whole columns."""

    udf: Any

    def transform_arrow(self, rows: pa.Table, features: object) -> pa.Table:  # noqa: ARG002  # Feast's signature
        return pa.Table.from_pylist([self.udf(row) for row in rows.to_pylist()])


def _column(view: OnDemandFeatureView, made: pa.Table, item: pa.Field, rows: int) -> pa.ChunkedArray:
    if item.name not in made.column_names:
        message = f"on-demand feature view '{view.name}' gives {listed(made.column_names)}, but no '{item.name}'"
        raise AsofError(message)
    if made.num_rows != rows:
        message = f"on-demand feature view '{view.name}' gives {made.num_rows} rows for {rows}"
        raise AsofError(message)
    column = made.column(item.name)
    try:
        return column.cast(item.type)
    except pa.ArrowException as error:
        declared = f"on-demand feature view '{view.name}' declares '{item.name}' as {item.type}"
        message = f"{declared}, but gives {column.type}: {error}"
        raise AsofError(message) from error


def marked(views: Sequence[OnDemandFeatureView], requests: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Ask of the sources of on-demand feature views for columns that tell whether they have a row.

    Args:
        views: The on-demand feature views.
        requests: What is asked of the feature views: dataclasses with ``name``, ``source`` and ``features``.

    Returns:
        The requests with the event times of those that are sources, and what `OnDemand.present` is.
    """
    names = {request.name: f"{RESERVED}time in source {place}" for place, request in enumerate(requests)}
    needed = {view.name: _source_names(view) for view in views}
    told = {name for sources in needed.values() for name in sources}
    more = tuple(_timed(one, names[one.name]) if one.name in told else one for one in requests)
    return more, {view: tuple(names[name] for name in sources if name in names) for view, sources in needed.items()}


def _source_names(view: Any) -> list[str]:  # noqa: ANN401  # Feast leaves its projections untyped
    return [str(one.name_to_use()) for one in view.source_feature_view_projections.values()]


def _timed(request: Any, output: str) -> Any:  # noqa: ANN401  # see `marked`
    last = 1 + max((feature.position for feature in request.features), default=0)
    return replace(request, features=(*request.features, Feature(request.source.timestamp_field, output, last)))


class ComputedJob(RetrievalJob):
    """A job's rows with their on-demand features, for what else Feast does with a table of them."""

    def __init__(self, job: Any, on_demand: OnDemand) -> None:  # noqa: ANN401  # of either store
        self._job = job
        self._on_demand = on_demand

    @property
    def full_feature_names(self) -> bool:
        """Whether features are named ``view__feature``."""
        return self._on_demand.full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        """None that are left to compute."""
        return []

    @property
    def metadata(self) -> RetrievalMetadata | None:
        """What the job's is."""
        found: RetrievalMetadata | None = self._job.metadata
        return found

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        return self._on_demand.add(self._job._to_arrow_internal(timeout))  # noqa: SLF001  # of a job of this store
