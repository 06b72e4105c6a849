"""The rules of parity: ranks of many requests at once, orders compared, quantiles, causes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from driver_ranking.parity.causes import Cause, Times, causes_of
from driver_ranking.parity.decisions import decisions_of
from driver_ranking.parity.sketch import Sketch
from driver_ranking.ranking import ScoredRows, rank, ranks_within

if TYPE_CHECKING:
    from numpy.typing import NDArray

NONE = np.iinfo(np.int64).min
SCORES = st.sampled_from([0.1, 0.2, 0.2 + 1e-15, 0.3, 0.3 - 1e-14, 0.9, float("nan")])
REQUESTS = st.lists(
    st.lists(st.tuples(st.integers(1, 6), SCORES, SCORES), min_size=1, max_size=12), min_size=0, max_size=8
)


def columns(
    requests: list[list[tuple[int, float, float]]],
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return the rows of requests; a candidate that is named again has its scores again."""
    rows = []
    for number, candidates in enumerate(requests):
        known: dict[int, tuple[float, float]] = {}
        for candidate, *scores in candidates:
            rows.append((number, candidate, *known.setdefault(candidate, (scores[0], scores[1]))))
    found = list(zip(*rows, strict=True)) or [(), (), (), ()]
    kinds = (np.intp, np.int64, np.float64, np.float64)
    a, b, c, d = (np.array(one, dtype=kind) for one, kind in zip(found, kinds, strict=True))
    return a, b, c, d


def ranked(candidate: NDArray[Any], score: NDArray[Any]) -> NDArray[Any]:
    """Return the ranks of one request, by the rule that serves."""
    found = rank(candidate, ScoredRows(score, ~np.isnan(score)), top_k=len(candidate))
    ranks = np.zeros(len(candidate), dtype=np.int32)
    ranks[found.place] = np.arange(1, len(found.place) + 1)
    return ranks


@given(REQUESTS, st.sampled_from([0, -3, 2**62]))
def test_many_requests_are_ranked_as_each_is_alone(requests: list[list[tuple[int, float, float]]], more: int) -> None:
    request, candidate, score, _ = columns(requests)
    candidate += more
    expected = [ranked(candidate[request == one], score[request == one]) for one in range(len(requests))]
    assert ranks_within(request, candidate, score).tolist() == [one for ranks in expected for one in ranks]


@given(REQUESTS)
def test_decisions_are_compared_as_scipy_and_the_rules_do(requests: list[list[tuple[int, float, float]]]) -> None:
    request, candidate, score, other = columns(requests)
    found = decisions_of(request, candidate, ranks_within(request, candidate, score), other)
    assert len(found.best) == len(requests)
    for one in range(len(requests)):
        rows = request == one
        ours, theirs = (ranked(candidate[rows], scores[rows]) for scores in (score, other))
        best = [candidate[rows][ranks == 1].tolist() for ranks in (ours, theirs)]
        assert found.best_changed[one] == (best[0] != best[1])
        assert found.exclusions_changed[one] == bool(((ours > 0) != (theirs > 0)).any())
        both = (ours > 0) & (theirs > 0)
        if both.sum() < 2:
            assert np.isnan(found.tau[one])
            continue
        tau = kendalltau(ours[both], theirs[both]).statistic
        assert found.tau[one] == pytest.approx(tau)
        assert found.order_changed[one] == (tau < 1 - 1e-12)


@given(
    st.lists(st.floats(-1e9, 1e9, allow_subnormal=False).filter(lambda one: one == 0 or abs(one) > 1e-12), min_size=1)
)
def test_quantiles_are_within_a_hundredth(values: list[float]) -> None:
    sketch = Sketch()
    for some in np.array_split(np.array(values), 3):
        sketch.add(some)
    for share in (0.0, 0.1, 0.5, 0.99, 1.0):
        exact = sorted(values)[max(1, int(np.ceil(share * len(values)))) - 1]
        assert sketch.quantile(share) == pytest.approx(exact, rel=0.011, abs=1e-12)
    assert sketch.count == len(values)


def test_nothing_has_no_quantiles() -> None:
    assert Sketch().described((0.0, 0.5)) == {"count": 0, "mean": None, "p0": None, "p50": None}


def times(event: int, created: int, *, usable: bool = True) -> Times:
    return Times(np.array([event]), np.array([created]), np.array([usable]))


@pytest.mark.parametrize(
    ("brought", "known", "then", "cause"),
    [
        (times(5, 6), times(5, 6), times(5, 6), Cause.NONE),
        (times(5, 6), times(5, 8), times(5, 8), Cause.CORRECTED),
        (times(5, 6), times(9, 11), times(9, 11), Cause.LATE),
        (times(5, 6), times(12, 13), times(12, 13), Cause.STALE),
        (times(5, 6), times(12, 99), times(5, 6), Cause.LATE),
        (times(5, 6), times(12, 99), times(12, 13), Cause.STALE),
        (times(5, 6, usable=False), times(12, 13), times(12, 13), Cause.EXPIRED),
        (times(5, 6, usable=False), times(5, 6, usable=False), times(5, 6), Cause.NONE),
        (times(5, 6, usable=False), times(5, 6), times(5, 6), Cause.EXPIRED),
        (times(5, 6), times(3, 4), times(3, 4), Cause.EXPIRED),
        (times(NONE, NONE, usable=False), times(12, 13), times(12, 13), Cause.STALE),
        (times(NONE, NONE, usable=False), times(2, 13), times(2, 13), Cause.LATE),
        (times(NONE, NONE, usable=False), times(NONE, NONE, usable=False), times(NONE, NONE), Cause.NONE),
    ],
)
def test_a_difference_has_one_cause(brought: Times, known: Times, then: Times, cause: Cause) -> None:
    assert causes_of(brought, known, then, np.array([10]), NONE).tolist() == [cause]
