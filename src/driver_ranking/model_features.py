"""A model and its feature service, checked against each other: names, types, and where each feature comes from."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from driver_ranking.errors import ModelTagError
from driver_ranking.feature_store.repo import ServiceFeatures, features_for
from driver_ranking.features import Defaults
from driver_ranking.model_columns import require_fitting_types
from driver_ranking.model_defaults import defaults_of
from driver_ranking.model_tags import DEFAULTS_TAG, REQUEST_FEATURES_TAG
from driver_ranking.model_version import RegisteredModel
from feast_columnar.feature_service import projected_columns

if TYPE_CHECKING:
    from feast import FeatureService, Field


@dataclass(frozen=True)
class ModelFeatures:
    """The features that a model takes.

    Attributes:
        service: What its feature service offers.
        stored: The columns of the model's signature that the service offers, in the signature's order.
        requested: Those that come with the request, likewise.
        defaults: What stands for missing ones; None where there are no defaults.
    """

    service: ServiceFeatures
    stored: tuple[str, ...]
    requested: tuple[str, ...] = ()
    defaults: Defaults | None = None


def features_of(model: RegisteredModel, service: "FeatureService") -> ModelFeatures:
    """Return the features that a model takes: which its feature service offers, and which come with the request.

    Raises:
        MissingFeatureError: The service lacks a feature of the model's signature that no request brings.
        FeatureStoreError: Two features of the service have one name and the model does not name their views.
        ModelSignatureError: A column of the signature can't hold exactly what the service declares.
        ModelTagError: A tag names a feature that the signature lacks, or as one of the request what the service offers,
            or a default can't be given exactly.
    """
    _require_columns(model, REQUEST_FEATURES_TAG, model.request_features)
    _require_columns(model, DEFAULTS_TAG, (name for name, _ in model.defaults))
    stored = tuple(name for name in model.feature_names if name not in model.request_features)
    requested = tuple(name for name in model.feature_names if name in model.request_features)
    features = features_for(service, stored)
    _refuse_offered(model, features)
    fields = _fields(features)
    taken = {name: fields[name] for name in stored}
    require_fitting_types(model, {name: str(field.dtype) for name, field in taken.items()})
    return ModelFeatures(features, stored, requested, defaults_of(model, taken))


def _fields(features: ServiceFeatures) -> "dict[str, Field]":
    """Return the features of a service by column."""
    fields: dict[str, Field] = {}
    for projection in features.service.feature_view_projections:
        columns = projected_columns(projection, full_feature_names=features.full_names)
        fields |= {columns[feature.name]: feature for feature in projection.features}
    return fields


def _require_columns(model: RegisteredModel, tag: str, names: Iterable[str]) -> None:
    unknown = [name for name in names if name not in model.feature_names]
    if unknown:
        message = (
            f"The tag {tag!r} of the {model.label} names {', '.join(map(repr, unknown))}, but the columns of the "
            f"model's signature are {', '.join(map(repr, model.feature_names))}. Correct the tag."
        )
        raise ModelTagError(message)


def _refuse_offered(model: RegisteredModel, features: ServiceFeatures) -> None:
    """Refuse a feature that has two sources: nobody could tell which one counts."""
    offered = [name for name in model.request_features if name in features.columns]
    if offered:
        message = (
            f"The tag {REQUEST_FEATURES_TAG!r} of the {model.label} names {', '.join(map(repr, offered))}, which the "
            f"feature service {features.service.name!r} offers as well. Take it out of the tag, or out of the service."
        )
        raise ModelTagError(message)
