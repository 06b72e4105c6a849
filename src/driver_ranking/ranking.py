"""The rules that batch and online serving share: who is excluded and why, the order, ties, and the top k.

Pure NumPy. A driver whose features are missing is excluded with a status, never scored, unless a default stands for
each of them. Scores rank descending; equal scores, but for rounding, keep the request's order; a driver that is named
twice is ranked once. A score that is not a finite number is an error of the model.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from driver_ranking.errors import NonFiniteScoreError, RequestError
from driver_ranking.features import Defaults, Features, has_all_features

Predict: TypeAlias = Callable[[Any], NDArray[np.float64]]
"""A model: features of n rows to float64 ``[n]``."""

TIE_TOLERANCE = 1e-12
UNREADABLE = "unreadable_features"  # likewise, of a driver whose features an online store holds spoilt
_LISTED_ROWS = 5  # how many rows an error message names


class Status(StrEnum):
    """Why a row has a score or has none."""

    OK = "ok"
    DEFAULTED = "defaulted"
    MISSING_FEATURES = "missing_features"


STATUSES = tuple(status.value for status in Status)
_OK, _DEFAULTED, _MISSING = map(STATUSES.index, (Status.OK, Status.DEFAULTED, Status.MISSING_FEATURES))


@dataclass(frozen=True)
class ScoredRows:
    """The scores of feature rows, in the rows' order.

    Attributes:
        score: float64 ``[n]``; NaN where the row is excluded, finite elsewhere.
        scored: bool ``[n]``; False where the row is excluded with ``Status.MISSING_FEATURES``.
        defaulted: bool ``[n]``; True where a default stands for a missing feature of a row that is scored. None if
            there are none.
    """

    score: NDArray[np.float64]
    scored: NDArray[np.bool_]
    defaulted: NDArray[np.bool_] | None = None

    def __getitem__(self, rows: Any) -> "ScoredRows":  # noqa: ANN401 - whatever NumPy takes
        """Return some of the rows: a mask, indices or a slice."""
        defaulted = None if self.defaulted is None else self.defaulted[rows]
        return ScoredRows(self.score[rows], self.scored[rows], defaulted)

    @property
    def status_place(self) -> NDArray[np.int8]:
        """Return the place in ``STATUSES`` of each row's status, int8 ``[n]``."""
        place = np.where(self.scored, np.int8(_OK), np.int8(_MISSING))
        if self.defaulted is not None:
            place[self.defaulted] = _DEFAULTED
        return place

    @property
    def status(self) -> NDArray[np.object_]:
        """Return the status of each row, texts ``[n]``."""
        return np.array(STATUSES, dtype=object)[self.status_place]


@dataclass(frozen=True)
class Ranking:
    """The candidates of one request, best first, and those that could not be ranked.

    Attributes:
        candidate: ``[k]``, best first; int64, or objects where the key is a text or bytes.
        score: float64 ``[k]``, descending.
        excluded: ``[m]``, each candidate once, in the request's order.
        place: intp ``[k]``, where each of the ranked stands in the request.
        order: intp ``[r]``, likewise of all that have a score, best first; ``place`` is its beginning.
    """

    candidate: NDArray[Any]
    score: NDArray[np.float64]
    excluded: NDArray[Any]
    place: NDArray[np.intp]
    order: NDArray[np.intp]


def score_rows(
    features: Features,
    predict: Predict,
    defaults: Defaults | None = None,
    *,
    first_row: int = 0,
) -> ScoredRows:
    """Score the rows that have all features; the others never reach the model.

    Args:
        features: The rows; of float64 ``[n, k]`` the columns are in the order of the model's signature, NaN for null.
        predict: The model: features of m rows to float64 ``[m]``. Not called when no row is left.
        defaults: What stands for features that are missing.
        first_row: Number of the first row in the whole input, for the error message.

    Raises:
        NonFiniteScoreError: The model gave NaN or an infinite score; the message names the rows.
    """
    rows = predicted_rows(features, predict, defaults)
    require_finite(rows, lambda row: f"row {first_row + row + 1}")
    return rows


def predicted_rows(
    features: Features,
    predict: Predict,
    defaults: Defaults | None = None,
    unreadable: NDArray[np.bool_] | None = None,
) -> ScoredRows:
    """Score like ``score_rows``, but leave it to ``require_finite`` to refuse what is not a finite number.

    For rows of several requests, of which only those with such a row must fail.

    Args:
        features: See ``score_rows``.
        predict: Likewise.
        defaults: Likewise.
        unreadable: bool ``[n]``, rows of which something is stored that can't be read; None for no row. They are
            excluded: what is there and unknown is not missing, so that no default stands for it.
    """
    defaulted = None
    if defaults is not None:
        features, defaulted = defaults.fill(features)
    scored = has_all_features(features)
    if unreadable is not None:
        scored &= ~unreadable
    score = np.full(len(features), np.nan)
    if scored.all() and len(features):
        score = predict(features)
    elif scored.any():
        score[scored] = predict(features[scored])
    if defaulted is not None:
        defaulted = defaulted & scored if defaulted.any() else None
    return ScoredRows(score, scored, defaulted)


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
    apart = _are_apart(ordered[:-1], ordered[1:])
    if apart.all():
        return order
    tie = np.concatenate([[0], np.cumsum(apart)])
    return order[np.lexsort((order, tie))]


def ranks_within(
    request: NDArray[np.intp], candidate: NDArray[np.int64], score: NDArray[np.float64]
) -> NDArray[np.int32]:
    """Return the ranks of the candidates of many requests at once, by the rules of `rank`.

    Args:
        request: ``[n]``, the number of each row's request, ascending.
        candidate: ``[n]``, a number for each candidate; one that is repeated in its request counts where it is first.
        score: float64 ``[n]``, NaN where a row is excluded.

    Returns:
        int32 ``[n]``, from 1; 0 where a row is excluded or its candidate is named before.
    """
    counted = np.flatnonzero(~np.isnan(score) & _is_first(request, candidate))
    order = counted[np.lexsort((-score[counted], request[counted]))]
    ordered, group = score[order], request[order]
    apart = _are_apart(ordered[:-1], ordered[1:]) | (group[1:] != group[:-1])
    if not apart.all():
        tie = np.concatenate([[0], np.cumsum(apart)])
        order = order[np.lexsort((order, tie))]
    places = np.arange(len(order))
    begins = np.concatenate([[True], group[1:] != group[:-1]])[: len(order)]
    ranks = np.zeros(len(score), dtype=np.int32)
    ranks[order] = places - np.maximum.accumulate(np.where(begins, places, 0)) + 1
    return ranks


def _is_first(request: NDArray[np.intp], candidate: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which rows name a candidate for the first time in their request."""
    key = request * (int(candidate.max(initial=0)) + 1) + candidate if _is_small(request, candidate) else None
    if key is not None:
        ordered = np.sort(key)
        if not (ordered[1:] == ordered[:-1]).any():  # the usual case, and several times as fast
            return np.ones(len(request), dtype=np.bool_)
    order = np.lexsort((candidate, request))
    again = (request[order][1:] == request[order][:-1]) & (candidate[order][1:] == candidate[order][:-1])
    is_first = np.ones(len(request), dtype=np.bool_)
    is_first[order[1:]] = ~again
    return is_first


def _is_small(request: NDArray[np.intp], candidate: NDArray[np.int64]) -> bool:
    """Return whether a request and a candidate fit into one integer."""
    most = int(candidate.max(initial=0)) + 1
    return int(candidate.min(initial=0)) >= 0 and most * (int(request.max(initial=0)) + 1) < 2**62


def _are_apart(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return where a score does not tie with the next one."""
    return np.asarray(above - below > TIE_TOLERANCE * np.maximum(np.abs(above), np.abs(below)))


def first_occurrences(candidate: NDArray[Any]) -> NDArray[np.intp]:
    """Return the indices at which each candidate of ``[n]`` occurs first, ascending."""
    if len(set(candidate.tolist())) == len(candidate):  # the usual case, and several times as fast
        return np.arange(len(candidate))
    _, first = np.unique(candidate, return_index=True)
    return np.sort(first)


def rank(candidate: NDArray[Any], rows: ScoredRows, *, top_k: int = 1) -> Ranking:
    """Rank the candidates of one request.

    Args:
        candidate: ``[n]``, in the request's order; one that is repeated counts once, where it occurs first.
        rows: Their scores, in the same order.
        top_k: How many to return at most; at least 1.

    Raises:
        RequestError: ``top_k`` is less than 1.
    """
    if top_k < 1:
        message = f"top_k must be 1 or more, not {top_k}."
        raise RequestError(message)
    distinct = first_occurrences(candidate)
    scored = rows.scored[distinct]
    ranked, excluded = distinct[scored], distinct[~scored]
    order = ranked[order_by_score(rows.score[ranked])]
    best = order[:top_k]
    score = np.minimum.accumulate(rows.score[best])  # within a tie, the last bits may not descend
    return Ranking(candidate[best], score, candidate[excluded], best, order)
