"""Texts as LightGBM and XGBoost know them: the categories that a model was trained with, which its files name.

A text that is none of them is missing to LightGBM, and an error of XGBoost's.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from driver_ranking.errors import ModelInputError, ModelSignatureError
from driver_ranking.features import Features
from driver_ranking.model_columns import as_frame
from driver_ranking.model_version import RegisteredModel

if TYPE_CHECKING:
    import pandas as pd

_LIGHTGBM, _XGBOOST = "lightgbm", "xgboost"
_ADVICE = (
    "Fit it on a DataFrame in which these columns alone are pandas categories of texts (for XGBoost: in ASCII), or put "
    "an encoder before it in a pipeline of scikit-learn's."
)


def takes_categories(raw: object) -> bool:
    """Return whether a model is one of these libraries' own."""
    return _library(raw) in {_LIGHTGBM, _XGBOOST}


def on_categories(
    model: RegisteredModel,
    raw: Any,  # noqa: ANN401 - a model of either library
    function: str,
) -> Callable[[Features], object]:
    """Return what a model of these libraries answers to features with texts.

    Args:
        model: The model.
        raw: What was loaded: an estimator or a booster.
        function: Which of its functions is asked.

    Raises:
        ModelSignatureError: It was trained without the texts' categories: it would take one text for another.
    """
    known = _categories_of_lightgbm(raw) if _library(raw) == _LIGHTGBM else _categories_of_xgboost(raw, model)
    fit = len(known) == len(model.text_columns) and all(map(_are_texts, known))
    if not fit or "binary" in model.types.values():
        message = f"was not trained on categories that are the texts of {', '.join(model.text_columns)}. {_ADVICE}"
        raise ModelSignatureError(message)
    given, predict = _as_categories(model, known, refuse=_library(raw) == _XGBOOST), _on_frames(raw, function)
    return lambda features: predict(given(features))


def _library(raw: object) -> str:
    return type(raw).__module__.partition(".")[0]


def _are_texts(categories: list[Any]) -> bool:
    return bool(categories) and all(isinstance(one, str) for one in categories)


def _categories_of_lightgbm(raw: Any) -> list[list[Any]]:  # noqa: ANN401 - as above
    """Return the categories of each column that has any: the library knows them by their order."""
    return getattr(raw, "booster_", raw).pandas_categorical or []


def _categories_of_xgboost(raw: Any, model: RegisteredModel) -> list[list[Any]]:  # noqa: ANN401 - as above
    """Return the categories of each text column of a model, none where they can't be told apart.

    Of texts beyond ASCII XGBoost counts the letters where it means the bytes, and keeps parts of them
    (https://github.com/dmlc/xgboost/pull/12371).
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    booster = raw.get_booster() if hasattr(raw, "get_booster") else raw
    columns = dict(booster.get_categories(export_to_arrow=True).to_arrow())

    def told_apart(column: pa.Array | None) -> bool:
        return column is not None and pa.types.is_string(column.type) and pc.all(pc.string_is_ascii(column)).as_py()

    return [columns[name].to_pylist() if told_apart(columns.get(name)) else [] for name in model.text_columns]


def _as_categories(
    model: RegisteredModel, known: list[list[Any]], *, refuse: bool
) -> "Callable[[Features], pd.DataFrame]":
    """Return what makes a DataFrame of features, in which texts are the categories that a model knows.

    Args:
        model: The model.
        known: The categories of each text column, in order.
        refuse: Whether others are refused here: XGBoost 3.2 takes some for the next one in the alphabet
            (https://github.com/dmlc/xgboost/issues/12189).
    """
    import pandas as pd

    frame = as_frame(model)
    types = {name: pd.CategoricalDtype(one) for name, one in zip(model.text_columns, known, strict=True)}

    def cast(features: Features) -> pd.DataFrame:
        texts = frame(features)
        rows = texts.astype(types)
        for name in types if refuse else ():
            unknown = np.flatnonzero(rows[name].cat.codes < 0)
            if unknown.size:
                message = (
                    f"The {model.label} takes {name!r} as one of the texts that it was trained with, and "
                    f"{texts[name][unknown[0]]!r} is none of them. Train it with that text, or with an encoder that "
                    f"takes unknown ones."
                )
                raise ModelInputError(message)
        return rows

    return cast


def _on_frames(raw: Any, function: str) -> "Callable[[pd.DataFrame], object]":  # noqa: ANN401 - as above
    """Return a model's function; a booster of XGBoost's takes no frame itself."""
    predict: Callable[[Any], object] = getattr(raw, function)
    if _library(raw) == _LIGHTGBM or hasattr(raw, "get_booster"):
        return predict
    from xgboost import DMatrix

    return lambda frame: predict(DMatrix(frame, enable_categorical=True))
