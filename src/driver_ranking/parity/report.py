"""What a comparison has found, as it is written down."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from driver_ranking.parity.faults import MEANINGS
from driver_ranking.parity.sketch import Sketch
from driver_ranking.parity.tallies import Tally, named


def report_of(tally: Tally) -> dict[str, Any]:
    """Return the report: counts, causes, effects, faults. Nothing in it depends on how the log was cut into pieces."""
    faults = tally.faults
    return {
        "span": {"first_read": _time(tally.first), "last_read": _time(tally.last)},
        "rows": tally.rows,
        "requests": tally.decisions.requests,
        "model_versions": dict(sorted(tally.versions.items())),
        "statuses": dict(sorted(tally.statuses.items())),
        "unexplained": faults.unexplained,
        "faults": {
            kind: {"rows": faults.kinds[kind], "meaning": MEANINGS[kind], "examples": faults.examples.get(kind, [])}
            for kind in MEANINGS
            if faults.kinds[kind]
        },
        "missing_rows": faults.missing_rows,
        "rows_rounded_otherwise": tally.rounded_scores,
        "rows_by_cause": {view: named(causes) for view, causes in tally.row_causes.items()},
        "features": {name: one.described() for name, one in tally.features.items()},
        "decisions": tally.decisions.described(),
        "freshness": _freshness(tally),
    }


def _freshness(tally: Tally) -> dict[str, Any]:
    """Return how old what was brought is when it is read, and how old it may be to halve what staleness changes."""
    available = tally.decisions.available
    return {
        "seconds_since_the_last_event_time_brought": {
            view: one.described((0.5, 0.9, 0.99, 1.0)) for view, one in tally.lag.items()
        },
        "decisions_changed_by_staleness": available.count,
        "seconds_that_would_halve_them": available.quantile(0.5),
        "share_left_by_seconds": [[seconds, share] for share, seconds in _curve(available)],
    }


def _curve(available: Sketch) -> list[tuple[float, float | None]]:
    """Return up to which age of what was brought which share of the changed decisions would be left.

    A decision is right again where what was brought is no older than the rows had been there.
    """
    return [(share, available.quantile(share)) for share in (0.0, 0.05, *(n / 10 for n in range(1, 10)), 0.95, 1.0)]


def _time(micros: int | None) -> str | None:
    return None if micros is None else datetime.fromtimestamp(micros / 1e6, tz=UTC).isoformat()


def metrics_of(report: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of a report that are tracked from run to run, in names that MLflow takes."""
    decisions = report["decisions"]
    found: dict[str, Any] = {
        "rows": report["rows"],
        "requests": report["requests"],
        "unexplained": report["unexplained"],
        "best_changed": decisions["best_changed"],
        "order_changed": decisions["order_changed"],
        "exclusions_changed": decisions["exclusions_changed"],
        "score_lost": decisions["score_lost"]["total"],
        "kendall_tau": decisions["kendall_tau"]["mean"],
        "seconds_that_would_halve_changes": report["freshness"]["seconds_that_would_halve_them"],
    }
    for name, feature in report["features"].items():
        for side in ("as_of_the_materialization", "as_of_the_read"):
            found |= {f"{name}/{side}/{what}": feature[side][what] for what in ("mismatch", "smape")}
        found |= {f"{name}/cause/{cause}": count for cause, count in feature["causes"].items() if count}
    return {name: float(value) for name, value in found.items() if value is not None}
