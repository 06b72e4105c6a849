"""Which models an event loop may call by itself: those that run scikit-learn's own code and nothing else.

Whatever may run a user's Python can wait, sleep or never end; it belongs into a thread, where it can be given up.
"""

from types import FunctionType

import numpy as np

# Estimators and transformers that call nothing of the user's when they predict. What is inside is looked at as well.
_FAMILIES = ("sklearn.linear_model.", "sklearn.tree.")
_CLASSES = frozenset(
    {
        "Binarizer",
        "DummyClassifier",
        "DummyRegressor",
        "ExtraTreesClassifier",
        "ExtraTreesRegressor",
        "GradientBoostingClassifier",
        "GradientBoostingRegressor",
        "MaxAbsScaler",
        "MinMaxScaler",
        "Normalizer",
        "PCA",
        "Pipeline",
        "PolynomialFeatures",
        "PowerTransformer",
        "QuantileTransformer",
        "RandomForestClassifier",
        "RandomForestRegressor",
        "RobustScaler",
        "SimpleImputer",
        "StandardScaler",
    }
)
_OF_LIBRARIES = ("sklearn.", "numpy.", "builtins.")


def is_sklearns_alone(estimator: object) -> bool:
    """Return whether an estimator of scikit-learn predicts by scikit-learn's own code alone, without a pool of workers.

    Linear models, trees, forests, and pipelines of these behind scalers do. A user's class, function or subclass
    anywhere inside, or ``n_jobs``, makes it False; so does whatever this page does not know.
    """
    from sklearn.base import BaseEstimator

    seen: set[int] = set()
    waiting: list[object] = [estimator]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, BaseEstimator) and not _is_known(one):
            return False
        if not _is_data(one):
            return False
        waiting += _inside(one)
    return isinstance(estimator, BaseEstimator)


def _is_known(estimator: object) -> bool:
    kind = type(estimator)
    known = kind.__module__.startswith(_FAMILIES) or kind.__name__ in _CLASSES
    return known and getattr(estimator, "n_jobs", None) in {None, 1}


def _is_data(value: object) -> bool:
    """Return whether a part is of scikit-learn or NumPy: their objects, classes, and scikit-learn's own functions."""
    own_function = isinstance(value, FunctionType) and value.__module__.startswith("sklearn.")
    kind = value if isinstance(value, type) else type(value)
    callable_of_others = callable(value) and not isinstance(value, type) and not kind.__module__.startswith("sklearn.")
    return own_function or (not callable_of_others and (kind.__module__ + ".").startswith(_OF_LIBRARIES))


def _inside(value: object) -> list[object]:
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    if isinstance(value, np.ndarray):
        return value.ravel().tolist() if value.dtype == object else []
    own = hasattr(value, "__dict__") and not isinstance(value, type | FunctionType)
    return list(vars(value).values()) if own else []
