"""A trained model as an MLflow model: its signature, its example, what it needs installed, and whom it trusts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from driver_ranking.errors import ModelError
from driver_ranking.model_flavors import gives_labels
from driver_ranking.model_scores import Answers, scores_of

if TYPE_CHECKING:
    import pandas as pd

# libraries whose estimators may be inside a pipeline of scikit-learn's; XGBoost has a distribution for the CPU alone
_DISTRIBUTIONS: Mapping[str, tuple[str, ...]] = {
    "sklearn": ("scikit-learn",),
    "xgboost": ("xgboost", "xgboost-cpu"),
    "lightgbm": ("lightgbm",),
    "catboost": ("catboost",),
}
_TRUSTED = "sklearn."


@dataclass(frozen=True)
class TrainedModel:
    """A fitted model with what its evaluation gave, ready to be logged.

    Attributes:
        estimator: The fitted scikit-learn estimator.
        feature_names: The columns it was fitted on, in order.
        feature_service: The Feast feature service they come from.
        example: Some feature rows, as the estimator was fitted on them: float64 ``[n, k]``, or a DataFrame with these
            columns, whose types become those of the model's signature.
        params: What MLflow shows as the run's parameters.
        metrics: What MLflow shows as the run's metrics.
        artifacts: Texts that MLflow shows with the run, plots as HTML for example, by file name.
        problems: Why it must not be registered; empty when it passed validation.
        trusted_types: Types in the estimator that skops would not load from a stranger, by their full names; those
            that scikit-learn defines need not be named.
        kept_back: Why it must not get the alias, though it passed validation and is registered; empty when it gets it.
        tags: What the tags of its registered version say beside the feature service: ``candidate_key``,
            ``request_features`` and ``defaults``, and whatever else its users want there.
    """

    estimator: Any
    feature_names: tuple[str, ...]
    feature_service: str
    example: "NDArray[np.float64] | pd.DataFrame"
    params: Mapping[str, object]
    metrics: Mapping[str, float]
    artifacts: Mapping[str, str]
    problems: tuple[str, ...]
    trusted_types: tuple[str, ...] = ()
    kept_back: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


def score_function(estimator: Any) -> str:  # noqa: ANN401 - any scikit-learn estimator
    """Return which of an estimator's functions gives scores: a classifier's probabilities, else its predictions.

    Raises:
        ModelError: It gives labels only.
    """
    if not gives_labels(estimator):
        return "predict"
    for name in ("predict_proba", "decision_function"):
        if hasattr(estimator, name):
            return name
    message = f"The estimator {type(estimator).__name__} gives labels, not scores: take one with `predict_proba`."
    raise ModelError(message)


def estimator_scores(
    estimator: Any,  # noqa: ANN401 - as above
    features: "NDArray[np.float64] | pd.DataFrame",
) -> NDArray[np.float64]:
    """Return the scores of n rows, float64 ``[n]``, as the registered model will give them.

    Args:
        estimator: A fitted estimator.
        features: What it takes: float64 ``[n, k]``, or a DataFrame of n rows.

    Raises:
        ModelError: It does not give one number a row.
    """
    name = score_function(estimator)
    answers = Answers.PROBABILITIES if name == "predict_proba" else Answers.NUMBERS
    try:
        return scores_of(getattr(estimator, name)(features), len(features), answers)
    except ModelError as error:
        message = f"The estimator {error}"
        raise ModelError(message) from error


def untrusted_types(estimator: object, trusted_types: Iterable[str]) -> list[str]:
    """Return which types in a fitted estimator neither scikit-learn defines nor anybody trusts by name."""
    return sorted(set(_types_to_trust(estimator)) - set(trusted_types) - set(_defined_by_sklearn(estimator)))


def log_estimator(trained: TrainedModel) -> str:
    """Log a trained model in the run that is active, and return its URI."""
    import warnings

    import mlflow.sklearn
    import pandas as pd
    from mlflow.models import infer_signature

    example, names = trained.example, list(trained.feature_names)
    frame = example[names] if isinstance(example, pd.DataFrame) else pd.DataFrame(example, columns=names)
    given = frame if isinstance(example, pd.DataFrame) else example
    name = score_function(trained.estimator)
    with warnings.catch_warnings():
        # the estimator is fitted on arrays, MLflow tries the example on a DataFrame: the names are not news
        warnings.filterwarnings("ignore", message="X has feature names", category=UserWarning)
        # missing integers are left out before they reach a model, so that its columns may be integers
        warnings.filterwarnings("ignore", message=".*contains integer column", category=UserWarning)
        info = mlflow.sklearn.log_model(
            trained.estimator,
            name="model",
            signature=infer_signature(frame, getattr(trained.estimator, name)(given)),
            input_example=frame,
            pyfunc_predict_fn=name,
            skops_trusted_types=[*trained.trusted_types, *_defined_by_sklearn(trained.estimator)],
            pip_requirements=pip_requirements(trained.estimator),
        )
    return str(info.model_uri)


def pip_requirements(estimator: object) -> list[str]:
    """Return what has to be installed to load an estimator: MLflow and the libraries of what is inside."""
    import mlflow

    inside = {type(one).__module__.partition(".")[0] for one in _parts(estimator)} | {"sklearn"}
    named = [_pinned(_DISTRIBUTIONS[module]) for module in sorted(inside & set(_DISTRIBUTIONS))]
    return [f"mlflow=={mlflow.__version__}", *named]


def _pinned(distributions: tuple[str, ...]) -> str:
    from importlib.metadata import PackageNotFoundError, version

    for name in distributions:
        try:
            return f"{name}=={version(name)}"
        except PackageNotFoundError:
            continue
    return distributions[0]


def _parts(estimator: object) -> list[object]:
    """Return an estimator and the estimators among its parameters."""
    parameters = estimator.get_params(deep=True) if hasattr(estimator, "get_params") else {}
    return [estimator, *(value for value in parameters.values() if hasattr(value, "get_params"))]


def _types_to_trust(estimator: object) -> list[str]:
    import skops.io

    return list(skops.io.get_untrusted_types(data=skops.io.dumps(estimator)))


def _defined_by_sklearn(estimator: object) -> list[str]:
    return [name for name in _types_to_trust(estimator) if name.startswith(_TRUSTED)]
