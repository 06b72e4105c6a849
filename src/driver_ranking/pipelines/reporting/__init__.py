"""Pipeline ``reporting``: plots of the last batch output."""

from driver_ranking.pipelines.reporting.pipeline import create_pipeline

__all__ = ["create_pipeline"]
