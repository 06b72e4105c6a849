"""Feature rows in the types of a model's signature: exactly the same values, or an error.

Batch and online carry numbers as float64, texts beside them. What was a float32, an int32 or a boolean comes back as it
was; what a type of the signature can't hold exactly is never rounded in silence.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from driver_ranking.errors import ModelInputError, ModelSignatureError
from driver_ranking.features import FeatureRows, Features, numbers_of
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
    "String": frozenset({"string"}),
    "Bytes": frozenset({"binary"}),
}


def require_fitting_types(model: RegisteredModel, declared: Mapping[str, str]) -> None:
    """Refuse a model whose columns can't hold exactly what the feature repo declares.

    Args:
        model: The model.
        declared: The features' types as Feast names them, ``Float32`` for example, by column; a column that is not
            among them comes with the request.

    Raises:
        ModelSignatureError: A column's type is too narrow, or the feature is neither a number nor a text.
    """
    faults = [
        f"{name!r} is {declared[name]} in the feature repo and {kind} in the signature"
        for name, kind in model.types.items()
        if name in declared and kind not in _TAKEN_AS.get(declared[name], frozenset())
    ]
    if faults:
        message = (
            f"The {model.label} can't be given its features exactly: {'; '.join(faults)}. Log it with a signature of "
            f"the features' own types or, of numbers, of doubles; only numbers, booleans, texts and bytes can be "
            f"features of a model."
        )
        raise ModelSignatureError(message)


def require_exact(features: Features, model: RegisteredModel, name_of: Callable[[int], str]) -> None:
    """Refuse rows with a number that its column's type can't hold exactly; missing values are left out.

    Args:
        features: n rows with what the model takes.
        model: The model.
        name_of: How the message names the row of an index.

    Raises:
        ModelInputError: There is such a value; the message names its row and column.
    """
    numbers, types = numbers_of(features), model.types
    for index, name in enumerate(model.number_columns):
        kind = types[name]
        if kind == "double":
            continue
        column = numbers[:, index]
        faulty = np.flatnonzero(~(is_exact(column, kind) | np.isnan(column)))
        if faulty.size:
            row = int(faulty[0])
            message = (
                f"The {model.label} takes {name!r} as {kind}, which can't hold "
                f"{column[row]!r} of {name_of(row)} exactly. Log the model with a signature of the feature's own type "
                f"or of doubles."
            )
            raise ModelInputError(message)


def as_array(model: RegisteredModel) -> Callable[[Features], NDArray[Any]]:
    """Return what casts features, of a model that takes no texts, to an array of the type that holds all columns."""
    kinds = set(model.types.values())
    if kinds == {"double"}:
        return numbers_of
    dtype = np.result_type(*(_DTYPES[kind] for kind in kinds))

    def cast(features: Features) -> NDArray[Any]:
        require_exact(features, model, _of_the_batch)
        return numbers_of(features).astype(dtype)

    return cast


def as_frame(model: RegisteredModel) -> "Callable[[Features], pd.DataFrame]":
    """Return what casts features to a DataFrame of the model's columns in their types; texts and bytes are objects."""
    import pandas as pd

    names, types = list(model.feature_names), model.types
    if set(types.values()) == {"double"}:
        return lambda features: pd.DataFrame(numbers_of(features), columns=names, copy=False)
    places = {name: place for place, name in enumerate(model.number_columns)}

    def cast(features: Features) -> pd.DataFrame:
        require_exact(features, model, _of_the_batch)
        numbers, texts = numbers_of(features), features.texts if isinstance(features, FeatureRows) else {}
        columns = {
            # all are copied: a model may write into its frame
            name: numbers[:, places[name]].astype(_DTYPES[types[name]]) if name in places else texts[name].copy()
            for name in names
        }
        return pd.DataFrame(columns, copy=False)

    return cast


def is_exact(column: NDArray[np.float64], kind: str) -> NDArray[np.bool_]:
    """Return which numbers a signature's type holds exactly, bool ``[n]``; an infinity too, where the type has one."""
    if kind == "double":
        return np.ones(len(column), dtype=np.bool_)
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
