"""The pipeline ``materialize``: update_feature_store, materialize."""

from kedro.pipeline import Node, Pipeline

from driver_ranking.pipelines.materialize.nodes import materialize
from driver_ranking.pipelines.update_feature_store import update_feature_store_node


def create_pipeline() -> Pipeline:
    """Return the pipeline."""
    return Pipeline(
        [
            update_feature_store_node(),
            Node(
                materialize,
                inputs=["feature_store", "params:start", "params:end"],
                outputs="materialization",
                name="materialize",
            ),
        ]
    )
