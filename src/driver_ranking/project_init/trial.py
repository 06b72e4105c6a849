"""The first training, tried before the project is there: on its orders, by the steps of its pipeline."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from driver_ranking.errors import ProjectInitError
from driver_ranking.feature_store.extraction import feature_columns
from driver_ranking.pipelines.training.nodes import (
    evaluate_model,
    extract_training_rows,
    fit_model,
    split_rows,
)

if TYPE_CHECKING:
    from feast import FeatureStore

    from driver_ranking.datasets.entity_rows import EntityRows


def trained_metrics(
    orders: "EntityRows", store: "FeatureStore", training: Mapping[str, Any], scratch: Path
) -> dict[str, float]:
    """Return the metrics of a model that is trained on orders, and thrown away.

    Args:
        orders: The orders.
        store: The applied feature store.
        training: The parameters.
        scratch: A folder for the rows with their features.

    Raises:
        DriverRankingError: They can't be trained on; the message is that of a run.
    """
    path = scratch / "training_rows.parquet"
    extract_training_rows(orders, store, training).write_parquet(str(path))
    _require_features(pq.read_table(path), training["request_features"])
    train, test = (ds.dataset(rows) for rows in split_rows(ds.dataset(path), training))
    return evaluate_model(fit_model(train, training), train, test, training)


def _require_features(rows: pa.Table, request_features: list[str]) -> None:
    """Refuse rows of which none has a feature; that none has all is told by the split."""
    columns = [*feature_columns(rows.schema), *request_features]
    empty = [name for name in columns if rows.column(name).null_count == rows.num_rows]
    if empty:
        message = (
            f"None of the {rows.num_rows} orders has the feature {', '.join(map(repr, empty))}: the sources have no "
            f"row of their keys from before their times that is not older than the ttl of its feature view."
        )
        raise ProjectInitError(message)


def is_better_than_the_mean(metrics: Mapping[str, float]) -> bool:
    """Return whether a model passes the rule that no parameter switches off."""
    return metrics["rmse"] < metrics["rmse_of_mean"]
