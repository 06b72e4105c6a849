"""The pipeline ``parity``: compare, plot, track, and last end the run if too much differs."""

from kedro.pipeline import Node, Pipeline

from driver_ranking.pipelines.parity.nodes import compare, require_parity, track
from driver_ranking.pipelines.parity.plots import plot_causes, plot_decisions, plot_freshness

_PLOTS = ["parity_causes", "parity_decisions", "parity_freshness"]


def create_pipeline() -> Pipeline:
    """Return the pipeline."""
    return Pipeline(
        [
            Node(
                compare,
                inputs=[
                    "prediction_log",
                    "feature_store",
                    "champion_model",
                    "params:since",
                    "params:until",
                    "params:sample",
                ],
                outputs="parity_report",
                name="compare",
            ),
            Node(plot_causes, inputs="parity_report", outputs="parity_causes", name="plot_causes"),
            Node(plot_decisions, inputs="parity_report", outputs="parity_decisions", name="plot_decisions"),
            Node(plot_freshness, inputs="parity_report", outputs="parity_freshness", name="plot_freshness"),
            Node(
                track,
                inputs=["parity_report", "champion_model", *_PLOTS],
                outputs="parity_metrics",
                name="track_parity",
            ),
            Node(
                require_parity,
                inputs=["parity_report", "parity_metrics", "params:parity"],
                outputs=None,
                name="require_parity",
            ),
        ]
    )
