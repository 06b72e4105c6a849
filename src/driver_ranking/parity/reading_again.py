"""Answers a logged request by the features that the online store has now, as the service would."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driver_ranking.feature_store.online import open_reader
from driver_ranking.feature_store.repo import find_service
from driver_ranking.model_features import ModelFeatures, features_of
from driver_ranking.parity.replaying import LoggedAnswer, Replayed
from driver_ranking.parity.scores import whole
from driver_ranking.ranking import predicted_rows, ranks_within
from driver_ranking.scoring import feature_matrix

if TYPE_CHECKING:
    from feast import FeatureStore

    from driver_ranking.model import ModelRegistry, RegisteredModel
    from feast_columnar.online.features import OnlineFeatures

_TIMEOUT = 10.0


def ask_now(answer: LoggedAnswer, registry: "ModelRegistry", store: "FeatureStore", version: str) -> Replayed:
    """Return what a version answers now.

    Raises:
        FeatureStoreError: The features can't be read.
        ModelError: The version can't be loaded, or fails.
    """
    model = registry.resolve(version)
    features = features_of(model, find_service(store, model.feature_service))
    reader = open_reader(store, features.service, features.stored, timeout=_TIMEOUT)
    try:
        keys = {name: _plain(answer, name) for name in reader.keys}
        request = {name: _plain(answer, name) for name in reader.request}
        found = reader.read(_of_reader(keys), request=request or None)
    finally:
        reader.close()
    batch = pa.record_batch(_columns(answer, model, features, found), names=list(model.feature_names))
    matrix = feature_matrix(batch, model, lambda row: f"candidate {row + 1}")
    rows = predicted_rows(matrix, registry.load(model).predict, features.defaults)
    score = np.where(rows.scored, rows.score, np.nan)
    return Replayed(score, ranks_within(answer.chunk.request, answer.chunk.candidate, score), version)


def _columns(
    answer: LoggedAnswer, model: "RegisteredModel", features: ModelFeatures, found: "OnlineFeatures"
) -> list[pa.Array]:
    numbers = [name for name in features.stored if name not in found.others]
    columns: dict[str, pa.Array] = {
        name: pa.array(found.matrix[:, place], mask=np.isnan(found.matrix[:, place]))
        for place, name in enumerate(numbers)
    }
    columns |= {name: pa.array(values.tolist()) for name, values in found.others.items()}
    columns |= {name: whole(answer.chunk.rows[name]) for name in features.requested}
    return [columns[name] for name in model.feature_names]


def _plain(answer: LoggedAnswer, name: str) -> NDArray[Any]:
    """Return a column as requests have it: integers, or objects with None where a value is missing."""
    column = whole(answer.chunk.rows[name])
    if pa.types.is_integer(column.type) and not column.null_count:
        return np.asarray(column.to_numpy()).astype(np.int64)
    return np.array(column.to_pylist(), dtype=object)


def _of_reader(keys: dict[str, NDArray[Any]]) -> Any:  # noqa: ANN401 - what the reader takes
    only = next(iter(keys.values()))
    return only if len(keys) == 1 and only.dtype == np.int64 else keys
