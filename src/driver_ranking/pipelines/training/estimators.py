"""The estimator that the parameters name: made, checked before it is fitted, and its scores."""

import importlib
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from driver_ranking.errors import ModelError, RequestError
from driver_ranking.model_flavors import gives_labels
from driver_ranking.model_logging import score_function, untrusted_types
from driver_ranking.pipelines.training.rows import Taken

if TYPE_CHECKING:
    import pandas as pd

_TRIAL_ROWS = 200
_CLASSES = 2


def new_pipeline(training: Mapping[str, Any], features: Taken) -> Any:  # noqa: ANN401 - scikit-learn has no types
    """Return a pipeline of a scaler and the estimator that the parameters name, not fitted.

    Texts of a DataFrame become a column of 0 and 1 for each text; one that was not there in training has none.
    """
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    estimator = _new_estimator(training["estimator"], training["seed"])
    if isinstance(features, np.ndarray):
        return Pipeline([("scaler", StandardScaler()), ("estimator", estimator)])
    return Pipeline([("columns", _by_column(features)), ("estimator", estimator)])


def _by_column(features: "pd.DataFrame") -> Any:  # noqa: ANN401 - as above
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    texts = list(features.select_dtypes("object").columns)
    numbers = [name for name in features.columns if name not in texts]
    encoder = OneHotEncoder(handle_unknown="ignore")
    return ColumnTransformer([("numbers", StandardScaler(), numbers), ("texts", encoder, texts)])


def require_usable(
    pipeline: Any,  # noqa: ANN401 - as above
    features: Taken,
    label: NDArray[np.float64],
    training: Mapping[str, Any],
) -> None:
    """Refuse, before the time is spent to fit it, an estimator whose model could not be used.

    Args:
        pipeline: The pipeline, not fitted; it stays so.
        features: What it is to be fitted on, n rows.
        label: float64 ``[n]``.
        training: The parameters.

    Raises:
        RequestError: It is a classifier, and the label has not two values.
        ModelError: It gives labels only, or has types that neither scikit-learn defines nor the parameters trust.
    """
    if gives_labels(pipeline):
        score_function(pipeline)
        values = np.unique(label)
        if len(values) != _CLASSES:
            message = (
                f"The label {training['label']!r} has {len(values)} different values, and a classifier ranks by the "
                f"probability of the second of two. Use a label of two values, or a regressor."
            )
            raise RequestError(message)
    tried = _fitted_on_a_few(pipeline, features, label)
    untrusted = untrusted_types(tried, training["trusted_types"])
    if untrusted:
        message = (
            f"The estimator {training['estimator']['class']!r} has types that are not trusted, so that its model could "
            f"not be loaded: {', '.join(untrusted)}. Name those that you trust in the parameter "
            f"`training.trusted_types`; what scikit-learn itself defines is trusted."
        )
        raise ModelError(message)


def outcome(fitted_model: Any, label: NDArray[np.float64]) -> NDArray[np.float64]:  # noqa: ANN401 - as above
    """Return what the scores are measured against, float64 ``[n]``: of a classifier, 1 for its second class."""
    if not gives_labels(fitted_model):
        return label
    return np.asarray(label == fitted_model.classes_[-1], dtype=np.float64)


def _new_estimator(settings: Mapping[str, Any], seed: int) -> Any:  # noqa: ANN401 - as above
    module, _, name = settings["class"].rpartition(".")
    estimator = getattr(importlib.import_module(module), name)(**settings["arguments"])
    parameters = estimator.get_params()
    if "random_state" in parameters and "random_state" not in settings["arguments"]:
        estimator.set_params(random_state=seed)
    return estimator


def _fitted_on_a_few(pipeline: Any, features: Taken, label: NDArray[np.float64]) -> Any:  # noqa: ANN401 - as above
    """Return a copy fitted on some rows, with those of the least and the greatest label; as it is if that fails.

    What types a model has inside shows only once it is fitted.
    """
    from sklearn.base import clone

    ends = [np.flatnonzero(label == value)[:_TRIAL_ROWS] for value in (label.min(), label.max())]
    rows = np.unique(np.concatenate([np.arange(min(_TRIAL_ROWS, len(label))), *ends]))
    tried = clone(pipeline)
    with suppress(Exception):  # too few rows for it; the fit itself says what is wrong, if something is
        tried.fit(features[rows] if isinstance(features, np.ndarray) else features.iloc[rows], label[rows])
    return tried
