"""NDCG@k, MRR and hit rate@1 over the candidates of a trip, against ranx and against plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driver_ranking.pipelines.training.group_metrics import best_differs, group_metrics, ranked_groups, rmse_interval

NAMES = ("ndcg_at_10", "mrr", "hit_rate_at_1")
ROWS = st.lists(
    st.tuples(st.integers(-1, 8), st.booleans(), st.sampled_from([0.0, 0.25, 0.25 + 1e-15, 0.5]) | st.floats(-1, 1)),
    max_size=60,
)


def measured(rows: list[tuple[int, bool, float]], k: int = 10, seed: int = 17) -> dict[str, float]:
    group, positive, score = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [])
    of_rows = np.array(group, np.int64), np.array(positive, np.bool_), np.array(score, np.float64)
    return group_metrics(*of_rows, k=k, seed=seed)


def ordered(rows: list[tuple[int, bool, float]]) -> list[list[bool]]:
    """Order each group by a loop: descending, a tie in the rows' order; with one of each pair of scores far apart."""
    groups: dict[int, list[tuple[float, bool]]] = {}
    for group, positive, score in rows:
        if group >= 0:
            groups.setdefault(group, []).append((score, positive))
    ranked = [[hit for _, hit in sorted(groups[group], key=lambda one: -one[0])] for group in sorted(groups)]
    return [one for one in ranked if len(one) > 1 and any(one)]


@given(rows=ROWS, k=st.integers(1, 12))
def test_the_metrics_are_those_of_a_plain_loop(rows: list[tuple[int, bool, float]], k: int) -> None:
    apart = [(group, positive, round(score, 6)) for group, positive, score in rows]
    expected = ordered(apart)
    given_metrics = measured(apart, k)
    assert given_metrics["ranked_groups"] == len(expected)
    if not expected:
        assert set(given_metrics) == {"ranked_groups"}
        return
    gains = [sum(hit / math.log2(place + 2) for place, hit in enumerate(one[:k])) for one in expected]
    ideals = [sum(1 / math.log2(place + 2) for place in range(min(k, sum(one)))) for one in expected]
    ndcg = [gain / ideal for gain, ideal in zip(gains, ideals, strict=True)]
    assert given_metrics[f"ndcg_at_{k}"] == pytest.approx(np.mean(ndcg), abs=1e-12)
    assert given_metrics["mrr"] == pytest.approx(np.mean([1 / (1 + one.index(True)) for one in expected]), abs=1e-12)
    assert given_metrics["hit_rate_at_1"] == pytest.approx(np.mean([one[0] for one in expected]), abs=1e-12)


@settings(max_examples=40)
@given(rows=ROWS)
def test_an_interval_is_around_its_metric_and_is_the_same_again(rows: list[tuple[int, bool, float]]) -> None:
    metrics = measured(rows)
    assert metrics == measured(rows)
    if metrics["ranked_groups"] > 1:
        for name in NAMES:
            assert 0 <= metrics[f"{name}_low"] <= metrics[f"{name}_high"] <= 1 + 1e-12
            assert metrics[f"{name}_low"] - 1e-12 <= metrics[name] <= metrics[f"{name}_high"] + 1e-12


def test_an_interval_is_as_wide_as_the_mean_is_uncertain() -> None:
    rows = [(group, place == group % 2, float(-place)) for group in range(400) for place in range(2)]
    metrics = measured(rows)
    assert metrics["hit_rate_at_1"] == 0.5
    half = 1.96 * 0.5 / 20  # of a mean of 400 groups, of which each is 0 or 1
    assert metrics["hit_rate_at_1_low"] == pytest.approx(0.5 - half, abs=0.01)
    assert metrics["hit_rate_at_1_high"] == pytest.approx(0.5 + half, abs=0.01)


def test_a_tie_keeps_the_rows_order_even_if_scores_differ_in_their_last_bits() -> None:
    score = np.array([0.3, 0.1 + 0.2, 0.1 + 0.2, 0.3])
    assert score[0] < score[1]
    hits = [next(iter(ranked_groups(np.zeros(4, np.int64), np.arange(4) == one, score))) for one in range(4)]
    assert [np.flatnonzero(one).tolist() for one in hits] == [[0], [1], [2], [3]]


def test_rows_of_no_group_groups_of_one_and_groups_without_a_positive_show_no_order() -> None:
    nothing = [(-1, True, 0.1), (-1, False, 0.2), (3, True, 0.5), (4, False, 0.5), (4, False, 0.6)]
    assert measured(nothing) == {"ranked_groups": 0.0}
    one = measured([*nothing, (5, False, 0.9), (5, True, 0.8)])
    assert one == {"ranked_groups": 1.0, "ndcg_at_10": pytest.approx(1 / math.log2(3)), "mrr": 0.5, "hit_rate_at_1": 0}


@pytest.mark.slow  # it is compiled first
@pytest.mark.filterwarnings("ignore:.*invalid escape sequence", "ignore:.*unsafe cast from uint64 to int64")
def test_the_metrics_are_those_of_ranx() -> None:
    from ranx import Qrels, Run, evaluate

    rng = np.random.default_rng(17)
    group = rng.integers(0, 200, 3000)
    positive, score = rng.random(3000) < 0.2, rng.integers(0, 12, 3000) / 8
    qrels: dict[str, dict[str, int]] = {}
    run: dict[str, dict[str, float]] = {}
    for number in np.unique(group):
        rows = np.flatnonzero(group == number)
        if rows.size > 1 and positive[rows].any():
            # ranx leaves the order of a tie open: it is told the one that is kept, first come, first ranked
            places = sorted(rows, key=lambda row: -score[row])
            qrels[str(number)] = {str(row): int(positive[row]) for row in rows}
            run[str(number)] = {str(row): float(len(places) - place) for place, row in enumerate(places)}
    assert len(qrels) > 100
    assert any(len(set(score[group == int(number)])) < len(one) for number, one in qrels.items())
    for k in (1, 3, 10):
        expected = evaluate(Qrels(qrels), Run(run), [f"ndcg@{k}", "mrr", "hit_rate@1"])
        metrics = group_metrics(group, positive, score, k=k, seed=17)
        assert metrics["ranked_groups"] == len(qrels)
        for ours, theirs in ((f"ndcg_at_{k}", f"ndcg@{k}"), ("mrr", "mrr"), ("hit_rate_at_1", "hit_rate@1")):
            assert metrics[ours] == pytest.approx(expected[theirs], rel=0, abs=1e-12), ours


def test_the_best_of_two_models_differs_where_they_would_take_different_candidates() -> None:
    group = np.array([1, 1, 2, 2, 3, -1, -1, 4, 4])
    ours = np.array([0.1, 0.9, 0.5, 0.5, 1.0, 0.0, 1.0, 0.3, 0.2])
    theirs = np.array([0.8, 0.2, 0.9, 0.1, 0.0, 1.0, 0.0, 0.2, 0.3])
    assert best_differs(group, ours, theirs).tolist() == [True, False, True], "a tie keeps the order of the rows"
    assert best_differs(np.array([-1, 5]), np.zeros(2), np.zeros(2)).size == 0


def test_the_interval_of_an_rmse_resamples_trips_and_not_rows() -> None:
    error = np.random.default_rng(3).normal(0, 0.4, 200)
    alone = rmse_interval(error, np.full(200, -1), 17)
    assert alone == rmse_interval(error, np.arange(200), 17)
    assert 0.3 < alone["rmse_low"] < float(np.sqrt(np.mean(error**2))) < alone["rmse_high"] < 0.5
    fourfold = rmse_interval(np.repeat(error, 4), np.repeat(np.arange(200), 4), 17)
    assert fourfold == pytest.approx(alone), "the same errors again say no more"
    assert rmse_interval(error, np.zeros(200, np.int64), 17) == {}
