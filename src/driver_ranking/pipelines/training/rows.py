"""What the nodes take from rows with features: names, features, the label, trips; and how far scores are from it."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driver_ranking.features import FeatureRows, Features
from driver_ranking.pipelines.batch.recorded_defaults import recorded_defaults
from driver_ranking.pipelines.training.planned import PlannedModel, model_of_columns

if TYPE_CHECKING:
    import pandas as pd

TIME_COLUMN = "event_timestamp"
REQUEST_FEATURES_KEY = "driver_ranking.request_features"

Taken: TypeAlias = "NDArray[np.float64] | pd.DataFrame"
"""What an estimator takes of n rows: float64 ``[n, k]``, or a DataFrame where some columns are texts."""


def feature_names(table: pa.Table) -> tuple[str, ...]:
    """Return the columns of extracted rows that the model takes: of its feature service, and of the request."""
    from driver_ranking.feature_store.extraction import feature_columns

    return feature_columns(table.schema) + _requested(table.schema)


def _requested(schema: pa.Schema) -> tuple[str, ...]:
    return tuple(json.loads((schema.metadata or {}).get(REQUEST_FEATURES_KEY.encode(), b"[]")))


def _model_of(table: pa.Table) -> PlannedModel:
    return model_of_columns(table.schema, feature_names(table), _requested(table.schema))


def filled_features(table: pa.Table) -> Features:
    """Return the features of extracted rows, with the defaults that are recorded in place of missing ones.

    Raises:
        ModelInputError: A value can't be given exactly as a float64.
    """
    from driver_ranking.scoring import feature_matrix

    model = _model_of(table)
    (batch,) = table.combine_chunks().to_batches()
    features = feature_matrix(batch, model, lambda row: f"row {row + 1}")
    defaults = recorded_defaults(table.schema, model, extracted_for=model.version)
    return features if defaults is None else defaults.fill(features)[0]


def feature_rows(table: pa.Table) -> Taken:
    """Return the features of extracted rows as an estimator takes them, with defaults in place of missing ones."""
    features = filled_features(table)
    return _as_frame(table, features) if isinstance(features, FeatureRows) else features


def signed_rows(table: pa.Table) -> Taken:
    """Return the same in the types that a signature is to have: a DataFrame where they are not all doubles."""
    features = filled_features(table)
    return _as_frame(table, features) if set(_model_of(table).types.values()) != {"double"} else feature_rows(table)


def _as_frame(table: pa.Table, features: Features) -> "pd.DataFrame":
    from driver_ranking.model_columns import as_frame

    return as_frame(_model_of(table))(features)


def label_of(table: pa.Table, training: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return the label as float64 ``[n]``."""
    return np.asarray(table.column(training["label"]).cast(pa.float64()).to_numpy(), dtype=np.float64)


def groups_of(table: pa.Table, training: Mapping[str, Any]) -> NDArray[np.int64]:
    """Return which rows are candidates of one trip, int64 ``[n]``; a negative number is for a row of none."""
    trips = table.column(training["group_column"]).combine_chunks()
    if pa.types.is_floating(trips.type):  # a number that is missing in a CSV file, to pandas
        trips = pc.if_else(pc.is_nan(trips), pa.scalar(None, trips.type), trips)
    ids = trips.dictionary_encode().indices
    return np.asarray(pc.fill_null(ids, -1).cast(pa.int64()).to_numpy())


def errors_of(label: NDArray[np.float64], score: NDArray[np.float64]) -> tuple[float, float]:
    """Return the root of the mean squared error, and the mean absolute error."""
    difference = score - label
    return float(np.sqrt(np.mean(difference**2))), float(np.mean(np.abs(difference)))
