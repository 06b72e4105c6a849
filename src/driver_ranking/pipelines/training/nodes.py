"""The nodes of pipeline ``training``."""

import json
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
from driver_ranking.pipelines.batch.recorded_defaults import notes_of
from driver_ranking.pipelines.fitting import fitted
from driver_ranking.pipelines.training.comparison import Comparison, Verdict, compare, promote_rule, why_kept_back
from driver_ranking.pipelines.training.estimators import new_pipeline, outcome, require_usable
from driver_ranking.pipelines.training.group_metrics import group_metrics
from driver_ranking.pipelines.training.parameters import require_sound, version_tags
from driver_ranking.pipelines.training.planned import planned_model
from driver_ranking.pipelines.training.rows import (
    REQUEST_FEATURES_KEY,
    TIME_COLUMN,
    errors_of,
    feature_names,
    feature_rows,
    filled_features,
    groups_of,
    label_of,
    signed_rows,
)
from driver_ranking.pipelines.training.split import split_by_time

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from feast import FeatureStore

    from driver_ranking.datasets.entity_rows import EntityRows
    from driver_ranking.feature_store.extraction import ExtractedFeatures
    from driver_ranking.model import ModelRegistry

logger = logging.getLogger(__name__)

_EXAMPLE_ROWS = 5
_CALIBRATION_BINS = 10


def extract_training_rows(
    driver_orders: "EntityRows", feature_store: "FeatureStore", training: Mapping[str, Any]
) -> "ExtractedFeatures":
    """Join the labelled orders to the features of a service, as they were known at each order's time.

    Raises:
        FeatureServiceNotFoundError: The feature repo has no such service.
        RequestError: The orders lack the column of the label or of the groups, or one that the service needs, or have
            one with the name of a feature, or with a type or a value that does not fit what the feature repo declares;
            or the parameters say what can't be.
        ModelTagError: The parameters name a request feature that the service offers as well, or a default of a feature
            that the model does not take, or takes as another type.
        ModelSignatureError: A feature of the service is neither a number nor a text.
    """
    from driver_ranking.feature_store.entity_columns import service_columns
    from driver_ranking.feature_store.extraction import point_in_time_features
    from driver_ranking.feature_store.joinable import DefinedViews, refuse_unjoinable
    from driver_ranking.feature_store.repo import find_service
    from driver_ranking.model_features import features_of

    require_sound(training)
    for what, column in (("label", training["label"]), ("group column", training["group_column"])):
        if column is not None and column not in driver_orders.columns:
            message = f"{driver_orders.filepath}: the {what} {column!r} is not among the columns."
            raise RequestError(message)
    service = find_service(feature_store, training["feature_service"])
    defined = DefinedViews.of_store(feature_store)
    refuse_unjoinable(service, driver_orders.columns, defined)
    planned = planned_model(training, service, service_columns(service, defined), driver_orders)
    features = features_of(planned, service)
    orders = fitted(driver_orders, service, defined, planned, features.requested)
    notes = {REQUEST_FEATURES_KEY: json.dumps(features.requested), **notes_of(features.defaults, planned)}
    return point_in_time_features(feature_store, features.service, orders.rows, orders.columns, notes)


def split_rows(training_rows: ds.Dataset, training: Mapping[str, Any]) -> tuple[pa.Table, pa.Table]:
    """Split the rows that have all features into rows to train on and later ones to test on, each in their order.

    A row with a default for each feature that it lacks has them all.

    Raises:
        RequestError: Too few rows have all their features, or all to be trained on have the time of those to test on.
    """
    from driver_ranking.features import has_all_features

    table = training_rows.to_table()
    complete = np.flatnonzero(has_all_features(filled_features(table)))
    logger.info("%d of %d orders have all features.", complete.size, table.num_rows)
    time = table.column(TIME_COLUMN).cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy()
    train, test = split_by_time(time[complete], training["test_size"])
    return table.take(pa.array(complete[train])), table.take(pa.array(complete[test]))


def fit_model(train_rows: ds.Dataset, training: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any scikit-learn estimator
    """Fit a pipeline that ends with the estimator that the parameters name, on arrays or, with texts, DataFrames.

    Raises:
        RequestError: The estimator is a classifier, and the label has not two values.
        ModelError: The estimator can't be made or fitted, or its model could not be used.
    """
    table = train_rows.to_table()
    features, label = feature_rows(table), label_of(table, training)
    try:
        pipeline = new_pipeline(training, features)
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
        ``rmse``, ``mae``, ``r2``, ``rmse_of_mean``, ``mae_of_mean``, and the numbers of rows; with a group column, also
        what ``group_metrics`` gives, where what is above 0 is a positive.
    """
    test = test_rows.to_table()
    train_label = outcome(fitted_model, label_of(train_rows.to_table(), training))
    label = outcome(fitted_model, label_of(test, training))
    score = estimator_scores(fitted_model, feature_rows(test))
    mean = np.full_like(label, train_label.mean())
    rmse, mae = errors_of(label, score)
    rmse_of_mean, mae_of_mean = errors_of(label, mean)
    variance = float(np.var(label))
    return {
        "rmse": rmse,
        "mae": mae,
        "r2": 1 - rmse**2 / variance if variance else 0.0,
        "rmse_of_mean": rmse_of_mean,
        "mae_of_mean": mae_of_mean,
        "train_rows": float(train_label.size),
        "test_rows": float(label.size),
        **_group_metrics(test, label > 0, score, training),
    }


def compare_with_champion(
    fitted_model: Any,  # noqa: ANN401 - any scikit-learn estimator
    test_rows: ds.Dataset,
    current_champion: "ModelRegistry",
    feature_store: "FeatureStore",
    training: Mapping[str, Any],
) -> dict[str, Any]:
    """Measure the model in use on the test rows that it can score, and the trained model on the same ones.

    Features of another service than the trained model's are extracted for these rows, as known at each row's time.

    Returns:
        The fields of a ``Comparison``.

    Raises:
        ModelError: The registry can't be used.
    """
    compared = compare(fitted_model, test_rows.to_table(), current_champion, feature_store, training)
    if compared.verdict is Verdict.NO_CHAMPION:
        logger.info("There is no champion yet to compare the model with.")
    elif compared.metrics:
        logger.info(
            "On %d held-out rows (%d left out) RMSE is %.6f, and %.6f of version %s.",
            compared.rows,
            compared.rows_left_out,
            compared.rmse,
            compared.champion_rmse,
            compared.champion_version,
        )
    return compared.as_json()


def plot_evaluation(
    fitted_model: Any,  # noqa: ANN401 - any scikit-learn estimator
    test_rows: ds.Dataset,
    training: Mapping[str, Any],
) -> "go.Figure":
    """Plot, for tenths of the test rows by score, the mean score against the share of completed trips."""
    import plotly.graph_objects as go

    table = test_rows.to_table()
    score = estimator_scores(fitted_model, feature_rows(table))
    order = np.argsort(score, kind="stable")
    tenths = [part for part in np.array_split(order, _CALIBRATION_BINS) if part.size]
    label = outcome(fitted_model, label_of(table, training))
    x, y = [float(score[part].mean()) for part in tenths], [float(label[part].mean()) for part in tenths]
    figure = go.Figure([go.Scatter(x=x, y=y, mode="lines+markers", name="model")])
    figure.add_trace(go.Scatter(x=[0, 1], y=[0, 1], mode="lines", name="perfect", line={"dash": "dot"}))
    return figure.update_layout(
        title="Score against outcome on the test rows",
        xaxis_title="mean score",
        yaxis_title=f"mean {training['label']}",
    )


def validate_model(  # noqa: PLR0913, PLR0917 - what a verdict is made of
    fitted_model: Any,  # noqa: ANN401 - any scikit-learn estimator
    train_rows: ds.Dataset,
    evaluation_metrics: Mapping[str, float],
    evaluation_plot: "go.Figure",
    champion_comparison: Mapping[str, Any],
    current_champion: "ModelRegistry",
    training: Mapping[str, Any],
) -> TrainedModel:
    """Judge the model by the thresholds in the parameters, and hand it over to be logged and, if it passed, registered.

    It passes when RMSE and MAE are at most the thresholds and its RMSE is below that of predicting the mean. If it is
    worse than the model in use, or can't be compared with it, it is kept back, unless the parameters say otherwise;
    likewise if the alias has moved since they were compared.
    """
    example = train_rows.head(_EXAMPLE_ROWS)
    names = feature_names(example)
    problems = _problems(evaluation_metrics, training["thresholds"])
    compared = Comparison.of_json(champion_comparison)
    verdict = "failed" if problems else "passed"
    logger.info("Validation %s: %s", verdict, ", ".join(f"{k}={v:.4g}" for k, v in evaluation_metrics.items()))
    return TrainedModel(
        estimator=fitted_model,
        feature_names=names,
        feature_service=training["feature_service"],
        example=signed_rows(example),
        params=_params(training),
        metrics={**evaluation_metrics, **compared.metrics},
        artifacts={"evaluation.html": evaluation_plot.to_html(include_plotlyjs=True)},
        problems=problems,
        trusted_types=tuple(training["trusted_types"]),
        kept_back=why_kept_back(compared, current_champion, promote_rule(training)),
        tags=version_tags(training),
    )


def _group_metrics(
    rows: pa.Table, positive: NDArray[np.bool_], score: NDArray[np.float64], training: Mapping[str, Any]
) -> dict[str, float]:
    if training["group_column"] is None:
        return {}
    group = groups_of(rows, training)
    metrics = group_metrics(group, positive, score, k=training["ndcg_k"], seed=training["seed"])
    if not metrics["ranked_groups"]:
        logger.warning(
            "No %s among the test rows has several candidates and a positive one: the order is not evaluated.",
            training["group_column"],
        )
    return metrics


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
    return {"estimator": training["estimator"]["class"], **estimator, **rest, **version_tags(training)}
