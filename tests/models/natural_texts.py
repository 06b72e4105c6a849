"""Models as users log them that take texts beside numbers, each with the scores that its library gives.

Like those of ``natural``: functions that log one with the signature that MLflow infers.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import catboost
import lightgbm
import mlflow.catboost
import mlflow.lightgbm
import mlflow.onnx
import mlflow.pyfunc
import mlflow.sklearn
import mlflow.xgboost
import numpy as np
import pandas as pd
import skl2onnx
import xgboost
from mlflow.models import infer_signature
from mlflow.pyfunc.model import PythonModel
from skl2onnx.common.data_types import DoubleTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from driver_ranking.features import FeatureRows

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlflow.models.model import ModelInfo
    from numpy.typing import NDArray

    Logged = tuple[Callable[[], ModelInfo], NDArray[Any]]

_RNG = np.random.default_rng(17)
FRAME = pd.DataFrame(
    {
        "zone": _RNG.choice(np.array(["north", "süd", "", "west"], dtype=object), 80),
        "conv_rate": _RNG.random(80),
        "city": _RNG.choice(np.array(["Hanoi", "Århus"], dtype=object), 80),
        "trips": _RNG.integers(0, 1000, 80).astype(np.int32),
    }
)
TEXTS, NUMBERS = ["zone", "city"], ["conv_rate", "trips"]
SCORE = FRAME["conv_rate"].to_numpy() + (FRAME["zone"] == "süd") - 2.0 * (FRAME["city"] == "Hanoi")
LABEL = (FRAME["conv_rate"] > 0.5).astype(int)
ASCII = FRAME.replace({"süd": "south", "Århus": "Aarhus"})  # what XGBoost can tell apart
_AS_CATEGORIES = dict.fromkeys(TEXTS, "category")
CATEGORIES, ASCII_CATEGORIES = FRAME.astype(_AS_CATEGORIES), ASCII.astype(_AS_CATEGORIES)
_COMMON: dict[str, Any] = {"name": "model", "pip_requirements": ["mlflow"], "input_example": FRAME[:3]}
_LGBM: dict[str, Any] = {"n_estimators": 5, "verbose": -1, "min_child_samples": 2}
_PICKLED: dict[str, Any] = {"serialization_format": "cloudpickle"}


def rows_of(frame: pd.DataFrame) -> FeatureRows:
    return FeatureRows(frame[NUMBERS].to_numpy(np.float64), {name: frame[name].to_numpy() for name in TEXTS})


def signature_of(frame: pd.DataFrame = FRAME) -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*contains integer column", category=UserWarning)
        return infer_signature(frame)


def encoded(final: Any, encoder: Any = None) -> Any:
    """Return a pipeline that encodes the texts; those that it does not know are none of its own."""
    encoder = encoder or OneHotEncoder(handle_unknown="ignore")
    by_kind = ColumnTransformer([("texts", encoder, TEXTS), ("numbers", StandardScaler(), NUMBERS)])
    return make_pipeline(by_kind, final)


def of(flavor: Any, model: Any, scores: Any, **options: Any) -> Logged:
    return lambda: flavor.log_model(model, signature=signature_of(), **_COMMON | options), np.asarray(scores)


def of_sklearn(final: Any, function: str = "predict", **options: Any) -> Logged:
    fitted = encoded(final).fit(FRAME, SCORE if function == "predict" else LABEL)
    scores = getattr(fitted, function)(FRAME)
    scores = scores[:, 1] if scores.ndim > 1 else scores
    return of(mlflow.sklearn, fitted, scores, pyfunc_predict_fn=function, **options)


def of_categories(
    flavor: Any, model: Any, frame: pd.DataFrame = CATEGORIES, function: str = "predict", **options: Any
) -> Logged:
    """Log what LightGBM or XGBoost fit on pandas categories."""
    fitted = model.fit(frame, SCORE if function == "predict" else LABEL)
    scores = getattr(fitted, function)(frame)
    return of(flavor, fitted, scores[:, 1] if scores.ndim > 1 else scores, **options)


def _of_lightgbm_booster() -> Logged:
    booster = lightgbm.LGBMRegressor(**_LGBM).fit(CATEGORIES, SCORE).booster_
    return of(mlflow.lightgbm, booster, booster.predict(CATEGORIES))


def _xgboost() -> xgboost.XGBRegressor:
    return xgboost.XGBRegressor(n_estimators=3, enable_categorical=True)


def _of_xgboost_booster() -> Logged:
    rows = xgboost.DMatrix(ASCII_CATEGORIES, SCORE, enable_categorical=True)
    booster = xgboost.train({}, rows, num_boost_round=3)
    scores = booster.predict(rows)
    return (
        # MLflow can't try a booster of categories on its example
        lambda: mlflow.xgboost.log_model(booster, name="model", pip_requirements=["mlflow"], signature=signature_of()),
        scores,
    )


def _of_catboost() -> Logged:
    fitted = catboost.CatBoostRegressor(iterations=5, verbose=0, allow_writing_files=False, cat_features=TEXTS).fit(
        FRAME, SCORE
    )
    return of(mlflow.catboost, fitted, fitted.predict(FRAME))


class OnTexts(PythonModel):
    """Takes objects, and no other type of pandas for texts."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.Series[float]:  # noqa: ARG002
        assert model_input.dtypes.tolist() == FRAME.dtypes.tolist()
        assert model_input.columns.tolist() == FRAME.columns.tolist()
        return model_input["conv_rate"] + model_input["zone"].str.len()


def _of_python() -> Logged:
    scores = FRAME["conv_rate"] + FRAME["zone"].str.len()
    return lambda: mlflow.pyfunc.log_model(
        python_model=OnTexts(), signature=signature_of(), **_COMMON
    ), scores.to_numpy()


def onnx_of(fitted: Any, types: list[tuple[str, Any]], frame: pd.DataFrame = FRAME) -> Callable[[], ModelInfo]:
    converted = skl2onnx.to_onnx(fitted, initial_types=types, target_opset=17)
    return lambda: mlflow.onnx.log_model(
        converted, name="model", signature=signature_of(frame), pip_requirements=["mlflow"]
    )


def _of_onnx() -> Logged:
    fitted = make_pipeline(
        ColumnTransformer([("texts", OneHotEncoder(handle_unknown="ignore"), TEXTS)], remainder="drop"),
        LinearRegression(),
    ).fit(FRAME[TEXTS], SCORE)
    return onnx_of(fitted, [(name, StringTensorType([None, 1])) for name in TEXTS]), fitted.predict(FRAME[TEXTS])


SCORING: dict[str, Callable[[], Logged]] = {
    "scikit-learn, one-hot": lambda: of_sklearn(LinearRegression()),
    "scikit-learn, probabilities": lambda: of_sklearn(LogisticRegression(), "predict_proba"),
    "scikit-learn, LightGBM inside": lambda: of_sklearn(lightgbm.LGBMRegressor(**_LGBM), **_PICKLED),
    "LightGBM": lambda: of_categories(mlflow.lightgbm, lightgbm.LGBMRegressor(**_LGBM)),
    "LightGBM, booster": _of_lightgbm_booster,
    "LightGBM, probabilities": lambda: of_categories(
        mlflow.sklearn,
        lightgbm.LGBMClassifier(**_LGBM),
        function="predict_proba",
        pyfunc_predict_fn="predict_proba",
        **_PICKLED,
    ),
    "XGBoost": lambda: of_categories(mlflow.xgboost, _xgboost(), ASCII_CATEGORIES, input_example=ASCII[:3]),
    "XGBoost, booster": _of_xgboost_booster,
    "CatBoost": _of_catboost,
    "pyfunc": _of_python,
    "ONNX, an input for each column": _of_onnx,
}


CODES = FRAME.assign(**{name: CATEGORIES[name].cat.codes.astype(np.int32) for name in TEXTS})  # known to who made them
CODE_CATEGORIES = CODES.astype(_AS_CATEGORIES)


def fitted(flavor: Any, model: Any, features: Any) -> Callable[[], ModelInfo]:
    """Log a model, whatever it was fitted on, as one that takes texts."""
    model.fit(features, SCORE)
    return lambda: flavor.log_model(model, name="model", pip_requirements=["mlflow"], signature=signature_of())


NO_TEXTS: dict[str, Callable[[], Callable[[], ModelInfo]]] = {
    "LightGBM, codes": lambda: fitted(mlflow.lightgbm, lightgbm.LGBMRegressor(**_LGBM), CODES),
    "LightGBM, an array": lambda: fitted(mlflow.lightgbm, lightgbm.LGBMRegressor(**_LGBM), CODES.to_numpy()),
    "LightGBM, numbers": lambda: fitted(mlflow.lightgbm, lightgbm.LGBMRegressor(**_LGBM), CODE_CATEGORIES),
    "XGBoost, codes": lambda: fitted(mlflow.xgboost, _xgboost(), CODES),
    "XGBoost, numbers": lambda: fitted(mlflow.xgboost, _xgboost(), CODE_CATEGORIES),
    "XGBoost, beyond ASCII": lambda: fitted(mlflow.xgboost, _xgboost(), CATEGORIES),
}
ONNX_NO_TEXTS: dict[str, Callable[[], Callable[[], ModelInfo]]] = {
    "one input for all texts": lambda: onnx_of(
        make_pipeline(OneHotEncoder(), LinearRegression()).fit(FRAME[TEXTS].to_numpy(), SCORE),
        [("features", StringTensorType([None, 2]))],
        FRAME[TEXTS],
    ),
    "one input of texts for numbers": lambda: onnx_of(
        make_pipeline(OneHotEncoder(), LinearRegression()).fit(FRAME[TEXTS].to_numpy(), SCORE),
        [("features", StringTensorType([None, 2]))],
        FRAME[NUMBERS],
    ),
    "numbers for texts": lambda: onnx_of(
        LinearRegression().fit(CODES[["zone"]].astype(np.float64), SCORE),
        [("zone", DoubleTensorType([None, 1]))],
        FRAME[["zone"]],
    ),
    "bytes": lambda: onnx_of(
        make_pipeline(OneHotEncoder(), LinearRegression()).fit(FRAME[["zone"]].to_numpy(), SCORE),
        [("zone", StringTensorType([None, 1]))],
        pd.DataFrame({"zone": [b"x"]}),
    ),
}
