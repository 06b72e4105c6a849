"""How well a model orders the candidates of a trip: NDCG@k, MRR and hit rate@1, with confidence intervals."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from driver_ranking.ranking import order_by_score

_RESAMPLES = 2000
_CONFIDENCE = 0.95
_FEWEST = 2  # groups that can be resampled
_VALUES_AT_ONCE = 4_000_000  # of a bootstrap: 32 MB of indices, and three times as much of values


def group_metrics(
    group: NDArray[np.int64],
    positive: NDArray[np.bool_],
    score: NDArray[np.float64],
    *,
    k: int,
    seed: int,
) -> dict[str, float]:
    """Return the mean of each metric over the groups that can show an order.

    These have more than one candidate and at least one positive. In each of them the candidates are ordered as they
    are in batch and online: by score, descending; a tie keeps the rows' order.

    Args:
        group: int64 ``[n]``, the group of each row; a negative number for a row of none.
        positive: bool ``[n]``, whether a row is what should come first.
        score: float64 ``[n]``.
        k: How many places NDCG looks at.
        seed: Of the bootstrap over groups.

    Returns:
        ``ranked_groups``, and ``ndcg_at_<k>``, ``mrr`` and ``hit_rate_at_1``, each with ``_low`` and ``_high``, the
        ends of its 95 % confidence interval. Without a group there are no metrics, with one there are no intervals.
    """
    ranked = list(ranked_groups(group, positive, score))
    metrics = {"ranked_groups": float(len(ranked))}
    if not ranked:
        return metrics
    names = (f"ndcg_at_{k}", "mrr", "hit_rate_at_1")
    values = np.array([[_ndcg(one, k), 1.0 / (1.0 + np.argmax(one)), float(one[0])] for one in ranked]).T
    metrics |= dict(zip(names, values.mean(axis=1).tolist(), strict=True))
    if len(ranked) >= _FEWEST:
        low, high = _interval((values,), np.mean, seed)
        for name, least, most in zip(names, low.tolist(), high.tolist(), strict=True):
            metrics |= {f"{name}_low": least, f"{name}_high": most}
    return metrics


def ranked_groups(
    group: NDArray[np.int64], positive: NDArray[np.bool_], score: NDArray[np.float64]
) -> Iterator[NDArray[np.bool_]]:
    """Yield of each group that can show an order which of its candidates are positive, the best score first."""
    for rows in _candidates(group):
        if positive[rows].any():
            yield positive[rows][order_by_score(score[rows])]


def best_differs(group: NDArray[np.int64], score: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return for each group of several candidates whether two models would take different ones, bool ``[groups]``."""
    best = [(order_by_score(score[rows])[0], order_by_score(other[rows])[0]) for rows in _candidates(group)]
    return np.array([ours != theirs for ours, theirs in best], dtype=np.bool_)


def rmse_interval(error: NDArray[np.float64], group: NDArray[np.int64], seed: int) -> dict[str, float]:
    """Return the ends of the 95 % confidence interval of a root mean squared error, by resampling groups.

    Args:
        error: float64 ``[n]``, score less label.
        group: int64 ``[n]``, the group of each row; a row of none is one by itself.
        seed: Of the bootstrap.

    Returns:
        ``rmse_low`` and ``rmse_high``; nothing of one group.
    """
    alone = np.where(group < 0, np.arange(group.size) + group.max(initial=-1) + 1, group)
    place = np.unique(alone, return_inverse=True)[1]
    squares, rows = np.bincount(place, error**2), np.bincount(place)
    if squares.size < _FEWEST:
        return {}

    def rmse(squares: NDArray[np.float64], rows: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        return np.asarray(np.sqrt(squares.sum(axis=axis) / rows.sum(axis=axis)))

    low, high = _interval((squares, rows), rmse, seed)
    return {"rmse_low": float(low), "rmse_high": float(high)}


def _candidates(group: NDArray[np.int64]) -> Iterator[NDArray[np.intp]]:
    """Yield the rows of each group that has more than one."""
    by_group = np.argsort(group, kind="stable")
    by_group = by_group[group[by_group] >= 0]
    for rows in np.split(by_group, np.flatnonzero(np.diff(group[by_group])) + 1):
        if rows.size > 1:
            yield rows


def _ndcg(ranked: NDArray[np.bool_], k: int) -> float:
    from sklearn.metrics import ndcg_score

    places = np.arange(len(ranked), 0, -1)  # no two are equal: scikit-learn would take the mean over a tie's orders
    return float(ndcg_score([ranked.astype(np.float64)], [places], k=k, ignore_ties=True))


def _interval(
    values: tuple[NDArray[Any], ...], statistic: Callable[..., Any], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ends of the confidence interval of a statistic of each row, by resampling columns."""
    from scipy.stats import bootstrap

    interval = bootstrap(
        values,
        statistic,
        paired=True,
        n_resamples=_RESAMPLES,
        batch=max(1, _VALUES_AT_ONCE // values[0].shape[-1]),
        axis=-1,
        confidence_level=_CONFIDENCE,
        method="percentile",  # BCa has none where all groups have one value
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return interval.low, interval.high
