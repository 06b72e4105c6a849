"""Features that come with the request, and defaults for those that are missing, as a version's tags say, in batch."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import mlflow
import mlflow.sklearn
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow.models import infer_signature
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from support.projects import digests, run_pipeline
from support.trips import SERVICE, expected, register, registry_of, request_rows, typed, write

from driver_ranking.errors import MissingFeatureError, RequestError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore:.*experimental feature")
OUTPUT = "data/07_model_output/batch_output.parquet"
FEATURES = ("trips", "surge", "wait", "km")
TAGS = {"request_features": "surge,km"}
SURGES = ["1.5", "2", "", "0.5", "1", "1", "1"]


def asked(**changed: str) -> list[dict[str, Any]]:
    """Return the rows of the request with a column that no view knows; the second one changed."""
    rows = [row | {"surge": surge} for row, surge in zip(request_rows(), SURGES, strict=True)]
    rows[1] |= changed
    return rows


def score_of(row: dict[str, Any], **defaults: float) -> float | None:
    (trips, wait, _, _), _ = expected(row)
    values = dict(zip(FEATURES, (trips, row["surge"], wait, row["km"]), strict=True))
    filled = [defaults.get(name) if value in {None, ""} else float(value) for name, value in values.items()]
    return None if None in filled else sum(place * value for place, value in enumerate(filled, 1) if value is not None)


def output_of(project: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(project / OUTPUT).to_pylist()
    return rows


def statuses(project: Path) -> list[str]:
    return [row["status"] for row in output_of(project)]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_column_of_the_request_goes_to_the_model(trips: Path, tmp_path: Path, kind: str) -> None:
    register(trips, FEATURES, TAGS)
    rows = asked()
    if kind == "csv":
        request = write(tmp_path / "request.csv", rows)
    else:
        request = str(tmp_path / "request.parquet")
        surge = pa.array([float(value or "nan") for value in SURGES])  # NaN is nothing, as a null is
        pq.write_table(typed(request_rows()).append_column("surge", surge), request)
    run_pipeline(trips, "batch", {"batch_request": request})
    for row, out in zip(rows, output_of(trips), strict=True):
        score = score_of(row)
        assert out["surge"] == (float(row["surge"]) if row["surge"] else None)
        assert out["score"] == (score if score is None else pytest.approx(score, rel=1e-9))
        assert out["status"] == ("missing_features" if score is None else "ok")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"surge": "high"}, "row 2: 'high' in column 'surge' is not a number"),
        ({"surge": "1_0"}, "row 2: '1_0' in column 'surge' is not a number"),
    ],
)
def test_a_faulty_value_is_refused_before_any_work(
    trips: Path, tmp_path: Path, changed: dict[str, str], message: str
) -> None:
    register(trips, FEATURES, TAGS)
    before = digests(trips / "data")
    with pytest.raises(RequestError, match=message):
        run_pipeline(trips, "batch", {"batch_request": write(tmp_path / "request.csv", asked(**changed))})
    assert digests(trips / "data") == before


def test_a_request_feature_that_is_not_there_is_named(trips: Path, tmp_path: Path) -> None:
    register(trips, FEATURES, TAGS)
    message = (
        "lack the column 'surge', which the model 'driver_ranking' version 2 takes from the request; they have 'ev"
    )
    with pytest.raises(RequestError, match=message):
        run_pipeline(trips, "batch", {"batch_request": write(tmp_path / "request.csv", request_rows())})


def test_one_with_a_default_may_be_nowhere_and_is_missing_in_each_row(trips: Path, tmp_path: Path) -> None:
    register(trips, FEATURES, TAGS | {"defaults": json.dumps({"surge": 1.25, "km": 3})})
    rows = request_rows()
    request = {"batch_request": write(tmp_path / "request.csv", rows)}
    run_pipeline(trips, "batch", request)
    for row, out in zip(rows, output_of(trips), strict=True):
        score = score_of(row | {"surge": ""}, surge=1.25, km=3)
        assert out["score"] == (score if score is None else pytest.approx(score, rel=1e-9))
        assert out["status"] == ("missing_features" if score is None else "defaulted")
    # what a view computes from has to be there, whatever stands for it in the model
    rows = [{name: value for name, value in row.items() if name != "km"} for row in rows]
    with pytest.raises(RequestError, match="lack the column 'km', which the on-demand feature view 'fares' takes from"):
        run_pipeline(trips, "batch", {"batch_request": write(tmp_path / "request.csv", rows)})


def test_a_column_that_a_view_offers_is_none_of_the_request(trips: Path, tmp_path: Path) -> None:
    register(trips, FEATURES, TAGS)
    rows = [row | {"wait": "1"} for row in asked()]
    with pytest.raises(RequestError, match="'wait' of the entity rows has the name of a feature"):
        run_pipeline(trips, "batch", {"batch_request": write(tmp_path / "request.csv", rows)})


def test_rows_that_were_extracted_for_a_model_without_request_features_are_not_scored_by_one_with(
    trips: Path, tmp_path: Path
) -> None:
    request = {"batch_request": write(tmp_path / "request.csv", asked())}
    run_pipeline(trips, "batch", request)
    register(trips, FEATURES, TAGS)
    with pytest.raises(
        MissingFeatureError, match="have the request feature 'surge', not read as a number, which the mo"
    ):
        run_pipeline(trips, "batch", {**request, "model_version": "2"}, nodes=["predict"])
    write(tmp_path / "request.csv", request_rows())
    run_pipeline(trips, "batch", {**request, "model_version": "1"})
    with pytest.raises(
        MissingFeatureError, match="lack the request feature 'surge', which the model 'driver_ranking' v"
    ):
        run_pipeline(trips, "batch", {**request, "model_version": "2"}, nodes=["predict"])


def test_defaults_stand_for_what_is_missing_and_the_status_says_so(
    trips: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    defaults = {"surge": 1.25, "wait": 8}
    register(trips, FEATURES, TAGS | {"defaults": json.dumps(defaults)})
    rows = asked()
    request = {"batch_request": write(tmp_path / "request.csv", rows)}
    with caplog.at_level(logging.INFO):
        run_pipeline(trips, "batch", request)
    assert "version 2: 3 ok, 2 defaulted, 2 missing_features." in caplog.text
    expected_status = ["ok", "ok", "defaulted", "ok", "missing_features", "defaulted", "missing_features"]
    assert statuses(trips) == expected_status
    for row, out in zip(rows, output_of(trips), strict=True):
        score = score_of(row, **defaults)
        assert out["score"] == (score if score is None else pytest.approx(score, rel=1e-9))
    assert output_of(trips)[2]["surge"] is None, "what was extracted stays"
    # what was resolved when the rows were extracted holds when they are scored alone
    registry = registry_of(trips)
    mlflow.MlflowClient(registry.location.uri).delete_model_version_tag("driver_ranking", "2", "defaults")
    first = output_of(trips)
    run_pipeline(trips, "batch", request, nodes=["predict"])
    assert output_of(trips) == first
    register(trips, FEATURES, TAGS)
    with pytest.raises(RequestError, match="were extracted for version 2, and what stands for missing features may be"):
        run_pipeline(trips, "batch", {**request, "model_version": "3"}, nodes=["predict"])


def test_a_key_can_be_a_text_that_the_model_takes(trips: Path, tmp_path: Path) -> None:
    zones = ["007", "7", "Zürich, West", "0007"]
    frame = pd.DataFrame({"pickup_zone": zones, "km": [1.0, 2.0, 3.0, 5.0]})
    encoded = make_column_transformer((OneHotEncoder(), ["pickup_zone"]), ("passthrough", ["km"]))
    estimator = make_pipeline(encoded, LinearRegression(fit_intercept=False)).fit(frame, [101.0, 202.0, 303.0, 405.0])
    registry = registry_of(trips)
    mlflow.set_tracking_uri(registry.location.uri)
    info = mlflow.sklearn.log_model(
        estimator, name="model", signature=infer_signature(frame), pip_requirements=["scikit-learn"]
    )
    tags = {"feature_service": SERVICE, "request_features": "pickup_zone, km"}
    version = mlflow.register_model(info.model_uri, "driver_ranking", tags=tags).version
    mlflow.MlflowClient().set_registered_model_alias("driver_ranking", "champion", version)
    rows = request_rows()
    run_pipeline(trips, "batch", {"batch_request": write(tmp_path / "request.csv", rows)})
    scores = estimator.predict(pd.DataFrame(rows)[["pickup_zone", "km"]].replace("", "0").astype({"km": float}))
    for row, score, out in zip(rows, scores, output_of(trips), strict=True):
        assert out["pickup_zone"] == row["pickup_zone"]
        assert out["score"] == (pytest.approx(score, rel=1e-12) if row["km"] else None)
