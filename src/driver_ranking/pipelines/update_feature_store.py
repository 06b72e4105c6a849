"""The node that each pipeline starts with: bring the feature store to what the feature repo defines."""

import logging
from typing import TYPE_CHECKING

from kedro.pipeline import Node

from driver_ranking.errors import FeatureStoreError

if TYPE_CHECKING:
    from feast.repo_contents import RepoContents

logger = logging.getLogger(__name__)

CHECKED_FIRST = "checked_first"
"""Tag of the nodes whose inputs are checked before a run changes anything."""


def update_feature_store(feature_definitions: "RepoContents") -> "RepoContents":
    """Hand what the feature repo defines over to the feature store, which applies it as ``feast apply`` does.

    Raises:
        FeatureStoreError: The repo defines no feature service, so no model can be bound to it.
    """
    services = sorted(service.name for service in feature_definitions.feature_services)
    if not services:
        message = "The feature repo defines no feature service. Define one: models are bound to a service by its name."
        raise FeatureStoreError(message)
    views = len(feature_definitions.feature_views) + len(feature_definitions.on_demand_feature_views)
    logger.info("Applying %d feature view(s) and the feature service(s) %s.", views, ", ".join(services))
    return feature_definitions


def update_feature_store_node() -> Node:
    """Return the node; equal in all pipelines, so that their sum has it once."""
    return Node(
        update_feature_store, inputs="feature_definitions", outputs="feature_store", name="update_feature_store"
    )
