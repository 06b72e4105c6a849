"""The rules that batch and online serving share: who is excluded and why, the order, ties, and the top k.

Pure NumPy. A driver whose features are missing is excluded with a status, never scored. Scores rank descending;
equal scores, but for rounding, keep the request's order; a driver that is named twice is ranked once. A score that is
not a finite number is an error of the model.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from driver_ranking.errors import NonFiniteScoreError, RequestError

TIE_TOLERANCE = 1e-12
UNREADABLE = "unreadable_features"  # likewise, of a driver whose features an online store holds spoilt
_LISTED_ROWS = 5  # how many rows an error message names


class Status(StrEnum):
    """Why a row has a score or has none."""

    OK = "ok"
    MISSING_FEATURES = "missing_features"


@dataclass(frozen=True)
class ScoredRows:
    """The scores of feature rows, in the rows' order.

    Attributes:
        score: float64 ``[n]``; NaN where the row is excluded, finite elsewhere.
        scored: bool ``[n]``; False where the row is excluded with ``Status.MISSING_FEATURES``.
    """

    score: NDArray[np.float64]
    scored: NDArray[np.bool_]


@dataclass(frozen=True)
class Ranking:
    """Drivers, best first, and those that could not be ranked.

    Attributes:
        driver_id: int64 ``[k]``, best first.
        score: float64 ``[k]``, descending.
        excluded_driver_id: int64 ``[m]``, each id once, in the request's order.
    """

    driver_id: NDArray[np.int64]
    score: NDArray[np.float64]
    excluded_driver_id: NDArray[np.int64]


def has_all_features(features: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return for each row of float64 ``[n, k]`` whether no feature is missing (NaN stands for null)."""
    return np.asarray(~np.isnan(features).any(axis=1))


def score_rows(
    features: NDArray[np.float64],
    predict: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    *,
    first_row: int = 0,
) -> ScoredRows:
    """Score the rows that have all features; the others never reach the model.

    Args:
        features: float64 ``[n, k]``, columns in the order of the model's signature, NaN for null.
        predict: The model: float64 ``[m, k]`` to float64 ``[m]``. Not called when no row is left.
        first_row: Number of the first row in the whole input, for the error message.

    Raises:
        NonFiniteScoreError: The model gave NaN or an infinite score; the message names the rows.
    """
    rows = predicted_rows(features, predict)
    require_finite(rows, lambda row: f"row {first_row + row + 1}")
    return rows


def predicted_rows(
    features: NDArray[np.float64], predict: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> ScoredRows:
    """Score like ``score_rows``, but leave it to ``require_finite`` to refuse what is not a finite number.

    For rows of several requests, of which only those with such a row must fail.
    """
    scored = has_all_features(features)
    score = np.full(len(features), np.nan)
    if scored.all() and len(features):
        score = predict(features)
    elif scored.any():
        score[scored] = predict(features[scored])
    return ScoredRows(score, scored)


def require_finite(rows: ScoredRows, name_of: Callable[[int], str]) -> None:
    """Refuse scores that are not finite numbers.

    Args:
        rows: The scored rows.
        name_of: How the message names the row of an index.

    Raises:
        NonFiniteScoreError: The model gave NaN or an infinite score; the message names the rows.
    """
    faulty = np.flatnonzero(rows.scored & ~np.isfinite(rows.score))
    if faulty.size:
        named = ", ".join(f"{name_of(int(row))} ({rows.score[row]})" for row in faulty[:_LISTED_ROWS])
        more = ", ..." if faulty.size > _LISTED_ROWS else ""
        message = f"The model gave a score that is not a finite number for {named}{more}. Check the model's training."
        raise NonFiniteScoreError(message)


def order_by_score(score: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the indices that order finite float64 ``[n]`` descending; ties keep their order.

    Scores tie if they differ by no more than ``TIE_TOLERANCE``, relative to the larger: BLAS rounds the last bits of a
    row's score by how many rows there are and where it stands among them, so that equal drivers may get scores that
    are not quite equal. A run of scores of which each ties with the next is one tie.
    """
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    above, below = ordered[:-1], ordered[1:]
    apart = above - below > TIE_TOLERANCE * np.maximum(np.abs(above), np.abs(below))
    if apart.all():
        return order
    tie = np.concatenate([[0], np.cumsum(apart)])
    return order[np.lexsort((order, tie))]


def first_occurrences(driver_id: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return the indices at which each id of int64 ``[n]`` occurs first, ascending."""
    if len(set(driver_id.tolist())) == len(driver_id):  # the usual case, and several times as fast
        return np.arange(len(driver_id))
    _, first = np.unique(driver_id, return_index=True)
    return np.sort(first)


def rank(driver_id: NDArray[np.int64], rows: ScoredRows, *, top_k: int = 1) -> Ranking:
    """Rank the drivers of one request.

    Args:
        driver_id: int64 ``[n]``, in the request's order; a repeated id counts once, where it occurs first.
        rows: The scores of these drivers, in the same order.
        top_k: How many drivers to return at most; at least 1.

    Raises:
        RequestError: ``top_k`` is less than 1.
    """
    if top_k < 1:
        message = f"top_k must be 1 or more, not {top_k}."
        raise RequestError(message)
    distinct = first_occurrences(driver_id)
    scored = rows.scored[distinct]
    ranked, excluded = distinct[scored], distinct[~scored]
    best = ranked[order_by_score(rows.score[ranked])[:top_k]]
    score = np.minimum.accumulate(rows.score[best])  # within a tie, the last bits may not descend
    return Ranking(driver_id[best], score, driver_id[excluded])
