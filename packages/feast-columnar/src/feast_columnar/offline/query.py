"""What a retrieval job will run: which rows, which feature views, which statement; worked out only when it runs.

The way of a request through this store: Feast's call (``store``) becomes a query (here), whose rows are found and
checked (``entities`` or ``sources``, then ``parquet`` with ``schemas``, then ``rows``) and joined by one statement
(``rules``) that DuckDB runs (``engine``) for a job (``job``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, Self

from feast.feature_view import DUMMY_ENTITY_ID
from feast.utils import _parse_feature_ref, compute_non_entity_date_range

from feast_columnar.errors import AsofError
from feast_columnar.offline.engine import ENTITIES, Engine, Relation
from feast_columnar.offline.entities import TimeRange, entity_relation, event_time_column
from feast_columnar.offline.on_demand import OnDemand, requested_views, settled_refs, used_name
from feast_columnar.offline.rows import comparable, require_distinct, with_instants
from feast_columnar.offline.rules import (
    EntityRows,
    Extract,
    Feature,
    JoinKey,
    ViewJoin,
    instant,
    known_sql,
    point_in_time_sql,
    quoted,
    within,
)
from feast_columnar.offline.sources import joined_source, source_relation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta
    from pathlib import Path

    from feast.feature_view import FeatureView
    from feast.infra.offline_stores.file_source import FileSource
    from feast.infra.registry.base_registry import BaseRegistry
    from feast.on_demand_feature_view import OnDemandFeatureView


@dataclass(frozen=True)
class ViewRequest:
    """What is asked of one feature view, in the names of the view."""

    name: str
    source: FileSource
    keys: tuple[JoinKey, ...]
    features: tuple[Feature, ...]
    ttl: timedelta | None


def as_known(relation: Relation, created: str | None, moment: datetime | None) -> Relation:
    """Return the rows that had been written by a moment; None: all rows.

    Raises:
        AsofError: No column says when a row was written.
    """
    if moment is None:
        return relation
    return replace(relation, sql=known_sql(relation.sql, _required(created, relation.what), moment, relation.what))


def _required(created: str | None, owner: str) -> str:
    if created:
        return created
    message = (
        f"{owner} has no created_timestamp_column, so that it can't be told which of its rows were known at a time; "
        "give its source one, or leave that time out"
    )
    raise AsofError(message)


def view_requests(
    views: Sequence[FeatureView],
    on_demand: Sequence[OnDemandFeatureView],
    refs: Sequence[str],
    *,
    full_feature_names: bool,
) -> tuple[list[ViewRequest], list[str]]:
    """Sort the requested features by view; also name the columns that on-demand views will add.

    Raises:
        AsofError: A feature is of no view of the request.
    """
    asked: dict[str, list[Feature]] = {used_name(view): [] for view in views}
    computed = {used_name(view) for view in on_demand}
    added = []
    for position, ref in enumerate(refs):
        base, version, name = _parse_feature_ref(ref)
        view = base if version is None else f"{base}@v{version}"
        output = f"{base}__{name}" if full_feature_names else name
        if view in asked:
            asked[view].append(Feature(name, output, position))
        elif view in computed:
            added.append(output)
        else:
            message = f"'{ref}' is of no feature view of the request"
            raise AsofError(message)
    return [_request(view, tuple(asked[used_name(view)])) for view in views], added


def _request(view: FeatureView, features: tuple[Feature, ...]) -> ViewRequest:
    keys = tuple(
        JoinKey(column.name, view.projection.join_key_map.get(column.name, column.name))
        for column in view.entity_columns
        if column.name != DUMMY_ENTITY_ID
    )
    return ViewRequest(used_name(view), joined_source(view), keys, features, view.ttl)


def view_join(
    engine: Engine, request: ViewRequest, relation: Relation, known_at: datetime | None = None
) -> tuple[ViewJoin, Relation]:
    """Look up what is asked in the source: its columns have the names from before the field mapping."""
    source = request.source
    original = {new: old for old, new in source.field_mapping.items() if old in relation.columns}
    keys = tuple(JoinKey(original.get(key.source, key.source), key.entity) for key in request.keys)
    features = tuple(replace(item, source=original.get(item.source, item.source)) for item in request.features)
    times = [original.get(name, name) for name in (source.timestamp_field, source.created_timestamp_column) if name]
    needed = [*(key.source for key in keys), *times, *(item.source for item in features)]
    relation.require(needed, f"which feature view '{request.name}' needs")
    relation = with_instants(engine, relation, times)
    event_time, created = times[0], times[1] if source.created_timestamp_column else None
    relation = as_known(relation, created, known_at)
    return ViewJoin(relation.sql, keys, event_time, features, relation.order, created, request.ttl), relation


class Query(Protocol):
    """Something that becomes a statement once it is run."""

    def sql(self, engine: Engine, *, in_order: bool) -> str:
        """Return the statement; what it reads is registered with the engine."""
        ...


@dataclass(frozen=True)
class Extraction:
    """The rows of a source, all or the latest of each entity."""

    source: FileSource
    repo_path: Path | None
    statement: Callable[..., str]
    extract: Extract  # without the relation and the numbers of its rows, which are known later
    features: bool  # whether features are named; else all columns are read
    known_at: datetime | None = None

    def as_known_at(self, moment: datetime) -> Self:
        """Return the query of the rows that had been written by a moment.

        Raises:
            AsofError: The source has no column that says so.
        """
        _required(self.extract.created, f"source '{self.source.name}'")
        return replace(self, known_at=moment)

    def sql(self, engine: Engine, *, in_order: bool) -> str:
        """Return the statement that reads the rows."""
        relation = source_relation(engine, self.source, self.repo_path)
        columns = self.extract.columns if self.features else tuple(relation.columns)
        relation.require(self.extract.columns, "which is to be read")
        times = [name for name in (self.extract.event_time, self.extract.created) if name]
        relation = with_instants(engine, relation, times)
        relation = as_known(relation, self.extract.created, self.known_at)
        extract = replace(self.extract, relation=relation.sql, source_order=relation.order, columns=columns)
        return self.statement(extract, in_order=in_order)


@dataclass(frozen=True)
class Retrieval:
    """Entity rows and the feature views to join to them.

    Attributes:
        entities: The rows, of any kind that a store takes, or a range of event times.
        views: What is asked of each feature view.
        added: The columns that on-demand views will add.
        repo_path: Where relative paths start.
        filter_by_created: Whether to leave out feature rows that were written after the event time.
        known_at: Leave out feature rows that were written after this moment; None: none.
    """

    entities: Any
    views: tuple[ViewRequest, ...]
    added: tuple[str, ...]
    repo_path: Path | None
    filter_by_created: bool
    known_at: datetime | None = None

    def sql(self, engine: Engine, *, in_order: bool) -> str:
        """Return the statement of the join."""
        rows, event_time, joins = self.checked(engine, in_order=in_order)
        order = rows.order if in_order else ()
        entity_rows = EntityRows(rows.sql, tuple(rows.columns), event_time, order)
        return point_in_time_sql(entity_rows, joins, filter_by_created=self.filter_by_created)

    def checked(self, engine: Engine, *, in_order: bool) -> tuple[Relation, str, list[ViewJoin]]:
        """Return the entity rows, their event time, and the joins, if all of it fits together."""
        joins = self._view_joins(engine)
        rows, event_time = self._entity_rows(engine, [join for join, _ in joins], in_order=in_order)
        compared = []
        for request, (join, source) in zip(self.views, joins, strict=True):
            rows.require((key.entity for key in join.keys), f"which feature view '{request.name}' joins on")
            compared.append(replace(join, keys=tuple(comparable(rows, source, key) for key in join.keys)))
        outputs = [feature.output for join, _ in joins for feature in join.features]
        require_distinct(
            [*rows.columns, *outputs, *self.added], "the result (full_feature_names=True tells views apart)"
        )
        return rows, event_time, compared

    def source_rows(self, engine: Engine, source: FileSource) -> Relation:
        """Return the rows of a source."""
        return source_relation(engine, source, self.repo_path)

    def given_rows(self, engine: Engine, *, in_order: bool) -> Relation:
        """Return the entity rows as they are given."""
        return entity_relation(engine, self.entities, in_order=in_order)

    def _entity_rows(
        self, engine: Engine, joins: Sequence[ViewJoin] | None = None, *, in_order: bool = False
    ) -> tuple[Relation, str]:
        if isinstance(self.entities, TimeRange):
            rows = _seen_entities(engine, self.entities, joins or self.joins(engine))
        else:
            rows = self.given_rows(engine, in_order=in_order)
        event_time = event_time_column(rows)
        return with_instants(engine, rows, [event_time]), event_time

    def as_known_at(self, moment: datetime) -> Self:
        """Return the query as it would have been answered at a moment.

        Raises:
            AsofError: The source of a view has no column that says when its rows were written.
        """
        for view in self.views:
            _required(view.source.created_timestamp_column, f"the source of feature view '{view.name}'")
        return replace(self, known_at=moment)

    def with_views(self, views: tuple[ViewRequest, ...]) -> Self:
        """Return the query with other requests to its feature views."""
        return replace(self, views=views)

    def joins(self, engine: Engine) -> list[ViewJoin]:
        """Return the joins, of which nothing is known of the entity rows."""
        return [join for join, _ in self._view_joins(engine)]

    def _view_joins(self, engine: Engine) -> list[tuple[ViewJoin, Relation]]:
        sources = [(request, self.source_rows(engine, request.source)) for request in self.views]
        return [view_join(engine, request, rows, self.known_at) for request, rows in sources]

    def facts(self, engine: Engine) -> tuple[list[str], datetime | None, datetime | None]:
        """Return the entity rows' columns but the event time, and their first and last event time, in UTC."""
        rows, event_time = self._entity_rows(engine)
        column = f"make_timestamptz(epoch_us({quoted(event_time)}))"
        bounds = engine.execute(f"SELECT min({column}), max({column}) FROM {rows.sql}").fetchone() or (None, None)
        return [name for name in rows.columns if name != event_time], bounds[0], bounds[1]


def _seen_entities(engine: Engine, span: TimeRange, joins: Sequence[ViewJoin]) -> Relation:
    """Make entity rows of the keys that any of the views has in a range of event times."""
    keys = sorted({key.entity for join in joins for key in join.keys})
    seen = []
    for join in joins:
        sources = {key.entity: key.source for key in join.keys}
        if sources and sorted(sources) != keys:
            message = "without entity rows, all feature views must have the same join keys; give entity rows"
            raise AsofError(message)
        if sources:
            columns = ", ".join(f"{quoted(source)} AS {quoted(key)}" for key, source in sorted(sources.items()))
            present = " AND ".join(f"{quoted(source)} IS NOT NULL" for source in sources.values())
            bounds = within(join.event_time, span.start, span.end)
            seen.append(f"SELECT DISTINCT {columns} FROM {join.relation} WHERE {present} AND {bounds}")
    moment = f"TIMESTAMPTZ {instant(span.end)} AS event_timestamp"
    sql = f"(SELECT *, {moment} FROM ({' UNION '.join(seen)}))" if seen else f"(SELECT {moment})"
    return replace(engine.relation(sql, ENTITIES), order=tuple(keys))


def extract_of(keys: Sequence[str], features: Sequence[str], event_time: str, created: str | None) -> Extract:
    """Return what to read of a source whose rows are not known yet."""
    columns = dict.fromkeys([*keys, *features, event_time, *([created] if created else [])])
    return Extract("", tuple(keys), tuple(columns), event_time, (), created or None)


@dataclass(frozen=True)
class Historical:
    """A call of Feast's ``get_historical_features``, in terms of the join.

    Attributes:
        retrieval: The entity rows and the feature views to join to them.
        on_demand: What on-demand feature views add to the joined rows.
    """

    retrieval: Retrieval
    on_demand: OnDemand

    @classmethod
    def of(  # noqa: PLR0913  # what Feast hands over
        cls,
        views: Sequence[FeatureView],
        refs: Sequence[str],
        entities: Any,  # noqa: ANN401  # more kinds than Feast's signature names
        registry: BaseRegistry,
        project: str,
        *,
        repo_path: Path | None,
        full_feature_names: bool,
        filter_by_created: bool,
    ) -> Historical:
        """Sort out what is asked of which view.

        Raises:
            AsofError: If a view's source is not supported, or a feature is of no view.
        """
        on_demand = requested_views(refs, [used_name(view) for view in views], registry, project)
        refs = settled_refs(refs, on_demand)
        requests, added = view_requests(views, on_demand, refs, full_feature_names=full_feature_names)
        retrieval = Retrieval(entities, tuple(requests), tuple(added), repo_path, filter_by_created)
        return cls(retrieval, OnDemand(tuple(on_demand), tuple(refs), full_feature_names))


def rows_or_range(
    entities: Any,  # noqa: ANN401  # more kinds than Feast's signature names
    views: Sequence[FeatureView],
    start: datetime | None,
    end: datetime | None,
) -> Any:  # noqa: ANN401  # as above
    """Return the entity rows, or where there are none the range of event times in which entities are looked for."""
    return TimeRange(*compute_non_entity_date_range(list(views), start, end)) if entities is None else entities
