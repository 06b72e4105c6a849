"""The plots of pipeline ``parity``."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import plotly.graph_objects as go


def plot_causes(parity_report: Mapping[str, Any]) -> "go.Figure":
    """Plot for each feature how many rows differ from what is known now, by cause."""
    import plotly.graph_objects as go

    features = parity_report["features"]
    causes = sorted({cause for one in features.values() for cause, count in one["causes"].items() if count})
    names = list(features)
    equal = [one["as_of_the_read"]["equal"] for one in features.values()]
    bars = [go.Bar(name="equal", x=names, y=equal, marker_color="lightgrey")]
    bars += [go.Bar(name=cause, x=names, y=[one["causes"][cause] for one in features.values()]) for cause in causes]
    title = f"{parity_report['rows']} rows as of the read: {parity_report['unexplained']} unexplained"
    figure = go.Figure(bars)
    return figure.update_layout(title=title, barmode="stack", xaxis_title="feature", yaxis_title="rows")


def plot_decisions(parity_report: Mapping[str, Any]) -> "go.Figure":
    """Plot how many answers would have been others, by what is known now, and why."""
    import plotly.graph_objects as go

    decisions = parity_report["decisions"]
    shown = {
        "best": decisions["best_changed"],
        "order": decisions["order_changed"],
        "exclusions": decisions["exclusions_changed"],
    }
    shown |= {f"best: {cause}": count for cause, count in decisions["best_changed_by_cause"].items() if count}
    figure = go.Figure([go.Bar(x=list(shown), y=list(shown.values()))])
    title = f"Of {decisions['requests']} answers, by what is known now, another ..."
    return figure.update_layout(title=title, xaxis_title="", yaxis_title="answers")


def plot_freshness(parity_report: Mapping[str, Any]) -> "go.Figure":
    """Plot which share of the decisions that staleness changed would be left if what was brought were fresher."""
    import plotly.graph_objects as go

    freshness = parity_report["freshness"]
    points = [(seconds, share) for seconds, share in freshness["share_left_by_seconds"] if seconds is not None]
    figure = go.Figure([go.Scatter(x=[one / 60 for one, _ in points], y=[share for _, share in points], mode="lines")])
    half = freshness["seconds_that_would_halve_them"]
    said = "none" if half is None else f"half of them with features no older than {half / 60:.0f} minutes"
    title = f"{freshness['decisions_changed_by_staleness']} decisions changed by staleness; {said}"
    return figure.update_layout(
        title=title, xaxis_title="age of what was brought, minutes", yaxis_title="share that is left"
    )
