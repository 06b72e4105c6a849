"""What Prometheus is told, beside MLServer's own metrics."""

from dataclasses import dataclass
from functools import cache

from prometheus_client import Counter, Gauge, Histogram

_FAST = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
_HOUR, _DAY = 3_600, 86_400
_AGES = (60, 600, _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR, _DAY, 2 * _DAY, 7 * _DAY, 30 * _DAY, 365 * _DAY)


@dataclass(frozen=True)
class Metrics:
    """The metrics of the ranking service."""

    drivers_requested: Counter
    drivers_excluded: Counter
    drivers_unreadable: Counter
    requests_failed: Counter
    feature_age: Histogram
    online_read: Histogram
    predict: Histogram
    ready: Gauge
    model_version: Gauge


@cache
def ranking_metrics() -> Metrics:
    """Return the metrics, registered once a process; not at import, which may come before MLServer's set-up of them."""
    prefix = "driver_ranking"
    return Metrics(
        Counter(f"{prefix}_drivers_requested", "Drivers in requests that were answered"),
        Counter(f"{prefix}_drivers_excluded", "Drivers among them without all features"),
        Counter(f"{prefix}_drivers_unreadable", "Drivers among them of whom the online store has what can't be read"),
        Counter(f"{prefix}_requests_failed", "Requests that were answered with an error", ["status"]),
        Histogram(f"{prefix}_feature_age_seconds", "Age of the oldest feature row used for a request", buckets=_AGES),
        Histogram(f"{prefix}_online_read_seconds", "Online reads, shared by concurrent requests", buckets=_FAST),
        Histogram(f"{prefix}_predict_seconds", "Predictions, shared by concurrent requests", buckets=_FAST),
        Gauge(f"{prefix}_ready", "1 where a model is loaded and the online store can be read, else 0"),
        Gauge(f"{prefix}_model_version", "The registry's number of the version that is served, 0 for none"),
    )


def count_failure(status: int) -> None:
    """Count an answer that is not a success, by the HTTP status that it has or would have."""
    ranking_metrics().requests_failed.labels(status=str(int(status))).inc()
