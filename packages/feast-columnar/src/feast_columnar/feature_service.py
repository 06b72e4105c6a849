"""The columns of a feature service: what they are called, and which views they come from."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from feast_columnar.errors import UnservableFeatureError

if TYPE_CHECKING:
    from feast import FeatureService
    from feast.feature_view_projection import FeatureViewProjection
    from feast.types import FeastType


def projected_columns(projection: "FeatureViewProjection", *, full_feature_names: bool) -> dict[str, str]:
    """Return what the columns of a projection's features are called, by the features' names, as Feast calls them.

    Args:
        projection: What a feature service takes of one view.
        full_feature_names: Whether columns are named ``view__feature``.
    """
    prefix = f"{projection.name_alias or projection.name}__" if full_feature_names else ""
    return {feature.name: prefix + feature.name for feature in projection.features}


def service_columns(service: "FeatureService", *, full_feature_names: bool) -> tuple[str, ...]:
    """Return all columns of a feature service, in its order; those of features with one name stand there twice.

    Args:
        service: The service.
        full_feature_names: As in `projected_columns`.
    """
    return tuple(column for column, _ in _named(service, full_feature_names=full_feature_names))


def require_number(feature: str, owner: str, dtype: "FeastType") -> None:
    """Refuse what is neither a number nor any other scalar that is read.

    Args:
        feature: The feature.
        owner: What it is of, as the message has it.
        dtype: Its type.

    Raises:
        UnservableFeatureError: It is of such a type.
    """
    if not _is_number(dtype):
        message = f"The feature {feature!r} of {owner} is not a number, text, bytes or boolean, but {dtype}."
        raise UnservableFeatureError(message)


def _is_number(dtype: "FeastType") -> bool:
    from feast.types import Bool, Float32, Float64, Int32, Int64

    return dtype in (Float32, Float64, Int32, Int64, Bool)


def number_columns(service: "FeatureService", *, full_feature_names: bool) -> tuple[str, ...]:
    """Return the columns that hold numbers, booleans among them; otherwise like `service_columns`."""
    return tuple(
        column for column, field in _named(service, full_feature_names=full_feature_names) if _is_number(field.dtype)
    )


def column_types(service: "FeatureService", *, full_feature_names: bool) -> "dict[str, FeastType]":
    """Return the columns with their types.

    Args:
        service: As in `service_columns`.
        full_feature_names: Likewise.
    """
    return {column: field.dtype for column, field in _named(service, full_feature_names=full_feature_names)}


def _named(service: "FeatureService", *, full_feature_names: bool) -> Iterable[tuple[str, Any]]:
    """Yield each column with its field."""
    for projection in service.feature_view_projections:
        columns = projected_columns(projection, full_feature_names=full_feature_names)
        yield from ((columns[field.name], field) for field in projection.features)
