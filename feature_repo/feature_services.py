"""The sets of features that models are bound to: a model's tag `feature_service` names one of these."""

from feast import FeatureService

from feature_views import driver_stats

driver_ranking_v1 = FeatureService(
    name="driver_ranking_v1",
    features=[driver_stats],
    description="What the driver-ranking model takes",
)
