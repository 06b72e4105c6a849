"""The columns of the log of one model version: those that Feast logs for its feature service, and ours beside them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import pyarrow as pa

from driver_ranking.errors import UnloggableModelError
from driver_ranking.prediction_log.columns import (
    MICROSECONDS,
    OWN_FIELDS,
    event_time_column,
    feature_column,
    status_column,
    timestamp_column,
)

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore
    from feast.types import FeastType

    from driver_ranking.feature_store.repo import ServiceFeatures

LAYOUT: Final = 1
"""The number of this layout, in the metadata of each file."""

METADATA: Final = b"driver_ranking.prediction_log"
"""The key of the metadata of each file: JSON, see `described`."""

_OF_SIGNATURE: Final = {
    "double": pa.float64(),
    "float": pa.float32(),
    "long": pa.int64(),
    "integer": pa.int32(),
    "boolean": pa.bool_(),
    "string": pa.string(),
    "binary": pa.binary(),
}


@dataclass(frozen=True)
class LoggedView:
    """A view of the feature service.

    Attributes:
        name: What the service has it under.
        features: By the name that the model's columns have, the log's columns. What the model does not take is there.
    """

    name: str
    features: Mapping[str, str]


@dataclass(frozen=True)
class LogSchema:
    """What the log of one model version has.

    Attributes:
        arrow: The columns: Feast's, in Feast's order, then ours.
        feast: The names of those that are Feast's.
        views: The views of the feature service.
        inputs: The names of those that hold what the request had: keys and request features.
    """

    arrow: pa.Schema
    feast: tuple[str, ...]
    views: tuple[LoggedView, ...]
    inputs: tuple[str, ...]

    def with_metadata(self, description: Mapping[str, Any]) -> pa.Schema:
        """Return the columns with what each file says of all of its rows, and the layout's number."""
        views = [{"name": view.name, "features": dict(view.features)} for view in self.views]
        text = json.dumps({"layout": LAYOUT, "views": views, "inputs": self.inputs, **description}, sort_keys=True)
        schema: pa.Schema = self.arrow.with_metadata({METADATA: text.encode()})
        return schema


def described(schema: pa.Schema) -> dict[str, Any]:
    """Return what a file says of all of its rows, from its schema or that of one of its batches."""
    return cast("dict[str, Any]", json.loads(schema.metadata[METADATA]))


def log_schema(
    store: "FeatureStore",
    features: "ServiceFeatures",
    *,
    keys: "Mapping[str, FeastType]",
    request: "Mapping[str, FeastType]",
    requested: Mapping[str, str],
) -> LogSchema:
    """Return what the log of a model has.

    Args:
        store: The applied feature store.
        features: What the model's feature service offers.
        keys: The keys of requests, with the types that the feature repo declares.
        request: What on-demand views compute from that comes with requests, likewise.
        requested: The columns of the model's signature that come with requests, with the signature's types.

    Raises:
        UnloggableModelError: Feast can't log a type of the service, or two columns would have one name.
    """
    service = features.service
    feast = _feast_fields(store, service)
    inputs = _inputs(keys, request, requested)
    beside = [pa.field(name, kind) for name, kind in inputs.items() if name not in feast.names]
    views = tuple(_view(one, full_names=features.full_names) for one in service.feature_view_projections)
    times = [pa.field(event_time_column(view.name), MICROSECONDS) for view in views]
    fields = [*feast, *beside, *OWN_FIELDS, *times]
    _require_distinct(service, fields, views, inputs)
    return LogSchema(pa.schema(fields), tuple(feast.names), views, tuple(inputs))


def _feast_fields(store: "FeatureStore", service: "FeatureService") -> pa.Schema:
    """Return Feast's columns, by Feast's own code: of whatever version is installed, they are what it reads."""
    from feast.feature_logging import FeatureServiceLoggingSource

    try:
        schema: pa.Schema = FeatureServiceLoggingSource(service, store.project).get_schema(store.registry)
    except KeyError as error:
        message = (
            f"Feast can't log the feature service {service.name!r}: it has a feature, a key or a request feature of "
            f"the type {error.args[0]}. Take it out of the service, or set prediction_log.enabled to false."
        )
        raise UnloggableModelError(message) from error
    return schema


def _inputs(
    keys: "Mapping[str, FeastType]", request: "Mapping[str, FeastType]", requested: Mapping[str, str]
) -> dict[str, pa.DataType]:
    """Return the types of what requests have, where the feature repo has none that of the signature."""
    from feast.embedded_go.type_map import FEAST_TYPE_TO_ARROW_TYPE

    declared = {**request, **keys}
    of_signature = {name: _OF_SIGNATURE[kind] for name, kind in requested.items()}
    return of_signature | {name: FEAST_TYPE_TO_ARROW_TYPE[kind] for name, kind in declared.items()}


def _view(projection: Any, *, full_names: bool) -> LoggedView:  # noqa: ANN401 - Feast has no types
    view = projection.name_to_use()
    columns = {one.name: feature_column(view, one.name) for one in projection.features}
    return LoggedView(view, {(column if full_names else name): column for name, column in columns.items()})


def _require_distinct(
    service: "FeatureService", fields: list[pa.Field], views: tuple[LoggedView, ...], inputs: Mapping[str, pa.DataType]
) -> None:
    """Refuse two columns of one name; Feast would keep one of them."""
    names = [name for view in views for column in view.features.values() for name in _of_feature(column)]
    names += [*inputs, *(one.name for one in OWN_FIELDS), *(event_time_column(view.name) for view in views)]
    twice = sorted({name for name in names if names.count(name) > 1})
    odd = [field.name for field in fields if field.name in inputs and field.type != inputs[field.name]]
    if twice or odd:
        message = (
            f"The prediction log of the feature service {service.name!r} would have two columns {(twice or odd)[0]!r}. "
            f"Rename one of them, or set prediction_log.enabled to false."
        )
        raise UnloggableModelError(message)


def _of_feature(column: str) -> tuple[str, str, str]:
    return column, timestamp_column(column), status_column(column)
