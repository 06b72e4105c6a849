"""Scores of the model in use, of the rows that a trained model is tested on, with features of its own service."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from driver_ranking.errors import ModelError
from driver_ranking.pipelines.fitting import fitted
from driver_ranking.pipelines.training.rows import TIME_COLUMN, feature_names
from driver_ranking.ranking import ScoredRows, score_rows

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore

    from driver_ranking.model import Predictor, RegisteredModel
    from driver_ranking.model_features import ModelFeatures


def champion_scores(
    predictor: "Predictor", rows: pa.Table, feature_store: "FeatureStore", trained_on: str
) -> ScoredRows:
    """Let the champion score rows, with its own defaults of missing features.

    Args:
        predictor: The champion.
        rows: Rows with the features of the trained model.
        feature_store: The applied feature store.
        trained_on: The feature service of the trained model.

    Raises:
        ModelError: It can score none of them, or gives a score that is not a finite number.
        RequestError: The rows lack what it takes of a request.
    """
    from driver_ranking.feature_store.entity_columns import require_request_features
    from driver_ranking.feature_store.repo import find_service
    from driver_ranking.model_features import features_of
    from driver_ranking.scoring import feature_matrix

    champion = predictor.model
    service = find_service(feature_store, champion.feature_service)
    features = features_of(champion, service)
    require_request_features(champion, features.requested, tuple(rows.column_names))
    if champion.feature_service != trained_on or not set(champion.feature_names) <= set(feature_names(rows)):
        rows = _extracted(champion, rows, feature_store, service, features)
    (batch,) = rows.combine_chunks().to_batches()
    matrix = feature_matrix(batch, champion, lambda row: f"held-out row {row + 1}")
    scored = score_rows(matrix, predictor.predict, features.defaults)
    if not scored.scored.any():
        message = "No held-out row has all of its features."
        raise ModelError(message)
    return scored


def _extracted(
    champion: "RegisteredModel",
    rows: pa.Table,
    feature_store: "FeatureStore",
    service: "FeatureService",
    features: "ModelFeatures",
) -> pa.Table:
    """Join rows to the features of the champion's service, as they were known at each row's time."""
    import pyarrow.parquet as pq

    from driver_ranking.datasets.entity_rows import EntityRowsDataset
    from driver_ranking.feature_store.extraction import feature_columns, point_in_time_features
    from driver_ranking.feature_store.joinable import DefinedViews, refuse_unjoinable

    with tempfile.TemporaryDirectory(prefix="driver_ranking_held_out_") as folder:
        asked, answered = Path(folder) / "rows.parquet", Path(folder) / "features.parquet"
        pq.write_table(rows.drop_columns(list(feature_columns(rows.schema))), asked)
        entity_rows = EntityRowsDataset(filepath=str(asked), timestamp_column=TIME_COLUMN).load()
        defined = DefinedViews.of_store(feature_store)
        refuse_unjoinable(service, entity_rows.columns, defined)
        wanted = fitted(entity_rows, service, defined, champion, features.requested)
        job = point_in_time_features(feature_store, features.service, wanted.rows, wanted.columns, {})
        job.write_parquet(str(answered))
        return pq.read_table(answered, memory_map=False)
