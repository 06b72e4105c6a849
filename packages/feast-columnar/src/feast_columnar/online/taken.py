"""What is read of which feature view."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from feast_columnar.feature_service import projected_columns

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore


@dataclass(frozen=True)
class TakenView:
    """A feature view and what is taken of it.

    Attributes:
        view: The view, of any of Feast's kinds, projected as the service wants it.
        features: Names of the features, and what the reader calls them.
    """

    view: Any
    features: Mapping[str, str]


def taken_views(
    store: "FeatureStore", service: "FeatureService", columns: tuple[str, ...], *, full_feature_names: bool
) -> list[TakenView]:
    """Return the views of a service that some columns come from, as the registry has them.

    Args:
        store: The applied feature store.
        service: The service.
        columns: Columns of it, each once.
        full_feature_names: Whether columns are named ``view__feature``.
    """
    taken = []
    for projection in service.feature_view_projections:
        offered = projected_columns(projection, full_feature_names=full_feature_names)
        features = {name: column for name, column in offered.items() if column in columns}
        if features:
            view = store.registry.get_any_feature_view(projection.name, store.project)
            taken.append(TakenView(view.with_projection(projection), features))
    return taken
