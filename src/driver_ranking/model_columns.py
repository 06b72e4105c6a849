"""Feature rows in the types of a model's signature: exactly the same values, or an error.

Batch and online carry features as float64. What was a float32, an int32 or a boolean comes back as it was; what a type
of the signature can't hold exactly is never rounded in silence.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from driver_ranking.errors import ModelInputError, ModelSignatureError
from driver_ranking.model_version import RegisteredModel
from feast_columnar.exactness import EXACT_INTEGERS

if TYPE_CHECKING:
    import pandas as pd

_DTYPES: Mapping[str, type[np.generic]] = {
    "double": np.float64,
    "float": np.float32,
    "long": np.int64,
    "integer": np.int32,
    "boolean": np.bool_,
}
# Which types of columns a Feast type can be given as. Integers in floats are looked at value by value.
_TAKEN_AS: Mapping[str, frozenset[str]] = {
    "Float64": frozenset({"double"}),
    "Float32": frozenset({"double", "float"}),
    "Int64": frozenset({"double", "float", "long"}),
    "Int32": frozenset({"double", "float", "long", "integer"}),
    "Bool": frozenset(_DTYPES),
}


def require_fitting_types(model: RegisteredModel, declared: Mapping[str, str]) -> None:
    """Refuse a model whose columns can't hold exactly what the feature repo declares.

    Args:
        model: The model.
        declared: The features' types as Feast names them, ``Float32`` for example, by column.

    Raises:
        ModelSignatureError: A column's type is too narrow, or the feature is not a number.
    """
    faults = [
        f"{name!r} is {declared[name]} in the feature repo and {kind} in the signature"
        for name, kind in zip(model.feature_names, _types(model), strict=True)
        if kind not in _TAKEN_AS.get(declared[name], frozenset())
    ]
    if faults:
        message = (
            f"The {model.label} can't be given its features exactly: {'; '.join(faults)}. Log it with a signature of "
            f"the features' own types or of doubles; only numbers and booleans can be features of a model."
        )
        raise ModelSignatureError(message)


def require_exact(features: NDArray[np.float64], model: RegisteredModel, name_of: Callable[[int], str]) -> None:
    """Refuse rows with a value that its column's type can't hold exactly; missing values are left out.

    Args:
        features: float64 ``[n, k]``, NaN where a value is missing.
        model: The model.
        name_of: How the message names the row of an index.

    Raises:
        ModelInputError: There is such a value; the message names its row and column.
    """
    for index, kind in enumerate(_types(model)):
        if kind == "double":
            continue
        column = features[:, index]
        faulty = np.flatnonzero(~(_is_exact(column, kind) | np.isnan(column)))
        if faulty.size:
            row = int(faulty[0])
            message = (
                f"The {model.label} takes {model.feature_names[index]!r} as {kind}, which can't hold "
                f"{column[row]!r} of {name_of(row)} exactly. Log the model with a signature of the feature's own type "
                f"or of doubles."
            )
            raise ModelInputError(message)


def as_array(model: RegisteredModel) -> Callable[[NDArray[np.float64]], NDArray[Any]]:
    """Return what casts float64 ``[n, k]`` to an array of the type that holds all of the model's columns."""
    kinds = set(_types(model))
    if kinds == {"double"}:
        return lambda features: features
    dtype = np.result_type(*(_DTYPES[kind] for kind in kinds))

    def cast(features: NDArray[np.float64]) -> NDArray[Any]:
        require_exact(features, model, _of_the_batch)
        return features.astype(dtype)

    return cast


def as_frame(model: RegisteredModel) -> "Callable[[NDArray[np.float64]], pd.DataFrame]":
    """Return what casts float64 ``[n, k]`` to a DataFrame of the model's columns in their types."""
    import pandas as pd

    names, kinds = list(model.feature_names), _types(model)
    if set(kinds) == {"double"}:
        return lambda features: pd.DataFrame(features, columns=names, copy=False)

    def cast(features: NDArray[np.float64]) -> pd.DataFrame:
        require_exact(features, model, _of_the_batch)
        columns = {name: features[:, at].astype(_DTYPES[kinds[at]]) for at, name in enumerate(names)}
        return pd.DataFrame(columns, copy=False)

    return cast


def _types(model: RegisteredModel) -> tuple[str, ...]:
    return model.feature_types or ("double",) * len(model.feature_names)


def _is_exact(column: NDArray[np.float64], kind: str) -> NDArray[np.bool_]:
    """Return which values a type holds exactly; True for an infinity where the type has one."""
    if kind == "float":
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(column.astype(np.float32) == column)
    if kind == "boolean":
        return np.asarray((column == 0) | (column == 1))
    whole = np.trunc(column) == column
    if kind == "long":
        return np.asarray(whole & (np.abs(column) < EXACT_INTEGERS))
    limits = np.iinfo(np.int32)
    return np.asarray(whole & (column >= limits.min) & (column <= limits.max))


def _of_the_batch(row: int) -> str:
    return f"row {row + 1} of those that were given"
