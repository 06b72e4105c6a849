"""Quantiles of any number of values in bounded memory, each within a hundredth of the value that it stands for."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_GAMMA: Final = np.log(1.02)
_SMALLEST: Final = 1e-15  # what is nearer to zero counts as zero
SHARES: Final = (0.5, 0.9, 0.95, 0.99, 1.0)


@dataclass
class Sketch:
    """How many values are in which bucket; buckets grow with the values, as in DDSketch.

    Attributes:
        counts: By bucket: 0 for zero, signed numbers of others.
        count: How many values.
        total: Their sum.
        least: The smallest.
        most: The largest.
    """

    counts: dict[int, int] = field(default_factory=dict)
    count: int = 0
    total: float = 0.0
    least: float = np.inf
    most: float = -np.inf

    def add(self, values: NDArray[np.float64]) -> None:
        """Take finite values."""
        if not len(values):
            return
        self.count += len(values)
        self.total += float(values.sum())
        self.least, self.most = min(self.least, float(values.min())), max(self.most, float(values.max()))
        size = np.abs(values)
        # what is nearest to zero has bucket 1 or -1
        bucket = np.floor(np.log(np.maximum(size, _SMALLEST) / _SMALLEST) / _GAMMA).astype(np.int64) + 1
        bucket = np.where(size < _SMALLEST, 0, np.where(values < 0, -bucket, bucket))
        for one, many in zip(*(found.tolist() for found in np.unique(bucket, return_counts=True)), strict=True):
            self.counts[one] = self.counts.get(one, 0) + many

    def quantile(self, share: float) -> float | None:
        """Return the value below which a share of the values is; None of no values."""
        if share in {0.0, 1.0} and self.count:
            return self.most if share else self.least
        wanted, seen = max(1, int(np.ceil(share * self.count))), 0
        for bucket in sorted(self.counts):
            seen += self.counts[bucket]
            if seen >= wanted:
                return min(self.most, max(self.least, _value(bucket)))
        return None

    @property
    def mean(self) -> float | None:
        """Return the mean; None of no values."""
        return self.total / self.count if self.count else None

    def described(self, shares: Iterable[float] = SHARES) -> dict[str, Any]:
        """Return the number of values, their mean and some quantiles."""
        quantiles = {f"p{share * 100:g}": self.quantile(share) for share in shares}
        return {"count": self.count, "mean": self.mean, **quantiles}


def _value(bucket: int) -> float:
    if bucket == 0:
        return 0.0
    return float(np.sign(bucket) * _SMALLEST * np.exp((abs(bucket) - 0.5) * _GAMMA))
