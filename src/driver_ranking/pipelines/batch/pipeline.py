"""The pipeline ``batch``: update_feature_store, extract_features, predict."""

from kedro.pipeline import Node, Pipeline

from driver_ranking.pipelines.batch.nodes import extract_features, predict
from driver_ranking.pipelines.update_feature_store import CHECKED_FIRST, update_feature_store_node


def create_pipeline() -> Pipeline:
    """Return the pipeline; each dataset between its nodes is a file, so that each node can be a task of its own."""
    return Pipeline(
        [
            update_feature_store_node(),
            Node(
                extract_features,
                inputs=[
                    "batch_request",
                    "feature_store",
                    "champion_model",
                    "params:batch_request",
                    "params:as_known_at",
                ],
                outputs="batch_input",
                name="extract_features",
                tags=CHECKED_FIRST,
            ),
            Node(
                predict,
                inputs=[
                    "batch_input",
                    "champion_model",
                    "params:best_rows_logged",
                    "params:batch_request",
                    "params:as_known_at",
                ],
                outputs="batch_output",
                name="predict",
            ),
        ]
    )
