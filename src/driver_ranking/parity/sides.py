"""What a feature service reads: its views, the sources of on-demand views among them, and the log's names."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from driver_ranking.errors import FeatureStoreError
from driver_ranking.feature_store.repo import ServiceFeatures, explained
from driver_ranking.prediction_log.columns import feature_column

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore

    from feast_columnar.offline.on_demand import OnDemand
    from feast_columnar.offline.query import Retrieval, ViewRequest


@dataclass(frozen=True)
class StoredView:
    """A feature view whose rows are joined.

    Attributes:
        name: What the service has it under, or an on-demand view of the service.
        base: What the feature repo has it under.
        request: What is asked of it.
        logged: By the names of joined features, the log's columns; empty of what only on-demand views read.
    """

    name: str
    base: str
    request: "ViewRequest"
    logged: Mapping[str, str]

    @property
    def ttl(self) -> int | None:
        """Return the ttl in microseconds; None for no limit."""
        from feast_columnar.freshness import time_to_live

        return time_to_live(self.request)


@dataclass(frozen=True)
class ComputedView:
    """An on-demand feature view.

    Attributes:
        name: What the service has it under.
        sources: The names of the stored views that it computes from.
        logged: By the names of its features as they are computed, the log's columns.
    """

    name: str
    sources: tuple[str, ...]
    logged: Mapping[str, str]


@dataclass(frozen=True)
class Sides:
    """What is joined for a feature service.

    Attributes:
        stored: The views with rows.
        computed: The on-demand views.
        retrieval: The join, to find the rows of sources by.
        on_demand: What computes the features of on-demand views.
    """

    stored: tuple[StoredView, ...]
    computed: tuple[ComputedView, ...]
    retrieval: "Retrieval"
    on_demand: "OnDemand"

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the columns of the log that rows are joined by."""
        return tuple(dict.fromkeys(key.entity for view in self.stored for key in view.request.keys))


def sides_of(store: "FeatureStore", features: ServiceFeatures) -> Sides:
    """Return what is joined for a feature service, by the very query that extraction runs.

    Raises:
        FeatureStoreError: The offline store does not join by that query, or can't join the service.
    """
    from driver_ranking.feature_store.extraction import completed

    service = features.service
    with explained("The features can't be joined again"):
        job: Any = completed(
            store.get_historical_features(
                entity_df="SELECT 1", features=service, full_feature_names=features.full_names
            )
        )
    if not hasattr(job, "as_known_at") or not hasattr(job, "to_record_batches"):
        message = (
            "Parity joins features again by the offline store feast_columnar.AsofOfflineStore: name it as the type of "
            "`offline_store` in feature_store.yaml, in the environment that runs the pipeline."
        )
        raise FeatureStoreError(message)
    retrieval, on_demand = job._query, job._on_demand  # noqa: SLF001 - the library's own job, whose query is taken apart
    used: Any = on_demand.views  # Feast has no types
    views = {str(view.projection.name_to_use()): view for view in used}
    bases = _bases(service, views)
    projections: list[Any] = list(service.feature_view_projections)
    logged = {str(one.name_to_use()): _logged(one, features) for one in projections}
    return Sides(
        tuple(StoredView(one.name, bases[one.name], one, logged.get(one.name, {})) for one in retrieval.views),
        tuple(ComputedView(name, _sources(view), logged[name]) for name, view in views.items()),
        retrieval,
        on_demand,
    )


def _bases(service: "FeatureService", views: Mapping[str, Any]) -> dict[str, str]:
    """Return the names of views in the feature repo, by those that they are used under."""
    used: list[Any] = [*service.feature_view_projections]
    used += [one for view in views.values() for one in view.source_feature_view_projections.values()]
    return {str(one.name_to_use()): str(one.name) for one in used}


def _sources(view: Any) -> tuple[str, ...]:  # noqa: ANN401 - Feast has no types
    return tuple(str(one.name_to_use()) for one in view.source_feature_view_projections.values())


def _logged(projection: Any, features: ServiceFeatures) -> dict[str, str]:  # noqa: ANN401 - likewise
    view = str(projection.name_to_use())
    columns = {str(one.name): feature_column(view, str(one.name)) for one in projection.features}
    return {(column if features.full_names else name): column for name, column in columns.items()}
