"""The rules that batch and online serving share."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from driver_ranking.errors import NonFiniteScoreError, RequestError
from driver_ranking.features import Defaults, FeatureRows, has_all_features
from driver_ranking.ranking import (
    Ranking,
    ScoredRows,
    first_occurrences,
    order_by_score,
    predicted_rows,
    rank,
    score_rows,
)

FINITE = st.floats(allow_nan=False, allow_infinity=False, width=32)
SCORES = st.lists(st.sampled_from([-1.0, 0.0, 0.5, 2.0]) | FINITE, max_size=30)  # few values: ties are common


@st.composite
def requests(draw: st.DrawFn) -> tuple[NDArray[np.int64], ScoredRows]:
    """Driver ids with repetitions; of one driver all rows have one score, as in an online request."""
    drivers = draw(st.lists(st.integers(1001, 1015), max_size=25))
    score_of = {driver: draw(st.sampled_from([0.1, 0.2, 0.9]) | FINITE) for driver in sorted(set(drivers))}
    excluded = {driver for driver in sorted(set(drivers)) if draw(st.booleans())}
    scored = np.array([driver not in excluded for driver in drivers], dtype=np.bool_)
    score = np.array([score_of[driver] for driver in drivers], dtype=np.float64)
    return np.array(drivers, dtype=np.int64), ScoredRows(np.where(scored, score, np.nan), scored)


def best_first(request: tuple[NDArray[np.int64], ScoredRows], top_k: int = 1000) -> Ranking:
    return rank(*request, top_k=top_k)


@given(requests())
def test_every_driver_is_ranked_or_excluded_once(request_rows: tuple[NDArray[np.int64], ScoredRows]) -> None:
    ranking = best_first(request_rows)
    named = [*ranking.candidate.tolist(), *ranking.excluded.tolist()]
    assert sorted(named) == sorted(set(request_rows[0].tolist()))


@given(requests())
def test_scores_descend_and_belong_to_their_drivers(request_rows: tuple[NDArray[np.int64], ScoredRows]) -> None:
    drivers, rows = request_rows
    ranking = best_first(request_rows)
    assert (np.diff(ranking.score) <= 0).all()
    score_of = dict(zip(drivers.tolist(), rows.score.tolist(), strict=True))
    assert ranking.score.tolist() == [score_of[driver] for driver in ranking.candidate.tolist()]


@given(requests())
def test_ties_keep_the_order_of_the_request(request_rows: tuple[NDArray[np.int64], ScoredRows]) -> None:
    drivers, _ = request_rows
    ranking = best_first(request_rows)
    place = {driver: drivers.tolist().index(driver) for driver in drivers.tolist()}
    for better, worse in zip(range(len(ranking.score) - 1), range(1, len(ranking.score)), strict=True):
        if ranking.score[better] == ranking.score[worse]:
            assert place[int(ranking.candidate[better])] < place[int(ranking.candidate[worse])]


@given(requests(), st.randoms(use_true_random=False))
def test_a_permutation_changes_nothing_but_the_order_of_ties(
    request_rows: tuple[NDArray[np.int64], ScoredRows], random: Random
) -> None:
    drivers, rows = request_rows
    order = list(range(len(drivers)))
    random.shuffle(order)
    shuffled = best_first((drivers[order], ScoredRows(rows.score[order], rows.scored[order])))
    ranking = best_first(request_rows)
    assert shuffled.score.tolist() == ranking.score.tolist()
    assert set(shuffled.candidate.tolist()) == set(ranking.candidate.tolist())
    assert set(shuffled.excluded.tolist()) == set(ranking.excluded.tolist())


@given(requests(), st.integers(1, 30))
def test_top_k_is_the_beginning_of_the_whole_ranking(
    request_rows: tuple[NDArray[np.int64], ScoredRows], top_k: int
) -> None:
    whole, top = best_first(request_rows), best_first(request_rows, top_k)
    assert top.candidate.tolist() == whole.candidate.tolist()[:top_k]
    assert top.score.tolist() == whole.score.tolist()[:top_k]
    assert top.excluded.tolist() == whole.excluded.tolist()


@pytest.mark.parametrize("top_k", [0, -1])
def test_top_k_below_one_is_refused(top_k: int) -> None:
    with pytest.raises(RequestError, match=f"top_k must be 1 or more, not {top_k}"):
        rank(np.array([1]), ScoredRows(np.array([0.5]), np.array([True])), top_k=top_k)


def test_the_first_of_equal_drivers_wins() -> None:
    rows = ScoredRows(np.array([0.1, 0.7, 0.7, np.nan]), np.array([True, True, True, False]))
    ranking = rank(np.array([1004, 1002, 1001, 1003]), rows)
    assert ranking.candidate.tolist() == [1002]
    assert ranking.excluded.tolist() == [1003]


@given(st.lists(st.integers(0, 5)))
def test_first_occurrences_are_those_of_a_plain_loop(ids: list[int]) -> None:
    expected = [index for index, value in enumerate(ids) if value not in ids[:index]]
    assert first_occurrences(np.array(ids, dtype=np.int64)).tolist() == expected


@given(SCORES)
def test_order_by_score_is_a_stable_sort(scores: list[float]) -> None:
    expected = sorted(range(len(scores)), key=lambda index: -scores[index])
    assert order_by_score(np.array(scores, dtype=np.float64)).tolist() == expected


def test_scores_that_differ_by_rounding_alone_tie() -> None:
    third = 1 / 3
    rounded = [third, np.nextafter(third, 1), np.nextafter(third, 0)]
    assert order_by_score(np.array([0.1, *rounded, 0.9])).tolist() == [4, 1, 2, 3, 0]
    ranking = rank(np.array([1001, 1002, 1003]), ScoredRows(np.array(rounded), np.ones(3, dtype=np.bool_)), top_k=3)
    assert ranking.candidate.tolist() == [1001, 1002, 1003]
    assert (np.diff(ranking.score) <= 0).all()


@given(st.lists(st.sampled_from([0.1, 1 / 3, -7.5, 1e-9]), min_size=1, max_size=20), st.data())
def test_rounding_never_changes_the_order(scores: list[float], data: st.DataObject) -> None:
    noise = data.draw(st.lists(st.integers(-4, 4), min_size=len(scores), max_size=len(scores)))
    exact = np.array(scores)
    noisy = exact + np.spacing(exact) * np.array(noise)
    assert order_by_score(noisy).tolist() == order_by_score(exact).tolist()


@given(st.lists(st.lists(FINITE | st.just(float("nan")), min_size=3, max_size=3), max_size=20))
def test_rows_with_a_missing_feature_are_excluded_and_never_reach_the_model(rows: list[list[float]]) -> None:
    features = np.array(rows, dtype=np.float64).reshape(len(rows), 3)
    seen: list[NDArray[np.float64]] = []

    def predict(batch: NDArray[np.float64]) -> NDArray[np.float64]:
        seen.append(batch)
        return np.asarray(batch.sum(axis=1), dtype=np.float64)

    result = score_rows(features, predict)
    complete = [not any(np.isnan(row)) for row in rows]
    assert result.scored.tolist() == complete == has_all_features(features).tolist()
    assert np.isnan(result.score[~result.scored]).all()
    assert result.score[result.scored].tolist() == features[result.scored].sum(axis=1).tolist()
    assert len(seen) == int(any(complete))
    assert all(not np.isnan(batch).any() for batch in seen)


@given(st.integers(1, 20), st.data())
def test_a_score_that_is_not_finite_is_an_error_that_names_the_rows(count: int, data: st.DataObject) -> None:
    row = data.draw(st.integers(0, count - 1))
    bad = data.draw(st.sampled_from([float("nan"), float("inf"), float("-inf")]))
    score = np.zeros(count)
    score[row] = bad
    with pytest.raises(NonFiniteScoreError, match=rf"not a finite number for row {100 + row + 1} \({bad}\)"):
        score_rows(np.zeros((count, 2)), lambda _: score, first_row=100)


def test_the_error_names_five_rows_at_most() -> None:
    with pytest.raises(NonFiniteScoreError, match=r"row 5 \(nan\), \.\.\."):
        score_rows(np.zeros((7, 1)), lambda features: np.full(len(features), np.nan))


@given(requests(), st.integers(1, 30))
def test_each_ranked_candidate_says_where_it_stands_in_the_request(
    request_rows: tuple[NDArray[np.int64], ScoredRows], top_k: int
) -> None:
    drivers, rows = request_rows
    ranking = best_first(request_rows, top_k)
    assert drivers[ranking.place].tolist() == ranking.candidate.tolist()
    assert all(
        drivers.tolist().index(driver) == place for driver, place in zip(ranking.candidate, ranking.place, strict=True)
    )
    assert rows[ranking.place].scored.all()


@given(requests())
def test_texts_rank_as_numbers_do(request_rows: tuple[NDArray[np.int64], ScoredRows]) -> None:
    drivers, rows = request_rows
    named = rank(np.array([f"r{driver}" for driver in drivers], dtype=object), rows, top_k=1000)
    ranking = best_first(request_rows)
    assert named.candidate.tolist() == [f"r{driver}" for driver in ranking.candidate]
    assert named.excluded.tolist() == [f"r{driver}" for driver in ranking.excluded]


MAYBE = st.just(float("nan")) | st.sampled_from([0.5, 2.0])


@given(st.lists(st.tuples(MAYBE, MAYBE), max_size=12), MAYBE, MAYBE)
def test_a_row_is_scored_with_its_defaults_or_excluded(
    rows: list[tuple[float, float]], first: float, second: float
) -> None:
    features = np.array(rows, dtype=np.float64).reshape(len(rows), 2)
    defaults = np.array([first, second])
    filled = np.where(np.isnan(features), defaults, features)
    scored = predicted_rows(features, lambda batch: np.asarray(batch.sum(axis=1)), Defaults(defaults))
    np.testing.assert_array_equal(scored.score, filled.sum(axis=1))  # NaN where a feature is missing still
    complete, missing = ~np.isnan(filled).any(axis=1), np.isnan(features).any(axis=1)
    assert (
        scored.status.tolist()
        == np.select([~complete, missing], ["missing_features", "defaulted"], default="ok").tolist()
    )
    assert scored[complete].status.tolist() == scored.status[complete].tolist()


def test_a_default_text_is_what_the_model_is_given() -> None:
    rows = FeatureRows(np.array([[1.0], [2.0]]), {"zone": np.array(["north", None], dtype=object)})
    seen: list[object] = []

    def predict(batch: FeatureRows) -> NDArray[np.float64]:
        seen.extend(batch.texts["zone"])
        return batch.numbers[:, 0]

    assert score_rows(rows, predict).status.tolist() == ["ok", "missing_features"]
    assert score_rows(rows, predict, Defaults(np.array([np.nan]), {"zone": "south"})).score.tolist() == [1.0, 2.0]
    assert seen == ["north", "north", "south"]


def test_no_default_stands_for_what_can_not_be_read() -> None:
    features, defaults = np.array([[np.nan], [np.nan], [2.0]]), Defaults(np.array([7.0]))
    unreadable = np.array([True, False, True])
    scored = predicted_rows(features, lambda batch: batch[:, 0], defaults, unreadable)
    assert scored.status.tolist() == ["missing_features", "defaulted", "missing_features"]
    np.testing.assert_array_equal(scored.score, [np.nan, 7.0, np.nan])
    assert scored.defaulted is not None
    assert scored.defaulted.tolist() == [False, True, False]
