"""What a difference has done to the answers: the best, the order, who is excluded, the score lost. Pure NumPy."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from driver_ranking.ranking import ranks_within

MOST_PAIRS: Final = 50_000_000
"""How many pairs of candidates are compared at most for the correlation of orders, of one chunk."""


@dataclass(frozen=True)
class Decisions:
    """The answers of m requests beside what they would have been.

    Attributes:
        best_changed: bool ``[m]``, whether another candidate would have been the best, or only one of both has any.
        order_changed: bool ``[m]``, whether any candidate that both rank would have another rank among them.
        exclusions_changed: bool ``[m]``, whether other candidates would have been excluded.
        lost: float64 ``[m]``, by how much the best that was given scores less than the best; NaN where there is no
            best in either, or the one that was given would have been excluded.
        tau: float64 ``[m]``, Kendall's tau of both orders; NaN of less than two candidates, or if it is not computed.
        best: intp ``[m]``, the row of the best that was given; -1 for none.
        other_best: intp ``[m]``, the row of the one that would have been the best; likewise.
    """

    best_changed: NDArray[np.bool_]
    order_changed: NDArray[np.bool_]
    exclusions_changed: NDArray[np.bool_]
    lost: NDArray[np.float64]
    tau: NDArray[np.float64]
    best: NDArray[np.intp]
    other_best: NDArray[np.intp]


def decisions_of(
    request: NDArray[np.intp],
    candidate: NDArray[np.int64],
    rank: NDArray[np.int32],
    score: NDArray[np.float64],
    changed: NDArray[np.bool_] | None = None,
) -> Decisions:
    """Compare the answers with those that other scores would have given, by the rules.

    Args:
        request: ``[n]``, the number of each row's request, from 0, ascending, none left out.
        candidate: ``[n]``, a number for each candidate.
        rank: ``[n]``, the ranks that were given; 0 where a row has none.
        score: ``[n]``, the scores that they would have had; NaN where a row would have been excluded.
        changed: ``[n]``, which rows may have another score; all if not given. Requests without one stay as they are.
    """
    count = int(request[-1]) + 1 if len(request) else 0
    other = _other_ranks(request, candidate, rank, score, changed)
    best, other_best = _best(request, rank, count), _best(request, other, count)
    none = (best < 0) | (other_best < 0)
    best_changed = np.where(none, best != other_best, candidate[best] != candidate[other_best])
    excluded = np.zeros(count, dtype=np.bool_)
    excluded[request[(rank > 0) != (other > 0)]] = True
    lost = np.where(none, np.nan, score[other_best] - score[best])
    both = np.flatnonzero((rank > 0) & (other > 0))
    order_changed, tau = _orders(request[both], rank[both], other[both], count)
    return Decisions(best_changed, order_changed, excluded, np.maximum(lost, 0.0), tau, best, other_best)


def _other_ranks(
    request: NDArray[np.intp],
    candidate: NDArray[np.int64],
    rank: NDArray[np.int32],
    score: NDArray[np.float64],
    changed: NDArray[np.bool_] | None,
) -> NDArray[np.int32]:
    if changed is None:
        return ranks_within(request, candidate, score)
    affected = np.zeros(int(request[-1]) + 1 if len(request) else 0, dtype=np.bool_)
    affected[request[changed]] = True
    rows = affected[request]
    other = rank.copy()
    other[rows] = ranks_within(request[rows], candidate[rows], score[rows])
    return other


def _best(request: NDArray[np.intp], rank: NDArray[np.int32], count: int) -> NDArray[np.intp]:
    best = np.full(count, -1, dtype=np.intp)
    first = np.flatnonzero(rank == 1)
    best[request[first]] = first
    return best


def _orders(
    request: NDArray[np.intp], rank: NDArray[np.int32], other: NDArray[np.int32], count: int
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return whether two orders of each request differ, and Kendall's tau of them."""
    size = np.bincount(request, minlength=count).astype(np.int64)
    differ = np.zeros(count, dtype=np.bool_)
    differ[request[rank != other]] = True
    kept = np.flatnonzero(differ[request])
    order = kept[np.lexsort((rank[kept], request[kept]))]
    request, other = request[order], other[order]
    falls = (request[1:] == request[:-1]) & (other[1:] < other[:-1])
    changed = np.zeros(count, dtype=np.bool_)
    changed[request[1:][falls]] = True
    tau = np.where(size > 1, 1.0, np.nan)
    pairs = np.cumsum(np.where(changed, size * (size - 1) // 2, 0))
    tau[changed & (pairs > MOST_PAIRS)] = np.nan
    counted = changed & (pairs <= MOST_PAIRS)
    rows = counted[request]
    inversions = _inversions(request[rows], other[rows], count)
    tau[counted] = 1.0 - 4.0 * inversions[counted] / (size * (size - 1))[counted]
    return changed, tau


def _inversions(request: NDArray[np.intp], other: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """Return for each request how many pairs stand the other way round; rows are in one order, ranks of the other."""
    found = np.zeros(count, dtype=np.int64)
    longest = int(np.bincount(request).max(initial=0)) if len(request) else 0
    for distance in range(1, longest):
        inverted = (request[distance:] == request[:-distance]) & (other[distance:] < other[:-distance])
        found += np.bincount(request[distance:][inverted], minlength=count)
    return found
