"""Whether entity rows have what a feature service needs of them, and the service what a join can give; told by name."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from driver_ranking.errors import FeatureStoreError, RequestError
from driver_ranking.feature_store.repo import reading_registry

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore
    from feast.repo_contents import RepoContents

_STEPS = {"feature_transformation": "a transformation", "aggregations": "aggregations"}


@dataclass(frozen=True)
class DefinedViews:
    """What feature services refer to.

    Attributes:
        views: Feature views and on-demand ones, by name.
        join_keys: The join key of each entity, by the entity's name.
        key_types: The type that each entity gives its join key, as Feast calls it, likewise.
    """

    views: Mapping[str, Any]
    join_keys: Mapping[str, str]
    key_types: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_repo(cls, definitions: "RepoContents") -> "DefinedViews":
        """Return what a repo defines, whether it has been applied or not."""
        views = [
            *definitions.feature_views,
            *definitions.stream_feature_views,
            *definitions.on_demand_feature_views,
        ]
        return cls._named(views, definitions.entities)

    @classmethod
    def of_store(cls, store: "FeatureStore") -> "DefinedViews":
        """Return what has been applied."""
        # the store's own lists would take the stand-in for a key out of views that Feast keeps, and materializes from
        registry, project = store.registry, store.project
        with reading_registry(store):
            views = [
                *registry.list_feature_views(project),
                *registry.list_stream_feature_views(project),
                *registry.list_on_demand_feature_views(project),
            ]
            return cls._named(views, store.list_entities())

    @classmethod
    def _named(cls, views: Iterable[Any], entities: Iterable[Any]) -> "DefinedViews":
        entities = list(entities)
        return cls(
            {view.name: view for view in views},
            {entity.name: entity.join_key for entity in entities},
            {entity.name: entity.value_type.name for entity in entities},
        )


def refuse_unjoinable(service: "FeatureService", columns: tuple[str, ...], defined: DefinedViews) -> None:
    """Check that the features of a service can be joined to entity rows, before any work.

    Args:
        service: The feature service.
        columns: The columns of the entity rows.
        defined: What the service refers to.

    Raises:
        RequestError: The entity rows lack a join key, or a column that an on-demand feature view takes.
        FeatureStoreError: A view is switched off, or its features are not in its source.
    """
    for projection in service.feature_view_projections:
        view = defined.views.get(projection.name)
        if view is None:  # of a kind that has no features to join, or not defined: Feast says so
            continue
        _refuse_view(view, service.name)
        if not hasattr(view, "source_feature_view_projections"):
            _require_keys(view, projection, columns, defined)
            continue
        for source in view.source_feature_view_projections.values():
            _refuse_view(defined.views[source.name], service.name)
            _require_keys(defined.views[source.name], source, columns, defined)
        _require_inputs(view, columns)


def refuse_untold(service: "FeatureService", defined: DefinedViews) -> None:
    """Check that of each view of a service it can be told what of it was known at a time.

    Raises:
        FeatureStoreError: The source of a view does not say when its rows were written.
    """
    for view, _ in joined_views(service, defined):
        if not getattr(view.batch_source, "created_timestamp_column", None):
            message = (
                f"The source of the feature view {view.name!r} has no created_timestamp_column, so that it can't be "
                "told what of it was known at a time: leave as_known_at out, or give the source such a column."
            )
            raise FeatureStoreError(message)


def joined_views(service: "FeatureService", defined: DefinedViews) -> Iterator[tuple[Any, Any]]:
    """Yield the feature views that a service is joined from, those behind on-demand ones too, and their projections."""
    for projection in service.feature_view_projections:
        view: Any = defined.views.get(projection.name)
        if hasattr(view, "source_feature_view_projections"):
            yield from ((defined.views[one.name], one) for one in view.source_feature_view_projections.values())
        elif view is not None:
            yield view, projection


def keys_of(view: Any, projection: Any, defined: DefinedViews) -> dict[str, str]:  # noqa: ANN401 - of several kinds
    """Return the columns of entity rows that the join keys of a view are compared with, with the keys' types."""
    types = {field.name: field.dtype.to_value_type().name for field in view.entity_columns}
    columns = {}
    for name in view.entities:
        if name in defined.join_keys:
            key = defined.join_keys[name]
            columns[projection.join_key_map.get(key, key)] = types.get(key) or defined.key_types.get(name, "UNKNOWN")
    return {column: declared for column, declared in columns.items() if not column.startswith("__")}


def _refuse_view(view: Any, service: str) -> None:  # noqa: ANN401 - Feast has several kinds of views
    if not getattr(view, "enabled", True):
        message = f"The feature view {view.name!r} of the service {service!r} is switched off (`enabled=False`)."
        raise FeatureStoreError(message)
    on_demand = hasattr(view, "source_feature_view_projections")
    step = next((what for name, what in _STEPS.items() if getattr(view, name, None)), None)
    if on_demand and view.feature_transformation is None:
        message = (
            f"The on-demand feature view {view.name!r} of the service {service!r} has aggregations, which Feast "
            "computes online alone. Use a transformation, or write the aggregates to the source of a feature view."
        )
        raise FeatureStoreError(message)
    if step and not on_demand and not view.source_views:
        message = (
            f"The feature view {view.name!r} of the service {service!r} has {step}, which is not run over a history: "
            "its features can't be joined. Write them to a Parquet file, and put a view of that into the service."
        )
        raise FeatureStoreError(message)


def _require_keys(
    view: Any,  # noqa: ANN401 - Feast has several kinds of views
    projection: Any,  # noqa: ANN401 - Feast leaves it untyped
    columns: tuple[str, ...],
    defined: DefinedViews,
) -> None:
    missing = [key for key in keys_of(view, projection, defined) if key not in columns]
    if missing:
        message = (
            f"The entity rows lack the column {', '.join(map(repr, missing))}, the join key of the feature view "
            f"{projection.name_alias or view.name!r}; they have {', '.join(map(repr, columns))}."
        )
        raise RequestError(message)


def _require_inputs(view: Any, columns: tuple[str, ...]) -> None:  # noqa: ANN401 - Feast leaves it untyped
    missing = [name for name in view.get_request_data_schema() if name not in columns]
    if missing:
        message = (
            f"The entity rows lack the column {', '.join(map(repr, missing))}, which the on-demand feature view "
            f"{view.name!r} takes from the request; they have {', '.join(map(repr, columns))}."
        )
        raise RequestError(message)
