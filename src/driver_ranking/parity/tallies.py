"""Counts of all that is compared, in bounded memory, and what they say in the end."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driver_ranking.parity.causes import CAUSES, Cause
from driver_ranking.parity.decisions import Decisions
from driver_ranking.parity.features import FeatureColumn, differences, is_rounded
from driver_ranking.parity.sketch import Sketch
from driver_ranking.parity.values import are_same, is_null, numbers

EXAMPLES: Final = 10
"""How many examples of each kind of fault a report has."""


@dataclass
class Compared:
    """A feature on two sides, in Chronon's words.

    Attributes:
        rows: Rows compared.
        equal: Those with one value, or none on both sides.
        mismatch: Those with two.
        missing_online: Those that have none online, and one offline.
        missing_offline: The reverse.
        smape: The sum of the symmetric absolute percentage errors, each from 0 to 2, and of how many rows.
        difference: What was read less what it is compared with.
    """

    rows: int = 0
    equal: int = 0
    mismatch: int = 0
    missing_online: int = 0
    missing_offline: int = 0
    smape: list[float] = field(default_factory=lambda: [0.0, 0.0])
    difference: Sketch = field(default_factory=Sketch)

    def add(self, online: pa.Array, offline: pa.Array) -> None:
        """Count the rows of a chunk."""
        same, no_online, no_offline = are_same(online, offline), is_null(online), is_null(offline)
        self.rows += len(same)
        self.equal += int(same.sum())
        self.mismatch += int((~same & ~no_online & ~no_offline).sum())
        self.missing_online += int((no_online & ~no_offline).sum())
        self.missing_offline += int((~no_online & no_offline).sum())
        ours, theirs = numbers(online), numbers(offline)
        if ours is not None and theirs is not None:
            both = ~no_online & ~no_offline
            self._add_numbers(ours[both], theirs[both])

    def _add_numbers(self, ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> None:
        size = np.abs(ours) + np.abs(theirs)
        differs = np.isfinite(size) & (ours != theirs)
        gap = np.abs(ours - theirs)[differs]
        self.smape[0] += float((2 * gap / size[differs]).sum())
        self.smape[1] += len(ours)
        self.difference.add((ours - theirs)[differs])

    def described(self) -> dict[str, Any]:
        """Return what a report says."""
        counts = {
            name: getattr(self, name) for name in ("rows", "equal", "mismatch", "missing_online", "missing_offline")
        }
        smape = self.smape[0] / self.smape[1] if self.smape[1] else None
        shares = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
        return {**counts, "smape": smape, "difference": self.difference.described(shares)}


@dataclass
class FeatureTally:
    """A feature: beside what was brought, and beside what is known now, with the causes of the differences."""

    brought: Compared = field(default_factory=Compared)
    known: Compared = field(default_factory=Compared)
    causes: Counter[int] = field(default_factory=Counter)

    def add(self, feature: FeatureColumn) -> NDArray[np.int8]:
        """Count the rows of a chunk, and return the cause of each difference from what is known now."""
        self.brought.add(feature.logged, feature.brought)
        self.known.add(feature.logged, feature.known)
        unlike, cause = differences(feature)
        self.causes.update(Counter(cause[unlike].tolist()))
        self.causes[int(Cause.ROUNDING)] += int(is_rounded(feature).sum())
        return cause

    def described(self) -> dict[str, Any]:
        """Return what a report says."""
        return {
            "as_of_the_materialization": self.brought.described(),
            "as_of_the_read": self.known.described(),
            "causes": named(self.causes),
        }


def named(causes: Mapping[int, int]) -> dict[str, int]:
    """Return counts by the names of causes."""
    return {one.name.lower(): causes.get(int(one), 0) for one in CAUSES}


@dataclass
class DecisionTally:
    """The effect on the answers."""

    requests: int = 0
    best_changed: int = 0
    order_changed: int = 0
    exclusions_changed: int = 0
    by_cause: Counter[int] = field(default_factory=Counter)
    lost: Sketch = field(default_factory=Sketch)
    tau: Sketch = field(default_factory=Sketch)
    available: Sketch = field(default_factory=Sketch)

    def add(
        self, decisions: Decisions, causes: Mapping[int, NDArray[np.bool_]], available: NDArray[np.float64]
    ) -> None:
        """Count the answers of a chunk.

        Args:
            decisions: The answers beside what they would have been.
            causes: By cause, bool ``[m]``: which requests have a row that differs for it.
            available: float64 ``[m]``, for how long the stale rows of both bests had been there to be brought, in
                seconds; NaN of requests in which neither is stale.
        """
        changed = decisions.best_changed
        self.requests += len(changed)
        self.best_changed += int(changed.sum())
        self.order_changed += int(decisions.order_changed.sum())
        self.exclusions_changed += int(decisions.exclusions_changed.sum())
        for cause, requests in causes.items():
            self.by_cause[cause] += int((requests & changed).sum())
        lost = decisions.lost[changed]
        self.lost.add(lost[np.isfinite(lost)])
        self.tau.add(decisions.tau[np.isfinite(decisions.tau)])
        late = available[changed]
        self.available.add(late[np.isfinite(late)])

    def described(self) -> dict[str, Any]:
        """Return what a report says."""
        return {
            "requests": self.requests,
            "best_changed": self.best_changed,
            "order_changed": self.order_changed,
            "exclusions_changed": self.exclusions_changed,
            "best_changed_by_cause": named(self.by_cause),
            "score_lost": {"total": self.lost.total, **self.lost.described()},
            "kendall_tau": self.tau.described((0.0, 0.01, 0.05, 0.25, 0.5)),
        }


@dataclass
class FaultTally:
    """What nothing explains.

    Attributes:
        rows: How many rows have a fault.
        missing_rows: How many rows are known to be missing.
        kinds: Rows by kind; a row may have several.
        examples: Some rows of each.
    """

    rows: int = 0
    missing_rows: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def unexplained(self) -> int:
        """Return the number of rows that are faulty, or missing."""
        return self.rows + self.missing_rows

    def room(self, kind: str) -> int:
        """Return how many more examples of a kind are wanted."""
        return EXAMPLES - len(self.examples.get(kind, ()))


@dataclass
class Tally:
    """All that has been compared."""

    rows: int = 0
    rounded_scores: int = 0
    unchecked: Counter[str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    row_causes: dict[str, Counter[int]] = field(default_factory=dict)
    features: dict[str, FeatureTally] = field(default_factory=dict)
    decisions: DecisionTally = field(default_factory=DecisionTally)
    faults: FaultTally = field(default_factory=FaultTally)
    lag: dict[str, Sketch] = field(default_factory=dict)
    first: int | None = None
    last: int | None = None
