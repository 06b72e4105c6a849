"""Pipeline ``parity``: what was answered online, compared with the feature store, the model and the rules."""

from driver_ranking.pipelines.parity.pipeline import create_pipeline

__all__ = ["create_pipeline"]
