"""Pipeline ``batch``: the rows of a request, scored by the champion."""

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
import mlflow
import mlflow.sklearn
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kedro.io import DatasetError
from mlflow.models import infer_signature
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression
from support.projects import copy_project, digests, run_pipeline

from driver_ranking.errors import (
    DriverRankingError,
    FeatureServiceNotFoundError,
    MissingFeatureError,
    ModelNotFoundError,
    ModelSignatureError,
    RequestError,
)
from driver_ranking.model import ModelRegistry, RegistryLocation

FEATURES = ["conv_rate", "acc_rate", "avg_daily_trips"]
TRIP = ("trip_id", "trip_distance_km", "pickup_zone")  # which the model does not take
ASOF = "feast_columnar.AsofOfflineStore"
BOUND = {"feature_service": "driver_ranking_v1"}
INPUT = "data/05_model_input/batch_input.parquet"


def output_of(project: Path, folder: str = "") -> pa.Table:
    return pq.read_table(project / "data/07_model_output" / folder / "batch_output.parquet")


def registry_of(project: Path) -> ModelRegistry:
    return ModelRegistry(RegistryLocation("driver_ranking", "champion", project / "data/06_models/mlflow"))


def register(project: Path, model: Any, names: list[str], tags: dict[str, str], *, signed: bool = True) -> str:
    """Register a model as a user may, beside the training pipeline, and make it the champion."""
    registry = registry_of(project)
    mlflow.set_tracking_uri(registry.location.uri)
    signature = infer_signature(pd.DataFrame(np.zeros((2, len(names))), columns=names)) if signed else None
    info = mlflow.sklearn.log_model(model, name="model", signature=signature, pip_requirements=["scikit-learn"])
    version = mlflow.register_model(info.model_uri, "driver_ranking", tags=tags).version
    mlflow.MlflowClient().set_registered_model_alias("driver_ranking", "champion", version)
    return str(version)


def latest_features(stats: list[dict[str, Any]], driver_id: int, time: datetime) -> list[float | None]:
    """The rules of the point-in-time join, in a plain loop."""
    best: dict[str, Any] | None = None
    for row in stats:
        known = row["driver_id"] == driver_id and row["datetime"] <= time
        if known and (best is None or (row["datetime"], row["created"]) > (best["datetime"], best["created"])):
            best = row
    return [best[name] if best else None for name in FEATURES]


def test_every_row_of_the_request_comes_back_in_its_order(project: Path) -> None:
    output = output_of(project)
    lines = (project / "data/01_raw/batch_request.csv").read_text(encoding="utf-8").splitlines()[1:]
    asked = [line.split("\t") for line in lines]
    assert output.column_names == ["event_timestamp", "driver_id", *TRIP, *FEATURES, "score", "status", "model_version"]
    times = [datetime.fromisoformat(time).astimezone(UTC) for time, *_ in asked]
    assert output.column("event_timestamp").to_pylist() == times
    assert output.column("driver_id").to_pylist() == [int(driver_id) for _, driver_id, *_ in asked]


def test_types_are_those_of_the_features(project: Path) -> None:
    types = {field.name: field.type for field in output_of(project).schema}
    assert types == {
        "event_timestamp": pa.timestamp("us", tz="UTC"),
        "driver_id": pa.int64(),
        **dict.fromkeys(TRIP, pa.string()),
        "conv_rate": pa.float32(),
        "acc_rate": pa.float32(),
        "avg_daily_trips": pa.int32(),
        "score": pa.float64(),
        "status": pa.string(),
        "model_version": pa.string(),
    }


def test_features_and_scores_are_those_of_a_plain_loop(project: Path) -> None:
    stats = pq.read_table(project / "data/01_raw/driver_stats.parquet").to_pylist()
    model = registry_of(project).resolve()
    estimator = mlflow.sklearn.load_model(model.local_path)
    rows = output_of(project).to_pylist()
    statuses = {row["status"] for row in rows}
    assert statuses == {"ok", "missing_features"}
    for row in rows:
        features = latest_features(stats, row["driver_id"], row["event_timestamp"])
        assert [row[name] for name in FEATURES] == features
        complete = None not in features
        assert row["status"] == ("ok" if complete else "missing_features")
        if complete:
            expected = estimator.predict(np.array([features], dtype=np.float64))[0]
            assert row["score"] == pytest.approx(expected, rel=1e-12)  # one row alone is summed in another order
        else:
            assert row["score"] is None
        assert row["model_version"] == model.version


def test_the_log_ends_with_the_counts_and_the_best_rows(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        run_pipeline(project, "batch", {"best_rows_logged": 2})
    said = [record.getMessage() for record in caplog.records if record.name.startswith("driver_ranking")]
    assert said[-3].endswith("with the model 'driver_ranking' version 1: 11 ok, 3 missing_features.")
    best = max(score for score in output_of(project).column("score").to_pylist() if score is not None)
    assert said[-2].startswith("Best row 1: ")
    assert said[-2].endswith(f"score={best:.4f}")
    assert said[-1].startswith("Best row 2: ")


@pytest.fixture
def request_table() -> pa.Table:
    times = [datetime(2026, 6, 14, 12, minute, tzinfo=UTC) for minute in range(40)]
    return pa.table(
        {
            "note": [f"row {index}" for index in range(40)],
            "driver_id": [1001 + (7 * index) % 53 for index in range(40)],
            "event_timestamp": pa.array(times, pa.timestamp("us", "UTC")),
        }
    )


def as_text(table: pa.Table, separator: str) -> str:
    rows = [list(map(str, row.values())) for row in table.to_pylist()]
    return "\n".join(separator.join(row) for row in [table.column_names, *rows]) + "\n"


@pytest.fixture(params=["csv", "tsv", "parquet", "url"])
def request_file(request: pytest.FixtureRequest, request_table: pa.Table, tmp_path: Path) -> Iterator[str]:
    path = tmp_path / f"request.{request.param}"
    match request.param:
        case "csv":
            path.write_text(as_text(request_table, ","), encoding="utf-8")
        case "tsv":
            path.write_text(as_text(request_table, "\t"), encoding="utf-8")
        case "parquet":
            pq.write_table(request_table, path)
        case "url":
            fsspec.filesystem("memory").pipe("/batch/request.csv", as_text(request_table, ",").encode())
            yield "memory://batch/request.csv"
            return
    yield str(path)


def test_a_request_may_be_any_file_and_keeps_all_its_columns(
    project: Path, request_file: str, request_table: pa.Table
) -> None:
    run_pipeline(project, "batch", {"batch_request": request_file})
    output = output_of(project)
    assert output.select(request_table.column_names).to_pydict() == request_table.to_pydict()
    assert 0 < output.column("score").null_count < 40


def test_a_relative_path_counts_from_the_project(project: Path, request_table: pa.Table) -> None:
    pq.write_table(request_table, project / "data/request.parquet")
    run_pipeline(project, "batch", {"batch_request": "data/request.parquet"})
    assert output_of(project).num_rows == 40


def test_a_run_date_names_the_folder(project: Path) -> None:
    before = digests(project / "data/07_model_output")
    run_pipeline(project, "batch", {"run_date": "2026-06-15"})
    assert output_of(project, "2026-06-15").equals(output_of(project))
    assert (project / "data/05_model_input/2026-06-15/batch_input.parquet").is_file()
    assert digests(project / "data/07_model_output").items() > before.items()


@pytest.mark.parametrize("run_date", ["15.06.2026", "2026-02-30", "../elsewhere"])
def test_a_run_date_that_is_no_date_is_refused(project: Path, run_date: str) -> None:
    before = digests(project / "data")
    with pytest.raises(Exception, match=f"run_date={run_date} is not a date such as 2026-06-15"):
        run_pipeline(project, "batch", {"run_date": run_date})
    assert digests(project / "data") == before


def test_another_offline_store_gives_the_same_output(project: Path) -> None:
    expected = output_of(project)
    config = project / "feature_repo/feature_store.yaml"
    text = config.read_text(encoding="utf-8")
    stock = [line for line in text.splitlines() if "memory_limit" not in line]
    config.write_text("\n".join(stock).replace(ASOF, "duckdb"), encoding="utf-8")
    assert ASOF not in config.read_text(encoding="utf-8")
    (project / "feature_repo/data_sources.py").write_text(
        (project / "feature_repo/data_sources.py").read_text(encoding="utf-8").replace('"../data', f'"{project}/data'),
        encoding="utf-8",
    )
    run_pipeline(project, "batch")
    assert output_of(project).to_pydict() == expected.to_pydict()
    request = (project / "data/01_raw/batch_request.csv").read_bytes()
    fsspec.filesystem("memory").pipe("/batch/stock.csv", request)
    run_pipeline(project, "batch", {"batch_request": "memory://batch/stock.csv"})
    assert output_of(project).to_pydict() == expected.to_pydict()


BAD_REQUESTS = {
    "unparsable time": "event_timestamp\tdriver_id\nnoon\t1001\n",
    "missing time": "event_timestamp\tdriver_id\n\t1001\n",
    "null id": "event_timestamp\tdriver_id\n2026-06-15\t\n",
    "text id": "event_timestamp\tdriver_id\n2026-06-15\tx\n",
    "missing column": "event_timestamp\tid\n2026-06-15\t1001\n",
    "wrong separator": "event_timestamp;driver_id\n2026-06-15;1001\n",
    "empty file": "",
    "feature's name": "event_timestamp\tdriver_id\tconv_rate\n2026-06-15\t1001\t1\n",
    "output's name": "event_timestamp\tdriver_id\tscore\n2026-06-15\t1001\t1\n",
}


@pytest.mark.parametrize("case", BAD_REQUESTS)
def test_a_bad_request_changes_nothing(project: Path, tmp_path: Path, case: str) -> None:
    path = tmp_path / "request.csv"
    path.write_text(BAD_REQUESTS[case], encoding="utf-8")
    before = digests(project / "data")
    with pytest.raises(RequestError):
        run_pipeline(project, "batch", {"batch_request": str(path)})
    assert digests(project / "data") == before


def test_a_bad_request_stops_the_run_before_any_work(fresh_project: Path) -> None:
    before = digests(fresh_project / "data")
    with pytest.raises(RequestError, match="there is no such file"):
        run_pipeline(fresh_project, "batch", {"batch_request": "nowhere.csv"})
    assert digests(fresh_project / "data") == before


def test_without_a_champion_the_error_says_how_to_train_one(fresh_project: Path) -> None:
    before = digests(fresh_project / "data")
    with pytest.raises(ModelNotFoundError, match="kedro run --pipelines training"):
        run_pipeline(fresh_project, "batch")
    assert digests(fresh_project / "data") == before


def test_a_version_can_be_pinned(project: Path) -> None:
    register(project, LinearRegression().fit(np.eye(3), [1, 2, 3]), FEATURES, BOUND)
    run_pipeline(project, "batch", {"model_version": 1})
    assert set(output_of(project).column("model_version").to_pylist()) == {"1"}
    run_pipeline(project, "batch")
    assert set(output_of(project).column("model_version").to_pylist()) == {"2"}


def test_an_unknown_version_changes_nothing(project: Path) -> None:
    before = digests(project / "data/07_model_output")
    with pytest.raises(ModelNotFoundError, match="has no version 42 of model 'driver_ranking'"):
        run_pipeline(project, "batch", {"model_version": 42})
    assert digests(project / "data/07_model_output") == before


def test_the_version_is_resolved_once_a_run_also_when_each_node_is_a_process_of_its_own(project: Path) -> None:
    run_pipeline(project, "batch", nodes=["extract_features"])
    register(project, LinearRegression().fit(np.eye(3), [1, 2, 3]), FEATURES, BOUND)
    run_pipeline(project, "batch", nodes=["predict"])
    assert set(output_of(project).column("model_version").to_pylist()) == {"1"}


UNFIT_MODELS: dict[str, tuple[list[str], dict[str, str], bool, type[Exception], str]] = {
    "takes another feature": (
        ["conv_rate", "rating"],
        BOUND,
        True,
        MissingFeatureError,
        "The model wants 'rating', but",
    ),
    "names no known service": (
        FEATURES,
        {"feature_service": "v9"},
        True,
        FeatureServiceNotFoundError,
        "no .* 'v9'; it",
    ),
    "has no signature": (FEATURES, BOUND, False, ModelSignatureError, "has no signature"),
    "has no tag": (FEATURES, {}, True, DriverRankingError, "has no tag 'feature_service'"),
}


@pytest.mark.parametrize("case", UNFIT_MODELS)
def test_a_model_that_does_not_fit_the_features_changes_nothing(project: Path, case: str) -> None:
    names, tags, signed, error, message = UNFIT_MODELS[case]
    model = LinearRegression().fit(np.eye(len(names)), np.arange(len(names)))
    register(project, model, names, tags, signed=signed)
    folders = [project / "data" / name for name in ("04_feature", "05_model_input", "07_model_output")]
    before = [digests(folder) for folder in folders]
    with pytest.raises(error, match=message):
        run_pipeline(project, "batch")
    assert [digests(folder) for folder in folders] == before


def test_a_model_may_take_some_of_the_features_in_another_order(project: Path) -> None:
    model = LinearRegression().fit(np.eye(2), [0.0, 10.0])
    register(project, model, ["avg_daily_trips", "conv_rate"], BOUND)
    run_pipeline(project, "batch")
    for row in output_of(project).to_pylist():
        if row["score"] is not None:
            expected = model.predict(np.array([[row["avg_daily_trips"], row["conv_rate"]]], dtype=np.float64))[0]
            assert row["score"] == pytest.approx(expected)


def test_a_score_that_is_not_finite_names_the_row_and_changes_nothing(project: Path) -> None:
    model = DummyRegressor(strategy="constant", constant=0.0).fit(np.zeros((1, 3)), [0.0])
    model.constant_[:] = np.nan
    register(project, model, FEATURES, BOUND)
    before = digests(project / "data/07_model_output")
    with pytest.raises(DatasetError, match=r"not a finite number for row 1 \(nan\)"):
        run_pipeline(project, "batch")
    assert digests(project / "data/07_model_output") == before


def test_predict_alone_needs_the_version_that_was_extracted_for_not_the_alias(project: Path) -> None:
    run_pipeline(project, "batch", nodes=["extract_features"])
    register(project, LinearRegression().fit(np.eye(3), [1, 2, 3]), FEATURES, {}, signed=False)
    run_pipeline(project, "batch", nodes=["predict"])
    assert set(output_of(project).column("model_version").to_pylist()) == {"1"}


def test_predicting_rows_that_were_not_extracted_is_refused(project: Path) -> None:
    pq.write_table(pa.table({name: [0.5] for name in FEATURES}), project / INPUT)
    with pytest.raises(RequestError, match="Extract them first"):
        run_pipeline(project, "batch", nodes=["predict"])


def test_predicting_with_a_version_that_takes_other_features_is_refused(project: Path) -> None:
    model = LinearRegression().fit(np.eye(2), [0.0, 10.0])
    version = register(project, model, ["conv_rate", "rating"], BOUND)
    with pytest.raises(MissingFeatureError, match=f"lack 'rating', which the model 'driver_ranking' version {version}"):
        run_pipeline(project, "batch", {"model_version": version}, nodes=["predict"])


def test_predicting_before_extracting_says_so(project: Path) -> None:
    (project / INPUT).unlink()
    with pytest.raises(DatasetError, match=r"There is no file .*batch_input\.parquet\. Run the pipeline that makes it"):
        run_pipeline(project, "batch", nodes=["predict"])


def test_a_definition_that_was_removed_is_removed_from_the_store(project: Path) -> None:
    services = project / "feature_repo/feature_services.py"
    services.write_text(services.read_text(encoding="utf-8").replace("driver_ranking_v1", "driver_ranking_v2"))
    before = digests(project / "data")
    with pytest.raises(FeatureServiceNotFoundError, match="no feature service 'driver_ranking_v1'; it has: driver_ran"):
        run_pipeline(project, "batch")
    assert digests(project / "data") == before, "the store that serves the champion must stay"
    run_pipeline(project, "batch", nodes=["update_feature_store"])
    with pytest.raises(FeatureServiceNotFoundError, match="no feature service 'driver_ranking_v1'; it has: driver_ran"):
        run_pipeline(project, "batch", nodes=["extract_features"])


def test_the_record_of_the_registered_version_is_for_other_tasks(project: Path) -> None:
    record = json.loads((project / "data/06_models/registered_model_version.json").read_text(encoding="utf-8"))
    model = registry_of(project).resolve()
    assert (record["name"], record["version"], record["run_id"]) == (model.name, model.version, model.run_id)


def test_two_projects_in_one_process_do_not_mix(project: Path, tmp_path: Path) -> None:
    other = copy_project(tmp_path / "other")
    services = other / "feature_repo/feature_services.py"
    services.write_text(services.read_text(encoding="utf-8").replace("driver_ranking_v1", "another_service"))
    with pytest.raises(FeatureServiceNotFoundError, match="it has: another_service"):
        run_pipeline(other, "training")
    run_pipeline(project, "batch")
    assert output_of(project).num_rows == 14
