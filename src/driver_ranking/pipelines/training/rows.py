"""What the nodes take from rows with features: names, a matrix, the label; and how far scores are from it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

TIME_COLUMN = "event_timestamp"


def feature_names(table: pa.Table) -> tuple[str, ...]:
    """Return the feature columns of extracted rows."""
    from driver_ranking.feature_store.extraction import feature_columns

    return feature_columns(table.schema)


def feature_rows(table: pa.Table) -> NDArray[np.float64]:
    """Return the features of extracted rows as float64 ``[n, k]``, NaN for null."""
    columns = [table.column(name).cast(pa.float64()).to_numpy() for name in feature_names(table)]
    return np.column_stack(columns)


def label_of(table: pa.Table, training: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return the label as float64 ``[n]``."""
    return np.asarray(table.column(training["label"]).cast(pa.float64()).to_numpy(), dtype=np.float64)


def errors_of(label: NDArray[np.float64], score: NDArray[np.float64]) -> tuple[float, float]:
    """Return the root of the mean squared error, and the mean absolute error."""
    difference = score - label
    return float(np.sqrt(np.mean(difference**2))), float(np.mean(np.abs(difference)))
