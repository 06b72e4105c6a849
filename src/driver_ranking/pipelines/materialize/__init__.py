"""Pipeline ``materialize``: bring features from the offline store to the online store."""

from driver_ranking.pipelines.materialize.pipeline import create_pipeline

__all__ = ["create_pipeline"]
