"""The pipeline ``reporting``: plots of the batch output, apart from it so that no batch run waits for them."""

from kedro.pipeline import Node, Pipeline

from driver_ranking.pipelines.reporting.nodes import plot_score_distribution, plot_top_drivers


def create_pipeline() -> Pipeline:
    """Return the pipeline."""
    return Pipeline(
        [
            Node(
                plot_score_distribution,
                inputs="batch_output",
                outputs="score_distribution",
                name="plot_score_distribution",
            ),
            Node(
                plot_top_drivers,
                inputs=["batch_output", "params:top_drivers", "params:top_drivers_key"],
                outputs="top_drivers",
                name="plot_top_drivers",
            ),
        ]
    )
