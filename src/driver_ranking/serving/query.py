"""What a request asks the ranking for, in columns, alone and together with others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

NOT_GIVEN: NDArray[np.object_] = np.array([None], dtype=object)
"""A request feature that was left out."""


@dataclass(frozen=True, eq=False)
class RankingQuery:
    """Candidates to rank, with what else the request says of them. Checked against the contract.

    Attributes:
        candidate: The candidates ``[n]``, n at least 1: int64, or objects (str or bytes).
        keys: The other keys by name, ``[1]`` or ``[n]``: int64, or objects; none is missing.
        request: The request features by name, ``[1]`` or ``[n]``: float64 with NaN, int64, bool, or objects with None
            where a value is missing. All of the contract's are there; one that may be left out, and was, is ``[1]``,
            missing.
    """

    candidate: NDArray[Any]
    keys: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    request: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of candidates."""
        return len(self.candidate)

    @property
    def is_integers(self) -> bool:
        """Return whether it has int64 candidates and nothing else."""
        return not self.keys and not self.request and self.candidate.dtype == np.int64


def joined(queries: Sequence[RankingQuery]) -> tuple[RankingQuery, NDArray[np.intp]]:
    """Return one query for several of one contract, and which of its candidates theirs are, one after the other.

    Integers that say all are asked for once each. What depends on other columns is not looked at, and stays apart.
    """
    if all(one.is_integers for one in queries):
        distinct, places = np.unique(np.concatenate([one.candidate for one in queries]), return_inverse=True)
        return RankingQuery(distinct), places
    whole = RankingQuery(
        concatenated([one.candidate for one in queries]),
        {name: concatenated([of_all(one.keys[name], len(one)) for one in queries]) for name in queries[0].keys},
        {name: concatenated([of_all(one.request[name], len(one)) for one in queries]) for name in queries[0].request},
    )
    return whole, np.arange(len(whole))


def is_missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which values of a request feature are missing, bool of its length: NaN and None are."""
    if values.dtype.kind == "f":
        return np.asarray(np.isnan(values))
    if values.dtype.kind != "O":
        return np.zeros(len(values), dtype=np.bool_)
    return np.array([one is None or one != one for one in values.tolist()], dtype=np.bool_)  # noqa: PLR0124 - NaN


def as_objects(values: NDArray[Any]) -> NDArray[np.object_]:
    """Return values as objects, None for those that are missing."""
    found = values.astype(object)
    found[is_missing(values)] = None
    return found


def of_all(values: NDArray[Any], count: int) -> NDArray[Any]:
    """Return a column of n rows, of those or of the one that there is for all."""
    return values if len(values) == count else np.repeat(values, count)


def concatenated(columns: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return one column. Those of different types have missing values: between numbers NumPy would round integers."""
    if len({column.dtype for column in columns}) > 1:
        columns = [as_objects(column) for column in columns]
    return np.concatenate(columns)
