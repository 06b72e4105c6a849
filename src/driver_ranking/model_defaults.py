"""What stands for missing features of a model: the feature repo's defaults, and before them those of its version's tag.

In the repo a default is the text of a feature's tag ``default``, read as the feature's type.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from driver_ranking.errors import ModelTagError
from driver_ranking.features import Defaults
from driver_ranking.model_columns import is_exact
from driver_ranking.model_tags import DEFAULTS_TAG
from driver_ranking.model_version import RegisteredModel

if TYPE_CHECKING:
    from feast import Field

DEFAULT_TAG: Final = "default"

_TRUTH = {"true": True, "false": False}
_READ: Mapping[str, Callable[[str], float | bool | str]] = {
    "Float64": float,
    "Float32": float,
    "Int64": int,
    "Int32": int,
    "Bool": lambda text: _TRUTH[text.strip().lower()],
    "String": str,
    "Bytes": str,
}


def defaults_of(model: RegisteredModel, fields: "Mapping[str, Field]") -> Defaults | None:
    """Return what stands for missing features; None where nothing does.

    Args:
        model: The model, whose columns have types that hold what the feature repo declares.
        fields: The features of the feature repo, by column of the model.

    Raises:
        ModelTagError: A default can't be read, or its column can't hold it exactly.
    """
    given: dict[str, tuple[float | bool | str, str]] = {}
    for name, field in fields.items():
        if DEFAULT_TAG in field.tags:
            where = f"The tag {DEFAULT_TAG!r} of the feature {name!r} in the feature repo"
            given[name] = (_read(field.tags[DEFAULT_TAG], str(field.dtype), where), where)
    for name, value in model.defaults:
        given[name] = (value, f"The default of {name!r} in the tag {DEFAULTS_TAG!r} of the {model.label}")
    if not given:
        return None
    numbers = np.full(len(model.number_columns), np.nan)
    for place, name in enumerate(model.number_columns):
        if name in given:
            is_bool = name in fields and str(fields[name].dtype) == "Bool"
            numbers[place] = _number(*given[name], model.types[name], is_bool=is_bool)
    texts = {name: _text(*given[name], model.types[name]) for name in model.text_columns if name in given}
    return Defaults(numbers, texts)


def has_default(model: RegisteredModel, defaults: Defaults, name: str) -> bool:
    """Return whether something stands for a missing feature of a model."""
    if name not in model.number_columns:
        return name in defaults.texts
    return not np.isnan(defaults.numbers[model.number_columns.index(name)])


def _read(text: str, dtype: str, where: str) -> float | bool | str:
    try:
        return _READ[dtype](text)
    except (ValueError, KeyError) as error:
        message = f"{where} is {text!r}, which can't be read as {dtype}. Correct it, and apply the feature repo."
        raise ModelTagError(message) from error


def _number(value: float | bool | str, where: str, kind: str, *, is_bool: bool) -> float:  # noqa: FBT001 - a default
    if isinstance(value, str):
        message = f"{where} is the text {value!r}, and the model takes it as {kind}. Make it a number."
        raise ModelTagError(message)
    if isinstance(value, bool) and kind != "boolean" and not is_bool:
        message = f"{where} is true or false, and the model takes it as {kind}. Make it a number."
        raise ModelTagError(message)
    exact = _exactly(value, kind)
    if exact is None:
        message = (
            f"{where} is {value!r}, which {kind}, the column's type, can't hold exactly. Give it one that it holds."
        )
        raise ModelTagError(message)
    return exact


def _exactly(value: float, kind: str) -> float | None:
    """Return a number as a column's type holds it, None if it does not.

    A float32 is named by the shortest decimal that no other is nearer to, 0.1 for example, or by all its digits.
    """
    try:
        number = float(value)
    except OverflowError:
        return None
    if number != value or not np.isfinite(number):
        return None
    if kind != "float":
        return number if is_exact(np.array([number]), kind)[0] else None
    with np.errstate(over="ignore"):
        narrow = np.float32(number)
    return float(narrow) if number in {float(narrow), float(str(narrow))} else None


def _text(value: float | bool | str, where: str, kind: str) -> str | bytes:  # noqa: FBT001 - a default
    if not isinstance(value, str):
        message = f"{where} is {value!r}, and the model takes it as a text ({kind}). Put it in quotation marks."
        raise ModelTagError(message)
    try:
        encoded = value.encode()
    except UnicodeEncodeError as error:
        message = f"{where} has half a character in it, which is no text. Correct it."
        raise ModelTagError(message) from error
    return encoded if kind == "binary" else value
