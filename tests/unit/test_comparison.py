"""Two models on the same rows: what they are measured on, what follows, and what keeps a model from the alias."""

from __future__ import annotations

import errno
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression, LogisticRegression

from driver_ranking.errors import ModelNotFoundError, RequestError
from driver_ranking.feature_store.extraction import FEATURES_KEY
from driver_ranking.pipelines.training.comparison import (
    Comparison,
    Promote,
    Verdict,
    compare,
    measured,
    promote_rule,
    require_one_scale,
    why_kept_back,
)
from driver_ranking.pipelines.training.parameters import require_sound
from driver_ranking.ranking import ScoredRows

if TYPE_CHECKING:
    from numpy.typing import NDArray

TRAINING = {"label": "done", "group_column": None}
NUMBERS = st.floats(-10, 10).map(lambda number: round(number, 3))
ROWS = st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS | st.none()), min_size=1, max_size=30)


def held_out(feature: list[float], label: list[float]) -> pa.Table:
    return pa.table({"x": feature, "done": label}).replace_schema_metadata({FEATURES_KEY: json.dumps(["x"])})


def identity() -> LinearRegression:
    """Return a model whose score is its feature."""
    return LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])


def champion_of(scores: list[float | None]) -> ScoredRows:
    score = np.array([np.nan if one is None else one for one in scores])
    return ScoredRows(score, ~np.isnan(score))


@given(rows=ROWS.filter(lambda rows: any(theirs is not None for _, _, theirs in rows)))
def test_both_are_measured_on_the_rows_that_both_can_score_and_the_worse_is_kept_back(
    rows: list[tuple[float, float, float | None]],
) -> None:
    ours, label, theirs = (list(column) for column in zip(*rows, strict=True))
    compared = measured(identity(), held_out(ours, label), champion_of(theirs), TRAINING, "7")
    shared = [(a, b, c) for a, b, c in rows if c is not None]
    assert (compared.rows, compared.rows_left_out) == (len(shared), len(rows) - len(shared))
    rmse, champion_rmse = (np.sqrt(np.mean([(row[at] - row[1]) ** 2 for row in shared])) for at in (0, 2))
    assert compared.rmse == pytest.approx(rmse, abs=1e-9)
    assert compared.champion_rmse == pytest.approx(champion_rmse, abs=1e-9)
    assert compared.mae == pytest.approx(np.mean([abs(a - b) for a, b, _ in shared]), abs=1e-9)
    assert compared.champion_mae == pytest.approx(np.mean([abs(c - b) for _, b, c in shared]), abs=1e-9)
    if abs(rmse - champion_rmse) > 1e-9:
        worse = bool(rmse > champion_rmse)
        assert compared.verdict is (Verdict.WORSE if worse else Verdict.NOT_WORSE)
        assert bool(compared.why_kept_back(Promote.IF_NOT_WORSE)) is worse
    assert compared.why_kept_back(Promote.ALWAYS) == ""
    assert Comparison.of_json(json.loads(json.dumps(compared.as_json()))) == compared


@given(
    scores=st.lists(NUMBERS, min_size=1, max_size=30).filter(any),
    last_bits=st.integers(-2, 2),
    off=st.sampled_from([0, 1]),
)
def test_the_same_model_again_is_not_worse_for_its_last_bits(scores: list[float], last_bits: int, off: int) -> None:
    label = [score + off for score in scores]
    theirs = np.array(scores) * (1 + last_bits * 1e-16)
    compared = measured(identity(), held_out(scores, label), champion_of(list(theirs)), TRAINING, "7")
    assert compared.verdict is Verdict.NOT_WORSE


def test_a_score_that_is_no_number_is_worse() -> None:
    compared = measured(Broken(), held_out([1.0], [1.0]), champion_of([9.0]), TRAINING, "7")
    assert compared.verdict is Verdict.WORSE


class Broken(LinearRegression):  # type: ignore[misc] # scikit-learn has no types
    def predict(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.full(len(features), np.nan)


def test_with_trips_the_order_of_both_models_is_measured_and_told_in_a_line() -> None:
    rows = held_out([0.9, 0.1, 0.2, 0.8, 0.5], [1.0, 0.0, 0.0, 1.0, 1.0])
    rows = rows.append_column("trip", pa.array(["a", "a", "b", "b", None]))
    training = {**TRAINING, "group_column": "trip", "ndcg_k": 3, "seed": 1}
    compared = measured(identity(), rows, champion_of([0.9, 0.1, 0.8, 0.2, 0.5]), training, "7")
    assert (compared.order["hit_rate_at_1"], compared.champion_order["hit_rate_at_1"]) == (1.0, 0.5)
    assert (compared.trips, compared.trips_with_another_best) == (2, 1)
    assert compared.rmse is not None
    assert compared.order["rmse_low"] < compared.rmse < compared.order["rmse_high"]
    assert compared.metrics["champion_mrr"] == compared.champion_order["mrr"] == 0.75
    assert "\n" not in compared.summary
    assert compared.summary.startswith("The trained model and version 7 on the same 5 held-out rows, with 95 % interva")
    assert "hit rate@1 1.0000 (1.0000 to 1.0000) and 0.5000 (0.0000 to 1.0000)." in compared.summary
    assert compared.summary.endswith("The best one differs in 1 of 2 trips.")
    assert Comparison.of_json(json.loads(json.dumps(compared.as_json()))) == compared
    assert measured(identity(), rows, champion_of([1.0] * 5), TRAINING, "7").summary == ""


def test_what_keeps_a_model_back_says_both_errors_and_what_is_to_be_done() -> None:
    worse = Comparison(Verdict.WORSE, "7", rows=5, rmse=0.5, mae=0.5, champion_rmse=0.4, champion_mae=0.4)
    expected = "RMSE 0.500000 is above 0.400000 of version 7 on the same 5 held-out rows."
    assert worse.why_kept_back(Promote.IF_NOT_WORSE) == expected
    unknown = Comparison(Verdict.NOT_COMPARABLE, "7", "It needs xgboost.")
    assert unknown.why_kept_back(Promote.IF_NOT_WORSE) == (
        "It can't be compared with version 7: It needs xgboost. With the parameter `training.promote: always` it would "
        "be promoted."
    )
    assert unknown.metrics == {}
    for promote in Promote:
        assert Comparison(Verdict.NO_CHAMPION).why_kept_back(promote) == ""
        assert bool(unknown.why_kept_back(promote)) is (promote is Promote.IF_NOT_WORSE)


@dataclass(frozen=True)
class Gives:
    """What is asked of a loaded champion."""

    gives_probabilities: bool


@pytest.mark.parametrize("champion_is_classifier", [True, False])
@pytest.mark.parametrize("estimator", [LinearRegression(), LogisticRegression()])
@pytest.mark.parametrize("label", [[0.0, 1.0], [1.0, 2.0]])
def test_probabilities_are_not_measured_against_other_numbers(
    estimator: Any,
    label: list[float],
    champion_is_classifier: bool,  # noqa: FBT001 - a case
) -> None:
    alike = isinstance(estimator, LogisticRegression) is champion_is_classifier
    predictor: Any = Gives(champion_is_classifier)
    if alike or label == [0.0, 1.0]:
        require_one_scale(estimator, predictor, np.array(label))
    else:
        with pytest.raises(Exception, match="One of the two gives probabilities and the other does not"):
            require_one_scale(estimator, predictor, np.array(label))


@pytest.mark.parametrize("promote", ["never", None, True, ""])
def test_another_rule_of_promotion_is_refused(promote: object) -> None:
    with pytest.raises(RequestError, match=r"`training\.promote` is 'if_not_worse' or 'always', not "):
        promote_rule({"promote": promote})
    assert promote_rule({"promote": "always"}) is Promote.ALWAYS


@dataclass(frozen=True)
class Named:
    """What is asked of a registry: which version the alias names, and its model, which can't be had."""

    version: str | None
    error: Exception | None = None

    def named_version(self) -> str:
        if self.version is None:
            raise ModelNotFoundError
        return self.version

    def resolve(self, version: str) -> None:
        assert version == self.version
        assert self.error is not None
        raise self.error

    def load(self, model: object) -> None:
        """It is never come to."""


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), MemoryError(), ConnectionResetError(), TimeoutError()]
)
def test_what_another_attempt_may_not_meet_again_is_no_verdict(error: Exception) -> None:
    registry: Any = Named("7", error)
    with pytest.raises(type(error)):
        compare(identity(), held_out([1.0], [1.0]), registry, registry, TRAINING)


def test_why_a_champion_can_not_be_compared_is_said_without_passwords() -> None:
    registry: Any = Named("7", ValueError("can't reach mysql://user:s3cret@db/mlflow"))
    compared = compare(identity(), held_out([1.0], [1.0]), registry, registry, TRAINING)
    assert compared.verdict is Verdict.NOT_COMPARABLE
    assert compared.reason.startswith("can't reach mysql://")
    assert "s3cret" not in json.dumps(compared.as_json())


@pytest.mark.parametrize(
    ("compared", "named", "promote", "said"),
    [
        ("7", "7", Promote.IF_NOT_WORSE, ""),
        (None, None, Promote.IF_NOT_WORSE, ""),
        ("7", "8", Promote.ALWAYS, ""),
        ("7", "8", Promote.IF_NOT_WORSE, "compared with version 7, and by now the alias names version 8"),
        (None, "8", Promote.IF_NOT_WORSE, "compared with version none, and by now the alias names version 8"),
        ("7", None, Promote.IF_NOT_WORSE, "compared with version 7, and by now the alias names version none"),
    ],
)
def test_an_alias_that_has_moved_since_the_comparison_stays(
    compared: str | None, named: str | None, promote: Promote, said: str
) -> None:
    registry: Any = Named(named)
    verdict = Verdict.NO_CHAMPION if compared is None else Verdict.NOT_WORSE
    found = why_kept_back(Comparison(verdict, compared), registry, promote)
    assert said in found
    assert bool(found) is bool(said)


SOUND: dict[str, Any] = {
    **dict.fromkeys(("feature_service", "label", "seed", "test_size", "group_column", "estimator", "trusted_types")),
    "request_features": [],
    "candidate_key": None,
    "defaults": {},
    "ndcg_k": 10,
    "thresholds": {"rmse": 1, "mae": 1},
    "promote": "always",
}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({**SOUND, "thresholds": {"rmse": 1, "ndcg_at_10": 0.7}}, "how large rmse and mae may be; it can't limit ndcg"),
        ({key: SOUND[key] for key in SOUND if key != "ndcg_k"}, "`training` lacks 'ndcg_k': an environment's own"),
        ({**SOUND, "ndcg_k": 0}, "at least 1, not 0"),
        ({**SOUND, "request_features": "distance"}, "a list of columns of the orders, each once, not 'distance'"),
        ({**SOUND, "request_features": ["distance", "distance"]}, "each once"),
        ({**SOUND, "request_features": ["distance", 3]}, "a list of columns"),
        ({**SOUND, "label": "done", "request_features": ["done"]}, "the label 'done', which no request knows"),
        ({**SOUND, "defaults": {"distance": [3]}}, "a number, true, false or a text by feature"),
        ({**SOUND, "defaults": None}, "a number, true, false or a text by feature"),
    ],
)
def test_parameters_that_can_not_be_meant_are_refused(given: dict[str, Any], said: str) -> None:
    require_sound(SOUND)
    with pytest.raises(RequestError, match=said):
        require_sound(given)
