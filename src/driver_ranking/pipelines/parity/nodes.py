"""The nodes of pipeline ``parity``."""

import json
import logging
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from driver_ranking.errors import ParityError, PredictionLogError, RequestError
from driver_ranking.feature_store.library_errors import own_errors

if TYPE_CHECKING:
    from feast import FeatureStore
    from plotly.graph_objects import Figure

    from driver_ranking.datasets.prediction_log import PredictionLogRows
    from driver_ranking.model import ModelRegistry

logger = logging.getLogger(__name__)


def compare(  # noqa: PLR0913, PLR0917 - what a comparison is made of
    prediction_log: "PredictionLogRows",
    feature_store: "FeatureStore",
    champion_model: "ModelRegistry",
    since: str | date | int | None,
    until: str | date | int | None,
    sample: int | None,
) -> dict[str, Any]:
    """Compare what was answered online with what materializations brought, and with what is known now.

    Args:
        prediction_log: The log of the online service.
        feature_store: The applied feature store.
        champion_model: The registry of the model; answers are scored with the versions that gave them.
        since: The first moment; None for all that is logged. ISO 8601, UTC where it has no offset.
        until: The moment after the last; likewise.
        sample: Instead of the log, how many keys are read now, both ways, with the version in use.

    Returns:
        The report.

    Raises:
        RequestError: A time or a number can't be read.
        PredictionLogError: The log has no rows of this span.
        FeatureStoreError: The feature repo keeps no ledger, or its features can't be joined again.
        ModelError: A version can't be loaded, or fails.
    """
    from driver_ranking.parity.answers import chunks
    from driver_ranking.parity.comparing import Comparison
    from driver_ranking.parity.report import report_of
    from driver_ranking.parity.sampling import sampled
    from feast_columnar.ledger.settings import open_ledger

    begin, end = _time(since, "since"), _time(until, "until")
    with own_errors():
        comparison = Comparison(feature_store, champion_model, open_ledger(feature_store), begin)
    if sample is None:
        found = chunks(prediction_log.batches(begin, end))
    else:
        found = iter([sampled(feature_store, champion_model, _count(sample))])
    report = report_of(comparison.run(found))
    if not report["rows"]:
        message = (
            f"The prediction log {prediction_log.root} has no answers of this span. Ask the service something, name "
            "another span by `since` and `until`, or compare keys that are read now: `--params sample=1000`."
        )
        raise PredictionLogError(message)
    _tell(report)
    return report


def track(
    parity_report: Mapping[str, Any],
    champion_model: "ModelRegistry",
    parity_causes: "Figure",
    parity_decisions: "Figure",
    parity_freshness: "Figure",
) -> dict[str, float]:
    """Log the report, its figures and its numbers as a run of the model's experiment, and return the numbers.

    Raises:
        ModelError: The registry fails.
    """
    from driver_ranking.parity.report import metrics_of

    metrics = metrics_of(parity_report)
    figures = {"causes.html": parity_causes, "decisions.html": parity_decisions, "freshness.html": parity_freshness}
    texts = {"parity.json": json.dumps(parity_report, indent=2)}
    champion_model.track("parity", metrics, texts, figures)
    return metrics


def require_parity(
    parity_report: Mapping[str, Any], parity_metrics: Mapping[str, float], parity: Mapping[str, int | None]
) -> None:
    """End the run if more differs than is allowed, once all is written and tracked.

    Args:
        parity_report: The report.
        parity_metrics: Its numbers, which are there once they are tracked.
        parity: ``max_unexplained`` and ``max_decisions_changed``; None for no limit.

    Raises:
        ParityError: More rows are faulty, or more answers would have had another best, than is allowed.
    """
    kinds = ", ".join(f"{kind}: {one['rows']}" for kind, one in parity_report["faults"].items())
    figures = {
        "max_unexplained": (int(parity_metrics["unexplained"]), f"rows that nothing explains ({kinds})"),
        "max_decisions_changed": (int(parity_metrics["best_changed"]), "answers that would have had another best"),
    }
    for name, (found, what) in figures.items():
        limit = parity.get(name)
        if limit is not None and found > limit:
            message = (
                f"Parity does not hold: {found} {what}, and parity.{name} allows {limit}. The report, "
                f"data/08_reporting/parity.json, has examples."
            )
            raise ParityError(message)


def _tell(report: Mapping[str, Any]) -> None:
    decisions = report["decisions"]
    logger.info(
        "Compared %d rows of %d answers: %d unexplained. Of the answers, %d would have had another best, %d another "
        "order, %d other exclusions, by what is known now.",
        report["rows"],
        report["requests"],
        report["unexplained"],
        decisions["best_changed"],
        decisions["order_changed"],
        decisions["exclusions_changed"],
    )
    for kind, fault in report["faults"].items():
        logger.warning("%d row(s), %s: %s. The first: %s", fault["rows"], kind, fault["meaning"], fault["examples"][:1])


def _time(value: object, name: str) -> datetime | None:
    if value is None or value == "":
        return None
    try:
        time = datetime.fromisoformat(value.isoformat() if isinstance(value, date) else str(value))
    except ValueError as error:
        message = f"{name}={str(value)[:60]} is not a time such as 2026-06-15T08:00:00+00:00."
        raise RequestError(message) from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        message = f"sample={value} is not a number of keys, from 1 on."
        raise RequestError(message)
    return value
