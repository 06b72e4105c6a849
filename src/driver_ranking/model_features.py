"""A model and its feature service, checked against each other: names and types."""

from typing import TYPE_CHECKING

from driver_ranking.feature_store.repo import ServiceFeatures, features_for
from driver_ranking.model_columns import require_fitting_types
from driver_ranking.model_version import RegisteredModel
from feast_columnar.feature_service import projected_columns

if TYPE_CHECKING:
    from feast import FeatureService


def features_of(model: RegisteredModel, service: "FeatureService") -> ServiceFeatures:
    """Return the features that a model takes, as its feature service offers them.

    Raises:
        MissingFeatureError: The service lacks a feature of the model's signature.
        FeatureStoreError: Two features of the service have one name and the model does not name their views.
        ModelSignatureError: A column of the signature can't hold exactly what the service declares.
    """
    features = features_for(service, model.feature_names)
    types: dict[str, str] = {}
    for projection in service.feature_view_projections:
        columns = projected_columns(projection, full_feature_names=features.full_names)
        types |= {columns[feature.name]: str(feature.dtype) for feature in projection.features}
    require_fitting_types(model, types)
    return features
