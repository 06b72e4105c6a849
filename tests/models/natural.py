"""Models as users log them, of the flavors that people have, on the frame that Feast gives: numbers of 32 bits.

Each is a function that logs one with the signature that MLflow infers, and the scores that it has to give.
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
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType
from sklearn.cluster import KMeans
from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlflow.models.model import ModelInfo
    from numpy.typing import NDArray

    Logged = tuple[Callable[[], ModelInfo], Callable[[], NDArray[Any]]]

NAMES = ("conv_rate", "acc_rate", "avg_daily_trips")
_RNG = np.random.default_rng(17)
FRAME = pd.DataFrame(
    {
        "conv_rate": _RNG.random(80, dtype=np.float32),
        "acc_rate": _RNG.random(80, dtype=np.float32),
        "avg_daily_trips": _RNG.integers(0, 1000, 80).astype(np.int32),
    }
)
ARRAY = FRAME.to_numpy(np.float32)
LABEL = (FRAME["conv_rate"] > 0.5).astype(int).to_numpy()
SCORE = (FRAME["conv_rate"] * 0.75 + FRAME["acc_rate"] * 0.25).to_numpy(np.float64)
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message=".*contains integer column", category=UserWarning)  # they miss no value
    SIGNATURE = infer_signature(FRAME)
_COMMON: dict[str, Any] = {"name": "model", "signature": SIGNATURE, "pip_requirements": ["mlflow"]}


class OnFrames(PythonModel):
    """Takes the frame that Feast gives, and no other."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> list[float]:  # noqa: ARG002
        assert model_input.dtypes.tolist() == FRAME.dtypes.tolist()
        scores: list[float] = (model_input["conv_rate"] + model_input["acc_rate"]).tolist()
        return scores


class Probabilities(PythonModel):
    """Wraps a classifier, and answers with a frame of the probabilities of its classes."""

    def __init__(self) -> None:
        self.classifier = LogisticRegression().fit(FRAME, LABEL)

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:  # noqa: ARG002
        return pd.DataFrame(self.classifier.predict_proba(model_input), columns=["0", "1"])


def of_sklearn(estimator: Any, function: str = "predict", **options: Any) -> Logged:
    """Log by scikit-learn's flavor, as MLflow does it unless the options say otherwise."""
    fitted = estimator.fit(FRAME, SCORE if function == "predict" else LABEL)
    scores = getattr(fitted, function)(FRAME)
    return (
        lambda: mlflow.sklearn.log_model(fitted, pyfunc_predict_fn=function, **_COMMON, **options),
        lambda: scores[:, 1] if scores.ndim > 1 else scores,
    )


def of_sklearn_named(function: str) -> Callable[[], ModelInfo]:
    """Log a regression that names a function, which it may not have."""
    fitted = LinearRegression().fit(FRAME, SCORE)
    return lambda: mlflow.sklearn.log_model(fitted, pyfunc_predict_fn=function, **_COMMON)


def of_flavor(flavor: Any, model: Any, scores: Any) -> Logged:
    return lambda: flavor.log_model(model, **_COMMON), lambda: np.asarray(scores)


def of_python(model: PythonModel, scores: NDArray[Any]) -> Logged:
    return lambda: mlflow.pyfunc.log_model(python_model=model, input_example=FRAME[:3], **_COMMON), lambda: scores


def of_onnx(estimator: Any, *, zipmap: bool = True, labels_only: bool = False) -> Logged:
    """Convert an estimator that is fitted on an array of 32 bits."""
    classifies = hasattr(estimator, "predict_proba")
    fitted = estimator.fit(ARRAY, LABEL if classifies else SCORE)
    options = {id(fitted): {"zipmap": zipmap}} if classifies else None
    types = [("features", FloatTensorType([None, 3]))]
    converted = skl2onnx.to_onnx(fitted, initial_types=types, options=options, target_opset=17)
    if labels_only:
        del converted.graph.output[1:]
    scores = fitted.predict_proba(ARRAY)[:, 1] if classifies else fitted.predict(ARRAY)
    return lambda: mlflow.onnx.log_model(converted, **_COMMON), lambda: scores


def of_onnx_by_column(names: tuple[str, ...] = NAMES) -> Logged:
    """Convert a regression to a model with an input for each column."""
    fitted = make_pipeline(StandardScaler(), LinearRegression()).fit(ARRAY, SCORE)
    types = [(names[0], FloatTensorType([None, 1])), (names[1], FloatTensorType([None, 1]))]
    types.append((names[2], Int64TensorType([None, 1])))
    converted = skl2onnx.to_onnx(fitted, initial_types=types, target_opset=17)
    return lambda: mlflow.onnx.log_model(converted, **_COMMON), lambda: fitted.predict(ARRAY)


def _booster(objective: str) -> xgboost.Booster:
    return xgboost.train({"objective": objective}, xgboost.DMatrix(FRAME, LABEL), num_boost_round=3)


def of_fitted(flavor: Any, model: Any) -> Logged:
    fitted = model.fit(FRAME, LABEL)
    return of_flavor(flavor, fitted, fitted.predict(FRAME))


def _of_xgboost_booster() -> Logged:
    booster = _booster("binary:logistic")
    return of_flavor(mlflow.xgboost, booster, booster.predict(xgboost.DMatrix(FRAME)))


def _of_lightgbm_booster() -> Logged:
    booster = lightgbm.LGBMClassifier(**_LGBM).fit(FRAME, LABEL).booster_
    return of_flavor(mlflow.lightgbm, booster, booster.predict(FRAME))


def _of_probabilities() -> Logged:
    model = Probabilities()
    return of_python(model, model.classifier.predict_proba(FRAME)[:, 1])


def _of_plain_classifier() -> Logged:
    classifier = LogisticRegression().fit(FRAME, LABEL)
    return of_flavor(mlflow.sklearn, classifier, ())


_LGBM: dict[str, Any] = {"n_estimators": 3, "verbose": -1}
_CAT: dict[str, Any] = {"verbose": 0, "allow_writing_files": False, "iterations": 5}
_PICKLED: dict[str, Any] = {"serialization_format": "cloudpickle"}
_TREE: dict[str, Any] = {"skops_trusted_types": ["sklearn.tree._tree.Tree"]}

SCORING: dict[str, Callable[[], Logged]] = {
    "scikit-learn, skops": lambda: of_sklearn(LinearRegression()),
    "scikit-learn, probabilities": lambda: of_sklearn(LogisticRegression(), "predict_proba"),
    "scikit-learn, logarithms": lambda: of_sklearn(LogisticRegression(), "predict_log_proba"),
    "scikit-learn, forest": lambda: of_sklearn(RandomForestClassifier(5), "predict_proba", **_TREE),
    "scikit-learn, cloudpickle": lambda: of_sklearn(
        HistGradientBoostingClassifier(max_iter=3), "predict_proba", **_PICKLED
    ),
    "scikit-learn, decision": lambda: of_sklearn(RidgeClassifier(), "decision_function"),
    "pyfunc on pandas": lambda: of_python(OnFrames(), (FRAME["conv_rate"] + FRAME["acc_rate"]).to_numpy()),
    "pyfunc, probabilities": _of_probabilities,
    "XGBoost": lambda: of_fitted(mlflow.xgboost, xgboost.XGBRegressor(n_estimators=3)),
    "XGBoost, booster": _of_xgboost_booster,
    "XGBoost, probabilities": lambda: of_sklearn(xgboost.XGBClassifier(n_estimators=3), "predict_proba", **_PICKLED),
    "LightGBM": lambda: of_fitted(mlflow.lightgbm, lightgbm.LGBMRegressor(**_LGBM)),
    "LightGBM, booster": _of_lightgbm_booster,
    "LightGBM, probabilities": lambda: of_sklearn(lightgbm.LGBMClassifier(**_LGBM), "predict_proba", **_PICKLED),
    "CatBoost": lambda: of_fitted(mlflow.catboost, catboost.CatBoostRegressor(**_CAT)),
    "CatBoost, probabilities": lambda: of_sklearn(catboost.CatBoostClassifier(**_CAT), "predict_proba", **_PICKLED),
    "ONNX": lambda: of_onnx(LinearRegression()),
    "ONNX, an input for each column": of_onnx_by_column,
    "ONNX, probabilities by name": lambda: of_onnx(LogisticRegression()),
    "ONNX, probabilities in columns": lambda: of_onnx(LogisticRegression(), zipmap=False),
}
LABELLING: dict[str, Callable[[], Logged]] = {
    "scikit-learn, classifier": _of_plain_classifier,
    "scikit-learn, clusters": lambda: of_sklearn(KMeans(2, n_init=1)),
    "scikit-learn, outliers": lambda: of_sklearn(IsolationForest(n_estimators=2), **_TREE),
    "XGBoost": lambda: of_fitted(mlflow.xgboost, xgboost.XGBClassifier(n_estimators=3)),
    "XGBoost, hinge": lambda: of_flavor(mlflow.xgboost, _booster("binary:hinge"), ()),
    "LightGBM": lambda: of_fitted(mlflow.lightgbm, lightgbm.LGBMClassifier(**_LGBM)),
    "CatBoost": lambda: of_fitted(mlflow.catboost, catboost.CatBoostClassifier(**_CAT)),
    "ONNX, labels alone": lambda: of_onnx(LogisticRegression(), labels_only=True),
}
