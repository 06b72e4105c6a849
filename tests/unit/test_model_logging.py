"""What is logged with a trained model: which function scores, what it needs installed, and what has to be trusted."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor, VotingRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from driver_ranking import model_logging
from driver_ranking.errors import ModelError
from driver_ranking.model_logging import estimator_scores, pip_requirements, score_function, untrusted_types

FEATURES = np.random.default_rng(17).random((60, 2))
LABEL = (FEATURES[:, 0] > 0.5).astype(float)


@pytest.mark.parametrize(
    ("estimator", "name"),
    [
        (LinearRegression(), "predict"),
        (LogisticRegression(), "predict_proba"),
        (make_pipeline(StandardScaler(), HistGradientBoostingClassifier(max_iter=2)), "predict_proba"),
        (RidgeClassifier(), "decision_function"),
    ],
    ids=lambda one: type(one).__name__,
)
def test_the_function_that_scores_is_the_estimators(estimator: Any, name: str) -> None:
    fitted = estimator.fit(FEATURES, LABEL)
    assert score_function(fitted) == name
    given = getattr(fitted, name)(FEATURES)
    assert estimator_scores(fitted, FEATURES).tolist() == (given[:, 1] if given.ndim > 1 else given).tolist()


def test_an_estimator_of_labels_alone_is_refused() -> None:
    with pytest.raises(ModelError, match="The estimator KMeans gives labels, not scores"):
        score_function(KMeans())


def test_scores_of_three_classes_are_refused() -> None:
    fitted = LogisticRegression().fit(FEATURES, np.arange(60) % 3)
    with pytest.raises(ModelError, match=r"The estimator answered 60 rows with the shape \(60, 3\)"):
        estimator_scores(fitted, FEATURES)


@pytest.mark.parametrize(
    "estimator", [RandomForestRegressor(2), HistGradientBoostingClassifier(max_iter=2), KNeighborsRegressor()]
)
def test_what_scikit_learn_defines_is_trusted(estimator: Any) -> None:
    assert untrusted_types(estimator.fit(FEATURES, LABEL), ()) == []


def test_what_others_define_has_to_be_named() -> None:
    fitted = lightgbm.LGBMRegressor(n_estimators=2, verbose=-1).fit(FEATURES, LABEL)
    names = ["collections.OrderedDict", "lightgbm.basic.Booster", "lightgbm.sklearn.LGBMRegressor"]
    assert untrusted_types(fitted, ()) == names
    assert untrusted_types(fitted, names) == []


def test_the_libraries_of_what_is_inside_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    def names(estimator: object) -> list[str]:
        return [one.partition("==")[0] for one in pip_requirements(estimator)]

    inside = VotingRegressor([("other", lightgbm.LGBMRegressor())])
    assert names(make_pipeline(StandardScaler(), inside)) == ["mlflow", "lightgbm", "scikit-learn"]
    assert names(object()) == ["mlflow", "scikit-learn"]
    monkeypatch.setattr(model_logging, "_DISTRIBUTIONS", {"sklearn": ("no-such-thing", "scikit-learn")})
    assert names(inside) == ["mlflow", "scikit-learn"]
    monkeypatch.setattr(model_logging, "_DISTRIBUTIONS", {"sklearn": ("no-such-thing",)})
    assert pip_requirements(inside)[1:] == ["no-such-thing"]
