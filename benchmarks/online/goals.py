"""What the online service is to reach, as ratios of rounds in turns."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from measure import ratios, spread
from online.drive import Case, Loaded
from online.world import INT64_IDS

Results = Mapping[tuple[Case, str], Sequence[Loaded]]
InProcess = Mapping[int, Mapping[str, float]]


@dataclass(frozen=True)
class Goal:
    """A ratio and its bounds.

    Attributes:
        text: What is compared.
        values: The ratio in each round.
        goal: The bound.
        stretch: The bound that is hoped for; None for none.
        at_most: Whether less is better.
    """

    text: str
    values: Sequence[float]
    goal: float | None
    stretch: float | None
    at_most: bool = False

    def row(self) -> list[str]:
        """Return the row of its table."""
        bounds = [self._bound(bound) for bound in (self.goal, self.stretch)]
        return [self.text, spread(self.values), *bounds]

    def _bound(self, bound: float | None) -> str:
        if bound is None:
            return ""
        reached = statistics.median(self.values)
        met = reached <= bound if self.at_most else reached >= bound
        return f"{bound:.3g}: {'reached' if met else '**missed**'}"


@dataclass(frozen=True)
class Bound:
    """What the requests/s of ours are to be, of another server's."""

    case: Case
    other: str
    goal: float | None
    stretch: float | None = None


BOUNDS_OF_IDS = (
    Bound(Case("rest", 5, 16), "plain", 4.5),
    Bound(Case("rest", 5, 16), "no-op", 0.42, 0.6),
    Bound(Case("rest", 100, 16), "plain", 3, 6),
    Bound(Case("rest", 1000, 16), "plain", 3, 8),
    Bound(Case("grpc", 5, 16), "plain", 4),
    Bound(Case("grpc", 5, 16), "no-op", 0.55, 0.65),
    Bound(Case("grpc", 100, 16), "plain", 2.8, 6),
)
BOUNDS_OF_TEXTS = tuple(
    Bound(Case(protocol, ids, 16), other, goal)
    for protocol in ("rest", "grpc")
    for ids, other, goal in (
        (5, "plain", None),
        (100, "plain", 6),
        (1000, "plain", None),
        (5, INT64_IDS, 0.7),
        (100, INT64_IDS, 0.7),
        (1000, INT64_IDS, None),
    )
)


def goals(results: Results, in_process: InProcess, bounds: Sequence[Bound]) -> list[Goal]:
    """Return those of which the loads were driven."""
    found = [goal for goal in (*_rates(results, bounds), *_others(results)) if goal.values]
    floor = in_process.get(100, {}).get("raw read")
    ours = results.get((Case("rest", 100, 16), "ours"))
    if floor and ours:
        text = "REST, 100 ids, 16 clients: requests/s to that of raw Redis + NumPy in process"
        found.append(Goal(text, [one.rate * floor / 1e6 for one in ours], None, 0.5))
    return found


def _rates(results: Results, bounds: Sequence[Bound]) -> list[Goal]:
    return [
        Goal(
            f"{one.case.label}: requests/s to {other_name(one.other)}",
            compared(results, one.case, one.other, "rate"),
            one.goal,
            one.stretch,
        )
        for one in bounds
    ]


def other_name(other: str) -> str:
    """Return how a sentence names what belongs to another server."""
    return f"those of {other}" if other == INT64_IDS else f"{other}'s"


def _others(results: Results) -> list[Goal]:
    alone, many = Case("rest", 5, 1), Case("rest", 100, 16)
    memory = [one for (_, name), loads in results.items() if name == "ours" for one in loads]
    plain = [one for (_, name), loads in results.items() if name == "plain" for one in loads]
    last = [max(one.resident for one in memory) / max(one.resident for one in plain)] if memory and plain else []
    return [
        Goal(f"{alone.label}: p50 to plain's", compared(results, alone, "plain", "p50"), 1 / 2, 1 / 3, at_most=True),
        Goal(f"{many.label}: p99 to plain's", compared(results, many, "plain", "p99"), 1 / 4, 1 / 8, at_most=True),
        Goal("resident memory after all loads to plain's", last, 1, 0.9, at_most=True),
    ]


def compared(results: Results, case: Case, other: str, figure: str, name: str = "ours") -> list[float]:
    """Return the ratio of a figure of two servers, round by round; empty where one was not loaded."""
    pair = [[float(getattr(one, figure)) for one in results.get((case, who), ())] for who in (name, other)]
    return ratios(*pair) if all(pair) else []
