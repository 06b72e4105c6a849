"""``feast monitor run`` and Feast's monitoring service with the ASOF store."""

from __future__ import annotations

import math
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from click.testing import CliRunner
from feast import FeatureService, Field
from feast.cli.monitor import monitor_run
from feast.monitoring.metrics_calculator import MetricsCalculator
from feast.monitoring.monitoring_service import MonitoringService
from feast.types import Array, Bool, Float64, Int32, String

from feast_columnar.offline.store import AsofError

if TYPE_CHECKING:
    from pathlib import Path

    from columnar_support.asof_repos import AsofRepo

RATES = [0.5, 1.5, None, math.nan, 2.5, math.inf]
ZONES = ["a", "b", "a", None, "c", "a"]


@pytest.fixture
def repo(asof_repo: AsofRepo) -> AsofRepo:
    """A repo with a view of numbers, texts, truth values and lists, under names that the source has not."""
    rows = pa.table(
        {
            "driver_id": [1, 2, 3, 4, 5, 6],
            "event_timestamp": pa.array([asof_repo.noon(60 * hour) for hour in range(6)], pa.timestamp("us", "UTC")),
            "r": RATES,
            "zone": ZONES,
            "busy": [True, None, False, True, True, None],
            "path": [[1.0], None, [2.0], [], [1.0], [3.0]],
            "same": pa.array([7] * 6, pa.int32()),
            "never": pa.array([None] * 6, pa.float64()),
            "wide": [1.7e308, -1.7e308, 0.0, 0.0, 0.0, 0.0],
        }
    )
    source = asof_repo.source(
        asof_repo.write("wide.parquet", rows), created_timestamp_column="", field_mapping={"r": "rate"}
    )
    schema = [
        Field(name="rate", dtype=Float64),
        Field(name="zone", dtype=String),
        Field(name="busy", dtype=Bool),
        Field(name="path", dtype=Array(Float64)),
        Field(name="same", dtype=Int32),
        Field(name="never", dtype=Float64),
        Field(name="wide", dtype=Float64),
    ]
    view = asof_repo.view("wide", source=source, schema=schema)
    asof_repo.apply(view, FeatureService(name="all", features=[view]))
    return asof_repo


def metrics(repo: AsofRepo, **options: Any) -> dict[str, dict[str, Any]]:
    service = MonitoringService(repo.open())
    found = service.compute_transient(
        "asof", "wide", start_date=date(2026, 1, 31), end_date=date(2026, 2, 1), **options
    )
    return {metric["feature_name"]: metric for metric in found["metrics"]}


def test_statistics_are_those_of_the_values(repo: AsofRepo) -> None:
    found = metrics(repo)
    rate = found["rate"]
    assert (rate["row_count"], rate["null_count"], rate["null_rate"]) == (6, 2, pytest.approx(2 / 6))
    assert (rate["mean"], rate["min_val"], rate["max_val"], rate["p50"]) == (1.5, 0.5, 2.5, 1.5)
    expected = MetricsCalculator().compute_numeric(pa.array([0.5, 1.5, 2.5]))
    for name in ("stddev", "p75", "p90", "p95", "p99"):
        assert rate[name] == pytest.approx(expected[name])
    assert rate["histogram"]["counts"] == expected["histogram"]["counts"]
    assert rate["histogram"]["bins"] == pytest.approx(expected["histogram"]["bins"])
    assert found["same"]["histogram"] == {"bins": [7.0, 7.0], "counts": [6], "bin_width": 0.0}
    assert (found["never"]["null_count"], found["never"]["mean"], found["never"]["histogram"]) == (6, None, None)
    assert found["wide"]["histogram"] is None, "no width can be told"
    assert (found["path"]["row_count"], found["path"]["null_count"], found["path"]["mean"]) == (6, 1, None)


def test_frequent_values_are_counted(repo: AsofRepo) -> None:
    found = metrics(repo)
    assert found["zone"]["histogram"] == {
        "values": [{"value": "a", "count": 3}, {"value": "b", "count": 1}, {"value": "c", "count": 1}],
        "other_count": 0,
        "unique_count": 3,
    }
    assert found["busy"]["histogram"]["values"] == [{"value": "true", "count": 3}, {"value": "false", "count": 1}]
    assert (found["busy"]["feature_type"], found["busy"]["null_count"]) == ("categorical", 2)


def test_only_rows_of_the_dates_count(repo: AsofRepo) -> None:
    service = MonitoringService(repo.open())
    found = service.compute_transient("asof", "wide", start_date=date(2026, 2, 2), end_date=date(2026, 2, 3))
    assert {(metric["row_count"], metric["null_rate"], metric["histogram"]) for metric in found["metrics"]} == {
        (0, 0.0, None)
    }


def test_the_command_keeps_a_baseline_and_metrics_of_all_spans(repo: AsofRepo) -> None:
    store = repo.open()
    service = MonitoringService(store)
    assert service.compute_baseline("asof")["computed_features"] == 7
    assert service.compute_baseline("asof")["computed_features"] == 0, "there is one already"
    result = service.auto_compute("asof")
    assert (result["computed_feature_views"], result["computed_features"]) == (1, 35)
    kept = service.get_feature_metrics("asof", feature_view_name="wide", feature_name="rate", granularity="daily")
    assert [(row["metric_date"], row["mean"], row["is_baseline"]) for row in kept] == [("2026-01-30", 1.5, False)]
    assert kept[0]["histogram"]["counts"]
    assert kept[0]["max_event_timestamp"] == "2026-01-31T17:00:00+00:00"
    service.auto_compute("asof")
    again = service.get_feature_metrics("asof", feature_view_name="wide", feature_name="rate", granularity="daily")
    assert len(again) == 1, "the same span is kept once"
    assert len(service.get_baseline("asof", feature_view_name="wide")) == 7
    assert {row["feature_service_name"] for row in service.get_feature_service_metrics("asof")} == {"all"}
    assert service.get_feature_metrics("asof", start_date=date(2027, 1, 1)) == []
    assert service.get_feature_metrics("another") == []
    store.config.offline_store.type = "duckdb"
    from feast.infra.offline_stores.duckdb import DuckDBOfflineStore, DuckDBOfflineStoreConfig

    config = store.config.model_copy()
    config.__dict__["_offline_store"] = DuckDBOfflineStoreConfig()
    theirs = DuckDBOfflineStore.query_monitoring_metrics(config, "asof", "feature", {"feature_name": "rate"})
    assert {row["mean"] for row in theirs} == {1.5}, "Feast's own store reads the files"


def test_baselines_are_cleared_where_it_is_said(repo: AsofRepo) -> None:
    store = repo.open()
    service, offline = MonitoringService(store), store._get_provider().offline_store  # noqa: SLF001  # Feast's own way
    service.compute_baseline("asof")
    offline.clear_monitoring_baseline(store.config, "asof", "wide", "rate", "log")
    assert len(service.get_baseline("asof")) == 7
    offline.clear_monitoring_baseline(store.config, "asof", "wide", "rate", "batch")
    assert sorted(row["feature_name"] for row in service.get_baseline("asof")) == sorted(
        ["zone", "busy", "path", "same", "never", "wide"]
    )


def test_a_job_goes_through_its_states(repo: AsofRepo) -> None:
    service = MonitoringService(repo.open())
    job = service.submit_job("asof", "baseline", "wide", {"feature_names": ["rate"]})
    service.execute_job(job)
    done = service.get_job(job, "asof")
    assert done is not None
    assert (done["status"], done["error_message"], done["parameters"]) == (
        "completed",
        None,
        {"feature_names": ["rate"]},
    )
    assert done["completed_at"] - done["started_at"] < timedelta(minutes=5)
    assert service.get_job(job, "another") is None
    for file in (repo.folder / "feast_monitoring").glob("*.parquet"):
        file.unlink()
    job = service.submit_job("asof", "baseline", "wide")
    assert service.get_job(job, "asof") is not None, "the files are made again"


def test_the_latest_event_time_of_no_rows_is_none(repo: AsofRepo) -> None:
    store, none = repo.open(), pa.table({"event_timestamp": pa.array([], pa.timestamp("us"))})
    offline = store._get_provider().offline_store  # noqa: SLF001  # Feast's own way
    source = repo.source(repo.write("none.parquet", none))
    assert offline.get_monitoring_max_timestamp(store.config, source, "event_timestamp") is None
    with pytest.raises(AsofError, match="has no column 'when', which is monitored"):
        offline.get_monitoring_max_timestamp(store.config, source, "when")


def test_feasts_command_runs(repo: AsofRepo, tmp_path: Path) -> None:
    yaml = tmp_path / "feature_store.yaml"
    yaml.write_text(
        "project: asof\nprovider: local\nregistry: registry.db\nentity_key_serialization_version: 3\n"
        "online_store: {type: sqlite, path: online.db}\n"
        "offline_store: {type: feast_columnar.AsofOfflineStore}\n"
    )
    options = {"CHDIR": repo.folder, "FS_YAML_FILE": yaml}
    ran = CliRunner().invoke(monitor_run, ["--feature-view", "wide"], obj=options, catch_exceptions=False)
    assert "Features computed: 35" in ran.output
    assert ran.exit_code == 0
