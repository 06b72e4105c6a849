"""The sets of features that models are bound to: a model's tag `feature_service` names one of these."""

from feast import FeatureService

from feature_views import driver_for_trip, driver_stats, zone_stats

driver_ranking_v1 = FeatureService(
    name="driver_ranking_v1",
    features=[driver_stats],
    description="What the driver-ranking model takes",
)
driver_ranking_v2 = FeatureService(
    name="driver_ranking_v2",
    features=[driver_stats, zone_stats, driver_for_trip],
    description="What a model takes that ranks drivers for a trip",
)
