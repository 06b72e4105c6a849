"""The names of the log's columns, beside those of keys, request features and features."""

from typing import Final

import pyarrow as pa

LOG_TIMESTAMP: Final = "__log_timestamp"
"""When the features were read, as of which their ttl was judged; Feast's name, as the next two are."""
LOG_DATE: Final = "__log_date"
REQUEST_ID: Final = "__request_id"

TRACE_ID: Final = "__trace_id"
RUN_ID: Final = "__run_id"
ANSWER: Final = "__answer"
POSITION: Final = "__position"
STATUS: Final = "__status"
SCORE: Final = "__score"
RANK: Final = "__rank"
GIVEN: Final = "__given"
DEFAULTED: Final = "__defaulted"
MODEL_NAME: Final = "__model_name"
MODEL_VERSION: Final = "__model_version"
FEATURE_SERVICE: Final = "__feature_service"
BATCH: Final = "__batch"
BATCH_SIZE: Final = "__batch_size"
BATCH_ROW: Final = "__batch_row"
READ_MICROSECONDS: Final = "__read_us"

MICROSECONDS: Final = pa.timestamp("us", tz="UTC")

OWN_FIELDS: Final = (
    pa.field(TRACE_ID, pa.string()),
    pa.field(RUN_ID, pa.string()),
    pa.field(ANSWER, pa.int64()),
    pa.field(POSITION, pa.int32()),
    pa.field(STATUS, pa.string()),
    pa.field(SCORE, pa.float64()),
    pa.field(RANK, pa.int32()),
    pa.field(GIVEN, pa.bool_()),
    pa.field(DEFAULTED, pa.list_(pa.string())),
    pa.field(MODEL_NAME, pa.string()),
    pa.field(MODEL_VERSION, pa.string()),
    pa.field(FEATURE_SERVICE, pa.string()),
    pa.field(BATCH, pa.int64()),
    pa.field(BATCH_SIZE, pa.int32()),
    pa.field(BATCH_ROW, pa.int32()),
    pa.field(READ_MICROSECONDS, pa.int32()),
)
"""What the log has beside Feast's columns, the same for every model."""


def feature_column(view: str, feature: str) -> str:
    """Return the column of a feature's values, as Feast names it.

    Args:
        view: The view, by the name that the feature service has it under.
        feature: The feature.
    """
    return f"{view}__{feature}"


def timestamp_column(column: str) -> str:
    """Return the column of the event times of a feature, in seconds, as Feast names it."""
    return f"{column}__timestamp"


def status_column(column: str) -> str:
    """Return the column of what was found of a feature (`FieldStatus`), as Feast names it."""
    return f"{column}__status"


def is_status(column: str) -> bool:
    """Return whether a column is one of those."""
    return column.endswith("__status")


def event_time_column(view: str) -> str:
    """Return our column of the event times of a view's rows, in microseconds."""
    return f"__event_timestamp__{view}"
