"""The sets of features that models are bound to: a model's tag `feature_service` names one of these."""

from feast import FeatureService
from feast.feature_logging import LoggingConfig
from feast.infra.offline_stores.file_source import FileLoggingDestination

from feature_views import driver_for_trip, driver_stats, zone_stats


def prediction_log(service: str) -> LoggingConfig:
    """Return where Feast finds what was served: in the folder that `prediction_log` of model-settings.json names."""
    return LoggingConfig(destination=FileLoggingDestination(path=f"../data/09_prediction_log/{service}"))


driver_ranking_v1 = FeatureService(
    name="driver_ranking_v1",
    features=[driver_stats],
    description="What the driver-ranking model takes",
    logging_config=prediction_log("driver_ranking_v1"),
)
driver_ranking_v2 = FeatureService(
    name="driver_ranking_v2",
    features=[driver_stats, zone_stats, driver_for_trip],
    description="What a model takes that ranks drivers for a trip",
    logging_config=prediction_log("driver_ranking_v2"),
)
