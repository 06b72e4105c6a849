"""The event loop itself calls what runs scikit-learn's own code alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.linear_model import ElasticNet, LogisticRegression, PoissonRegressor, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, QuantileTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from driver_ranking.model_event_loop import is_sklearns_alone

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEATURES = np.random.default_rng(17).random((60, 3))
LABEL = (FEATURES[:, 0] > 0.5).astype(int)


class Mine(ElasticNet):  # type: ignore[misc] # scikit-learn has no types
    """A subclass can do whatever it likes."""


def mine(values: NDArray[Any]) -> NDArray[Any]:
    return values


@pytest.mark.parametrize(
    "estimator",
    [
        ElasticNet(),
        LogisticRegression(),
        PoissonRegressor(),
        SGDClassifier(loss="log_loss"),
        DecisionTreeClassifier(),
        RandomForestRegressor(3),
        GradientBoostingClassifier(n_estimators=2),
        make_pipeline(StandardScaler(), QuantileTransformer(n_quantiles=5), GradientBoostingRegressor(n_estimators=2)),
    ],
    ids=lambda one: type(one).__name__,
)
def test_scikit_learns_own_linear_models_and_trees_fit(estimator: Any) -> None:
    assert is_sklearns_alone(estimator.fit(FEATURES, LABEL))


@pytest.mark.parametrize(
    "estimator",
    [
        Mine(),
        HistGradientBoostingRegressor(max_iter=2),  # has a pool of threads
        RandomForestRegressor(3, n_jobs=2),
        make_pipeline(FunctionTransformer(mine), ElasticNet()),
        make_pipeline(FunctionTransformer(np.log1p), ElasticNet()),
        make_pipeline(StandardScaler(), Mine()),
        GradientBoostingRegressor(n_estimators=2, init=Mine()),
        TransformedTargetRegressor(ElasticNet(), func=mine, inverse_func=mine),
    ],
    ids=lambda one: type(one).__name__,
)
def test_what_may_run_a_users_python_does_not_fit(estimator: Any) -> None:
    assert not is_sklearns_alone(estimator.fit(FEATURES, LABEL))


def test_a_function_hung_on_an_estimator_does_not_fit() -> None:
    estimator = ElasticNet().fit(FEATURES, LABEL)
    estimator.predict = mine
    assert not is_sklearns_alone(estimator)


def test_an_estimator_hidden_in_an_array_is_found() -> None:
    estimator = ElasticNet().fit(FEATURES, LABEL)
    estimator.notes_ = np.array([Mine(), None], dtype=object)
    assert not is_sklearns_alone(estimator)


def test_what_is_no_estimator_does_not_fit() -> None:
    assert not is_sklearns_alone({"predict": 1})
