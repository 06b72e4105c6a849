"""The first training, tried before the project is there: on its orders, by the steps of its pipeline."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.dataset as ds

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
    train, test = (ds.dataset(rows) for rows in split_rows(ds.dataset(path), training))
    return evaluate_model(fit_model(train, training), train, test, training)


def is_better_than_the_mean(metrics: Mapping[str, float]) -> bool:
    """Return whether a model passes the rule that no parameter switches off."""
    return metrics["rmse"] < metrics["rmse_of_mean"]
