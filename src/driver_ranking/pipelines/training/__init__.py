"""Pipeline ``training``: fit a model on labelled orders, validate it, and register it as the champion."""

from driver_ranking.pipelines.training.pipeline import create_pipeline

__all__ = ["create_pipeline"]
