"""Features that come with a request, not from the online store: no request here can bring them."""

from typing import TYPE_CHECKING, Any

from driver_ranking.errors import RequestFeaturesError
from driver_ranking.feature_store.repo import ServiceFeatures
from driver_ranking.model import RegisteredModel
from feast_columnar.feature_service import projected_columns

if TYPE_CHECKING:
    from feast import FeatureStore


def require_no_request_features(store: "FeatureStore", features: ServiceFeatures, model: RegisteredModel) -> None:
    """Refuse a model whose features are made of values that only a request could bring.

    Args:
        store: The applied feature store.
        features: The model's feature service.
        model: The model.

    Raises:
        RequestFeaturesError: An on-demand feature view that has to be run has a request source.
    """
    views: list[tuple[Any, set[str]]] = [
        (view, set(projected_columns(projection, full_feature_names=features.full_names).values()))
        for projection in features.service.feature_view_projections
        if _is_on_demand(view := store.registry.get_any_feature_view(projection.name, store.project))
    ]
    if not any(columns & set(model.feature_names) for _, columns in views):
        return  # none of them is run
    for view, _ in views:
        names = [field.name for source in view.source_request_sources.values() for field in source.schema]
        if names:
            message = (
                f"The {model.label} can't be served online: the on-demand feature view {view.name!r} of its feature "
                f"service {features.service.name!r} wants {', '.join(map(repr, names))} from the request, and requests "
                f"have ids of drivers only. Use a feature service without a RequestSource."
            )
            raise RequestFeaturesError(message)


def _is_on_demand(view: Any) -> bool:  # noqa: ANN401 - Feast's kinds of views share no type
    from feast.on_demand_feature_view import OnDemandFeatureView

    return isinstance(view, OnDemandFeatureView)
