"""Values of two sides, compared in the type that the log has them in."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


def as_logged(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return values in the type of the log, null for NaN, which stands for a missing value as well."""
    if values.type != kind:
        values = _cast(values, kind)
    if not pa.types.is_floating(values.type):
        return values
    return pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)


def _cast(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Cast as Feast does when it writes values online; what can't be cast stays, and then differs."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_floating(values.type) and pa.types.is_integer(kind):
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
    try:
        return values.cast(kind, safe=False)
    except pa.ArrowException:
        return values


def are_same(logged: pa.Array, other: pa.Array) -> NDArray[np.bool_]:
    """Return where two columns have the same value, or none both."""
    if logged.type != other.type:
        return as_bool(pc.and_(pc.is_null(logged), pc.is_null(other)))
    equal = pc.fill_null(pc.equal(logged, other), False)  # noqa: FBT003 - the value for null
    return as_bool(pc.or_(equal, pc.and_(pc.is_null(logged), pc.is_null(other))))


def as_bool(values: pa.Array | pa.ChunkedArray) -> NDArray[np.bool_]:
    """Return booleans without nulls as NumPy has them."""
    return np.asarray(values.to_numpy(zero_copy_only=False) if isinstance(values, pa.Array) else values.to_numpy())


def is_null(values: pa.Array) -> NDArray[np.bool_]:
    """Return where there is no value."""
    return as_bool(pc.is_null(values))


def numbers(values: pa.Array) -> NDArray[np.float64] | None:
    """Return a column as float64, NaN for null; None if it has no numbers."""
    kind = values.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        return None
    return np.asarray(pc.fill_null(values.cast(pa.float64(), safe=False), np.nan).to_numpy(zero_copy_only=False))
