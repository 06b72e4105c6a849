"""What Prometheus is told of the prediction log."""

from dataclasses import dataclass
from functools import cache

from prometheus_client import Counter, Gauge


@dataclass(frozen=True)
class LogMetrics:
    """The metrics of the prediction log."""

    rows: Counter
    dropped: Counter
    errors: Counter
    waiting: Gauge


@cache
def log_metrics() -> LogMetrics:
    """Return the metrics, registered once a process; not at import, as the service's others."""
    prefix = "driver_ranking_prediction_log"
    return LogMetrics(
        Counter(f"{prefix}_rows", "Rows written to the prediction log, one a candidate of each answer"),
        Counter(f"{prefix}_rows_dropped", "Rows that are not in it: no room to wait, or they could not be written"),
        Counter(f"{prefix}_write_errors", "Failures to write it, each tried again"),
        Gauge(f"{prefix}_queue_rows", "Rows that wait to be written"),
    )
