"""The model that is to be trained, as the parameters, the feature repo and the orders have it, before there is one.

What it may take is what a registered model may: the same rules hold of it, and are looked at before any work.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from driver_ranking.errors import RequestError
from driver_ranking.model import RegisteredModel

if TYPE_CHECKING:
    from feast import FeatureService

    from driver_ranking.datasets.entity_rows import EntityRows
    from driver_ranking.feature_store.entity_columns import EntityColumn, Reading

_FEAST_TEXTS: Final = {"String": "string", "Bytes": "binary"}
_TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_BYTES = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)


@dataclass(frozen=True)
class PlannedModel(RegisteredModel):
    """A model that is not registered yet. Its columns are doubles, texts, bytes and, of the request, booleans."""

    @property
    def optional_columns(self) -> tuple[str, ...]:
        """Return none: of what is nowhere, nothing can be learned."""
        return ()

    @property
    def label(self) -> str:
        """Return how messages name it."""
        return "model that is to be trained"


def planned_model(
    training: Mapping[str, Any], service: "FeatureService", needed: "Mapping[str, EntityColumn]", orders: "EntityRows"
) -> PlannedModel:
    """Return the model that the parameters ask for.

    Args:
        training: The parameters.
        service: Its feature service.
        needed: What the service needs of the orders.
        orders: The orders.

    Raises:
        RequestError: The candidates' key is none of the service, or nobody says what a request feature is.
        FeatureStoreError: Two features of the service have one name in one view.
    """
    _require_key(training["candidate_key"], service, needed)
    types = stored_types(service)
    for name in training["request_features"]:
        types.setdefault(name, _type_of(name, needed, orders))
    return PlannedModel(
        **_unregistered(training["feature_service"]),
        feature_names=tuple(types),
        feature_types=tuple(types.values()),
        candidate_key=training["candidate_key"],
        request_features=tuple(training["request_features"]),
        defaults=tuple(training["defaults"].items()),
    )


def model_of_columns(schema: pa.Schema, names: tuple[str, ...], requested: tuple[str, ...] = ()) -> PlannedModel:
    """Return the model that takes some columns of extracted rows, as they are; of them some come with the request."""
    types = tuple(_kind(schema.field(name).type, is_requested=name in requested) for name in names)
    return PlannedModel(**_unregistered(""), feature_names=names, feature_types=types)


def stored_types(service: "FeatureService") -> dict[str, str]:
    """Return the types that the features of a service have in a signature, by column, in the service's order."""
    from driver_ranking.feature_store.repo import features_for
    from feast_columnar.feature_service import projected_columns

    features = features_for(service)
    declared: dict[str, str] = {}
    for projection in service.feature_view_projections:
        columns = projected_columns(projection, full_feature_names=features.full_names)
        declared |= {columns[feature.name]: str(feature.dtype) for feature in projection.features}
    return {name: _FEAST_TEXTS.get(declared[name], "double") for name in features.columns}


def _unregistered(feature_service: str) -> dict[str, Any]:
    return {
        "name": "",
        "version": "",
        "run_id": None,
        "source_uri": "",
        "local_path": "",
        "feature_service": feature_service,
    }


def _require_key(candidate_key: str | None, service: "FeatureService", needed: "Mapping[str, EntityColumn]") -> None:
    keys = [column.name for column in needed.values() if column.required]
    if candidate_key is not None and candidate_key not in keys:
        message = (
            f"`training.candidate_key` is {candidate_key!r}; the join keys of the feature service {service.name!r} are "
            f"{', '.join(map(repr, keys)) or 'none'}."
        )
        raise RequestError(message)


def _type_of(name: str, needed: "Mapping[str, EntityColumn]", orders: "EntityRows") -> str:
    reading = needed[name].reading if name in needed else orders.features.get(name)
    if reading is None and name in orders.columns:
        message = (
            f"{orders.filepath}: nothing says whether the request feature {name!r} is a number, a text or a boolean. "
            f"Say so in `feature_columns` of the catalog's entry."
        )
        raise RequestError(message)
    return _signed(reading)


def _signed(reading: "Reading | None") -> str:
    from driver_ranking.feature_store.entity_columns import Reading

    kinds = {Reading.TEXT: "string", Reading.BYTES: "binary", Reading.BOOLEAN: "boolean"}
    return kinds.get(reading or Reading.NUMBER, "double")


def _kind(kind: pa.DataType, *, is_requested: bool) -> str:
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    if is_requested and pa.types.is_boolean(inner):
        return "boolean"
    if any(is_text(inner) for is_text in _TEXTS):
        return "string"
    return "binary" if any(is_bytes(inner) for is_bytes in _BYTES) else "double"
