"""Pipeline ``batch``: score the drivers of a request file with the champion model."""

from driver_ranking.pipelines.batch.pipeline import create_pipeline

__all__ = ["create_pipeline"]
