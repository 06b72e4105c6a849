"""The nodes of pipeline ``training``."""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from numpy.typing import NDArray

from driver_ranking.errors import DriverRankingError, ModelError, RequestError
from driver_ranking.model import TrainedModel
from driver_ranking.model_logging import estimator_scores
from driver_ranking.pipelines.training.estimators import new_pipeline, outcome, require_usable

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from feast import FeatureStore

    from driver_ranking.datasets.entity_rows import EntityRows
    from driver_ranking.feature_store.extraction import ExtractedFeatures

logger = logging.getLogger(__name__)

_EXAMPLE_ROWS = 5
_CALIBRATION_BINS = 10


def extract_training_rows(
    driver_orders: "EntityRows", feature_store: "FeatureStore", training: Mapping[str, Any]
) -> "ExtractedFeatures":
    """Join the labelled orders to the features of a service, as they were known at each order's time.

    Raises:
        FeatureServiceNotFoundError: The feature repo has no such service.
        RequestError: The orders have no label column, or a column with the name of a feature.
    """
    from driver_ranking.feature_store.extraction import point_in_time_features
    from driver_ranking.feature_store.joinable import DefinedViews, refuse_unjoinable
    from driver_ranking.feature_store.repo import features_for, find_service

    if training["label"] not in driver_orders.columns:
        message = f"{driver_orders.filepath}: the label {training['label']!r} is not among the columns."
        raise RequestError(message)
    service = find_service(feature_store, training["feature_service"])
    refuse_unjoinable(service, driver_orders.columns, DefinedViews.of_store(feature_store))
    features = features_for(service)
    return point_in_time_features(feature_store, features, driver_orders.sql, driver_orders.columns, {})


def split_rows(training_rows: ds.Dataset, training: Mapping[str, Any]) -> tuple[pa.Table, pa.Table]:
    """Split the rows that have all features into rows to train on and rows to test on, at random but seeded.

    Raises:
        RequestError: Too few rows have all their features.
    """
    from sklearn.model_selection import train_test_split

    from driver_ranking.ranking import has_all_features

    table = training_rows.to_table()
    complete = np.flatnonzero(has_all_features(_matrix(table, _feature_names(table))))
    logger.info("%d of %d orders have all features.", complete.size, table.num_rows)
    try:
        train, test = train_test_split(complete, test_size=training["test_size"], random_state=training["seed"])
    except ValueError as error:
        message = f"{complete.size} orders with all features can't be split: {error}"
        raise RequestError(message) from error
    return table.take(pa.array(train)), table.take(pa.array(test))


def fit_model(train_rows: ds.Dataset, training: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any scikit-learn estimator
    """Fit a pipeline of a scaler and the estimator that the parameters name, on float64 arrays.

    Raises:
        RequestError: The estimator is a classifier, and the label has not two values.
        ModelError: The estimator can't be made or fitted, or its model could not be used.
    """
    table = train_rows.to_table()
    features, label = _matrix(table, _feature_names(table)), _label(table, training)
    try:
        pipeline = new_pipeline(training)
        require_usable(pipeline, features, label, training)
        return pipeline.fit(features, label)
    except DriverRankingError:
        raise
    except Exception as error:  # whatever the library of the estimator raises
        message = f"The estimator {training['estimator']['class']!r} can't be made or fitted: {error}"
        raise ModelError(message) from error


def evaluate_model(
    fitted_model: Any,  # noqa: ANN401 - any scikit-learn estimator
    train_rows: ds.Dataset,
    test_rows: ds.Dataset,
    training: Mapping[str, Any],
) -> dict[str, float]:
    """Measure the model's scores on the test rows, beside always predicting the mean of the training rows.

    A classifier's score is the probability of its second class, measured against 1 for that class and 0 for the other.

    Returns:
        ``rmse``, ``mae``, ``r2``, ``rmse_of_mean``, ``mae_of_mean``, and the numbers of rows.
    """
    test = test_rows.to_table()
    train_label = outcome(fitted_model, _label(train_rows.to_table(), training))
    label = outcome(fitted_model, _label(test, training))
    score = estimator_scores(fitted_model, _matrix(test, _feature_names(test)))
    mean = np.full_like(label, train_label.mean())
    rmse, mae = _errors(label, score)
    rmse_of_mean, mae_of_mean = _errors(label, mean)
    variance = float(np.var(label))
    return {
        "rmse": rmse,
        "mae": mae,
        "r2": 1 - rmse**2 / variance if variance else 0.0,
        "rmse_of_mean": rmse_of_mean,
        "mae_of_mean": mae_of_mean,
        "train_rows": float(train_label.size),
        "test_rows": float(label.size),
    }


def plot_evaluation(
    fitted_model: Any,  # noqa: ANN401 - any scikit-learn estimator
    test_rows: ds.Dataset,
    training: Mapping[str, Any],
) -> "go.Figure":
    """Plot, for tenths of the test rows by score, the mean score against the share of completed trips."""
    import plotly.graph_objects as go

    table = test_rows.to_table()
    score = estimator_scores(fitted_model, _matrix(table, _feature_names(table)))
    order = np.argsort(score, kind="stable")
    tenths = [part for part in np.array_split(order, _CALIBRATION_BINS) if part.size]
    label = outcome(fitted_model, _label(table, training))
    x, y = [float(score[part].mean()) for part in tenths], [float(label[part].mean()) for part in tenths]
    figure = go.Figure([go.Scatter(x=x, y=y, mode="lines+markers", name="model")])
    figure.add_trace(go.Scatter(x=[0, 1], y=[0, 1], mode="lines", name="perfect", line={"dash": "dot"}))
    return figure.update_layout(
        title="Score against outcome on the test rows",
        xaxis_title="mean score",
        yaxis_title=f"mean {training['label']}",
    )


def validate_model(
    fitted_model: Any,  # noqa: ANN401 - any scikit-learn estimator
    train_rows: ds.Dataset,
    evaluation_metrics: Mapping[str, float],
    evaluation_plot: "go.Figure",
    training: Mapping[str, Any],
) -> TrainedModel:
    """Judge the model by the thresholds in the parameters, and hand it over to be logged and, if it passed, registered.

    It passes when RMSE and MAE are at most the thresholds and its RMSE is below that of predicting the mean.
    """
    example = train_rows.head(_EXAMPLE_ROWS)
    names = _feature_names(example)
    problems = _problems(evaluation_metrics, training["thresholds"])
    verdict = "failed" if problems else "passed"
    logger.info("Validation %s: %s", verdict, ", ".join(f"{k}={v:.4g}" for k, v in evaluation_metrics.items()))
    return TrainedModel(
        estimator=fitted_model,
        feature_names=names,
        feature_service=training["feature_service"],
        example=_matrix(example, names),
        params=_params(training),
        metrics=evaluation_metrics,
        artifacts={"evaluation.html": evaluation_plot.to_html(include_plotlyjs=True)},
        problems=problems,
        trusted_types=tuple(training["trusted_types"]),
    )


def _problems(metrics: Mapping[str, float], thresholds: Mapping[str, float]) -> tuple[str, ...]:
    """Return why a model must not be registered; NaN fails every comparison."""
    problems = [
        f"{name.upper()} {metrics[name]:.4f} is not at most the threshold {limit:.4f}."
        for name, limit in thresholds.items()
        if not metrics[name] <= limit
    ]
    if not metrics["rmse"] < metrics["rmse_of_mean"]:
        problems.append(
            f"RMSE {metrics['rmse']:.4f} is not below {metrics['rmse_of_mean']:.4f} of predicting the mean."
        )
    return tuple(problems)


def _params(training: Mapping[str, Any]) -> dict[str, object]:
    estimator = {f"estimator.{key}": value for key, value in training["estimator"]["arguments"].items()}
    rest = {key: training[key] for key in ("feature_service", "label", "seed", "test_size")}
    return {"estimator": training["estimator"]["class"], **estimator, **rest}


def _feature_names(table: pa.Table) -> tuple[str, ...]:
    from driver_ranking.feature_store.extraction import feature_columns

    return feature_columns(table.schema)


def _matrix(table: pa.Table, names: tuple[str, ...]) -> NDArray[np.float64]:
    columns = [table.column(name).cast(pa.float64()).to_numpy() for name in names]
    return np.column_stack(columns)


def _label(table: pa.Table, training: Mapping[str, Any]) -> NDArray[np.float64]:
    return np.asarray(table.column(training["label"]).cast(pa.float64()).to_numpy(), dtype=np.float64)


def _errors(label: NDArray[np.float64], score: NDArray[np.float64]) -> tuple[float, float]:
    """Return the root of the mean squared error, and the mean absolute error."""
    difference = score - label
    return float(np.sqrt(np.mean(difference**2))), float(np.mean(np.abs(difference)))
