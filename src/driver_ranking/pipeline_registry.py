"""The project's pipelines."""

from kedro.pipeline import Pipeline

from driver_ranking.pipelines import batch, materialize, parity, reporting, training


def register_pipelines() -> dict[str, Pipeline]:
    """Return the pipelines by name; ``__default__`` is all but parity, which needs answers.

    Its order is that of the datasets.

    They are named here, not found: Kedro's search loads only the pipeline that a command names, so that a sum of
    others would be empty.
    """
    pipelines = {
        "training": training.create_pipeline(),
        "materialize": materialize.create_pipeline(),
        "batch": batch.create_pipeline(),
        "reporting": reporting.create_pipeline(),
        "parity": parity.create_pipeline(),
    }
    tagged = {name: _tagged(pipeline, pipelines) for name, pipeline in pipelines.items()}
    default = [pipeline for name, pipeline in tagged.items() if name != "parity"]
    return {**tagged, "__default__": sum(default, start=Pipeline([]))}


def _tagged(pipeline: Pipeline, pipelines: dict[str, Pipeline]) -> Pipeline:
    """Tag each node with all pipelines that have it, so that kedro viz can show one of them among all."""
    return Pipeline(
        [node.tag([name for name, other in pipelines.items() if node in other.nodes]) for node in pipeline.nodes]
    )
