"""The pipeline ``training``: from labelled orders to a registered model."""

from kedro.pipeline import Node, Pipeline

from driver_ranking.pipelines.training.nodes import (
    compare_with_champion,
    evaluate_model,
    extract_training_rows,
    fit_model,
    plot_evaluation,
    split_rows,
    validate_model,
)
from driver_ranking.pipelines.update_feature_store import CHECKED_FIRST, update_feature_store_node


def create_pipeline() -> Pipeline:
    """Return the pipeline; each dataset between its nodes is a file, so that each node can be a task of its own."""
    return Pipeline(
        [
            update_feature_store_node(),
            Node(
                extract_training_rows,
                inputs=["driver_orders", "feature_store", "params:training"],
                outputs="training_rows",
                name="extract_training_rows",
                tags=CHECKED_FIRST,
            ),
            Node(
                split_rows,
                inputs=["training_rows", "params:training"],
                outputs=["train_rows", "test_rows"],
                name="split_rows",
            ),
            Node(fit_model, inputs=["train_rows", "params:training"], outputs="fitted_model", name="fit_model"),
            Node(
                evaluate_model,
                inputs=["fitted_model", "train_rows", "test_rows", "params:training"],
                outputs="evaluation_metrics",
                name="evaluate_model",
            ),
            Node(
                plot_evaluation,
                inputs=["fitted_model", "test_rows", "params:training"],
                outputs="evaluation_plot",
                name="plot_evaluation",
            ),
            Node(
                compare_with_champion,
                inputs=["fitted_model", "test_rows", "current_champion", "feature_store", "params:training"],
                outputs="champion_comparison",
                name="compare_with_champion",
            ),
            Node(
                validate_model,
                inputs=[
                    "fitted_model",
                    "train_rows",
                    "evaluation_metrics",
                    "evaluation_plot",
                    "champion_comparison",
                    "current_champion",
                    "params:training",
                ],
                outputs="champion_model",
                name="validate_model",
            ),
        ]
    )
