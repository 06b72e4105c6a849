"""How a logged model predicts, by the flavors that it was logged with: the function it names, on arrays or frames."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from driver_ranking.errors import ModelAnswerError, ModelSignatureError
from driver_ranking.features import Features
from driver_ranking.model_categories import on_categories, takes_categories
from driver_ranking.model_columns import as_array, as_frame
from driver_ranking.model_event_loop import is_sklearns_alone
from driver_ranking.model_scores import PROBABILITY_ADVICE, Answers
from driver_ranking.model_version import RegisteredModel

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel

_PREDICT = "predict"
_OF_EACH_CLASS = {"predict_proba", "predict_log_proba", "predict_joint_log_proba"}
_NO_SCORES = {"score", "fit_predict"}  # these need labels, or fit anew
_ONNX_TEXT = "tensor(string)"
_ONNX_DTYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    _ONNX_TEXT: np.object_,
}
_LABEL_OBJECTIVES = ('"binary:hinge"', '"multi:softmax"')
_ONNX_SCORES = {"tensor(float)", "tensor(double)", "tensor(float16)"}


@dataclass(frozen=True)
class Prediction:
    """How a model predicts.

    Attributes:
        function: Takes `Features` of n rows and gives whatever the model answers.
        answers: What that is.
        fits_event_loop: Whether it runs scikit-learn's own code alone.
    """

    function: Callable[[Any], object]
    answers: Answers
    fits_event_loop: bool = False


def load_prediction(model: RegisteredModel) -> Prediction:
    """Load the files of a model and return how it predicts.

    Raises:
        ModelAnswerError: It is known to give labels, not scores.
        ModelSignatureError: It takes other inputs than its signature names.
    """
    import mlflow.pyfunc
    from mlflow.models import Model

    flavors = Model.load(model.local_path).flavors
    if "sklearn" in flavors:
        return _of_sklearn(model, flavors)
    loaded = mlflow.pyfunc.load_model(model.local_path)
    if "onnx" in flavors:
        return _of_onnx(model, loaded.get_raw_model())
    raw = _raw_model(loaded)
    _refuse_native_labels(raw)
    if model.text_columns and takes_categories(raw):
        return Prediction(on_categories(model, raw, _PREDICT), Answers.EITHER)
    frame, predict = as_frame(model), loaded.predict
    return Prediction(lambda features: predict(frame(features)), Answers.EITHER)


def gives_labels(estimator: object) -> bool:
    """Return whether an estimator's ``predict`` gives classes, clusters or outliers instead of numbers to rank by."""
    from sklearn.base import is_classifier, is_clusterer, is_outlier_detector

    with suppress(Exception):  # of estimators that know nothing of scikit-learn's tags
        return bool(is_classifier(estimator) or is_clusterer(estimator) or is_outlier_detector(estimator))
    return hasattr(estimator, "predict_proba")


def _of_sklearn(model: RegisteredModel, flavors: dict[str, Any]) -> Prediction:
    """Return how it predicts: on arrays where it can, which is several times faster than on a DataFrame."""
    import mlflow.sklearn

    estimator = mlflow.sklearn.load_model(model.local_path)
    if "python_function" not in flavors:  # MLflow leaves it out if there is no such function
        message = f"names a function to predict with that its estimator does not have. {PROBABILITY_ADVICE}"
        raise ModelAnswerError(message)
    name = str(flavors["python_function"].get("predict_fn", _PREDICT))
    if name in _NO_SCORES:
        message = f"names the function {name!r} to predict with, which gives no scores. {PROBABILITY_ADVICE}"
        raise ModelAnswerError(message)
    if name == _PREDICT and gives_labels(estimator):
        raise ModelAnswerError(_labels_message(estimator))
    answers = Answers.PROBABILITIES if name in _OF_EACH_CLASS else Answers.NUMBERS
    if model.text_columns and takes_categories(estimator):
        return Prediction(on_categories(model, estimator, name), answers)
    function = getattr(estimator, name)
    by_name = set(getattr(estimator, "feature_names_in_", ())) == set(model.feature_names)
    given: Callable[[Features], Any] = as_frame(model) if by_name or model.text_columns else as_array(model)
    return Prediction(lambda features: function(given(features)), answers, is_sklearns_alone(estimator))


def _labels_message(estimator: object) -> str:
    if hasattr(estimator, "predict_proba") or not hasattr(estimator, "decision_function"):
        return f"predicts labels, which are no scores to rank by. {PROBABILITY_ADVICE}"
    return (
        "predicts labels, which are no scores to rank by. Log it with `mlflow.sklearn.log_model(..., "
        "pyfunc_predict_fn='decision_function')`."
    )


def _raw_model(loaded: "PyFuncModel") -> Any:  # noqa: ANN401 - any library's model
    """Return what a flavor wraps; None if it has no model to show."""
    with suppress(Exception):
        return loaded.get_raw_model()  # type: ignore[no-untyped-call] # MLflow leaves it untyped
    return None


def _refuse_native_labels(raw: Any) -> None:  # noqa: ANN401 - as above
    """Refuse a classifier of XGBoost, LightGBM or CatBoost whose flavor calls nothing but ``predict``."""
    labels = raw is not None and _is_an_estimator(raw) and gives_labels(raw)
    if labels or _is_booster_of_labels(raw):
        message = f"predicts labels, which are no scores to rank by. {PROBABILITY_ADVICE}"
        raise ModelAnswerError(message)


def _is_an_estimator(raw: object) -> bool:
    return hasattr(raw, "get_params") and hasattr(raw, _PREDICT)


def _is_booster_of_labels(raw: Any) -> bool:  # noqa: ANN401 - any library's model
    """Tell XGBoost's boosters of classes: their objective says it."""
    return hasattr(raw, "save_config") and any(name in raw.save_config() for name in _LABEL_OBJECTIVES)


def _of_onnx(model: RegisteredModel, session: Any) -> Prediction:  # noqa: ANN401 - ONNX Runtime's session
    """Return how ONNX Runtime predicts: MLflow's own wrapper flattens two columns of probabilities into one."""
    outputs = session.get_outputs()
    names = [one.name for one in outputs]
    if len(outputs) == 1 and outputs[0].type.startswith("tensor") and outputs[0].type not in _ONNX_SCORES:
        message = (
            "predicts labels, which are no scores to rank by. Convert it to ONNX with its probabilities among the "
            "outputs, in an output with `proba` in its name."
        )
        raise ModelAnswerError(message)
    feed = _onnx_feed(model, session.get_inputs())
    return Prediction(
        lambda features: dict(zip(names, session.run(names, feed(features)), strict=True)), Answers.EITHER
    )


def _onnx_feed(model: RegisteredModel, inputs: list[Any]) -> Callable[[Features], dict[str, NDArray[Any]]]:
    """Return what feeds a model with one input for all columns, which are numbers, or with one for each."""
    kinds = {one.name: _ONNX_DTYPES.get(one.type) for one in inputs}
    one_for_all = len(inputs) == 1 and (len(model.feature_names) > 1 or inputs[0].name not in model.feature_names)
    whole = one_for_all and not model.text_columns and np.object_ not in kinds.values()
    if None in kinds.values() or not (whole or _are_columns(model, kinds)):
        message = (
            f"takes the inputs {', '.join(f'{one.name} ({one.type})' for one in inputs)}, which are not the columns of "
            f"its signature. Convert it to ONNX with one input of numbers for all columns, or with one for each: of "
            f"texts one of {_ONNX_TEXT}."
        )
        raise ModelSignatureError(message)
    if whole:  # to 32 bits, if it was converted so: MLflow does the same
        array, name = as_array(model), inputs[0].name
        return lambda features: {name: array(features).astype(kinds[name])}
    frame = as_frame(model)
    shapes = {one.name: (-1, 1) if len(one.shape) > 1 else (-1,) for one in inputs}

    def feed(features: Features) -> dict[str, NDArray[Any]]:
        columns = frame(features)
        return {name: columns[name].to_numpy(kind).reshape(shapes[name]) for name, kind in kinds.items()}

    return feed


def _are_columns(model: RegisteredModel, kinds: Mapping[str, Any]) -> bool:
    """Return whether each input is a column of the signature, texts for texts."""
    return all(
        model.types.get(name) == "string" if kind is np.object_ else name in model.number_columns
        for name, kind in kinds.items()
    )
