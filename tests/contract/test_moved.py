"""A feature_store.yaml of before the library was a package of its own goes on working, and is told the new names."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import feast
import pytest
from feast.importer import import_class
from feast.infra.offline_stores.file_source import FileSource
from support.projects import ROOT
from support.servers import environment

import feast_columnar
from driver_ranking.feature_store import asof, moved

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession

OLD = {
    "AsofOfflineStore": "driver_ranking.feature_store.asof",
    "SparkAsofOfflineStore": "driver_ranking.feature_store.asof_spark",
    "SharedSqliteOnlineStore": "driver_ranking.feature_store.sqlite_store",
    "SecretRedisOnlineStore": "driver_ranking.feature_store.redis_store",
    "StreamingComputeEngine": "driver_ranking.feature_store.materialization",
}
USE = """
import sys
from datetime import UTC, datetime
import pandas as pd
from feast import FeatureStore
store = FeatureStore("feature_repo")
asked = pd.DataFrame({"driver_id": [1001], "event_timestamp": [datetime(2030, 1, 1, tzinfo=UTC)]})
service = store.get_feature_service("driver_ranking_v1")
job = store.get_historical_features(asked, service)
assert job.to_df()["driver_id"].tolist() == [1001]
store.materialize(datetime(2000, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC))
print(store.get_online_features(service, [{"driver_id": 1001}]).to_dict())
"""


def old_repo(folder: Path, file: str) -> Path:
    """Make a copy of the feature repo whose configuration has the old names."""
    shutil.copytree(ROOT / "feature_repo", folder / "feature_repo", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "data/01_raw", folder / "data/01_raw")
    (folder / "data/04_feature").mkdir()
    text = (ROOT / "feature_repo" / file).read_text(encoding="utf-8")
    text = re.sub(r"type: feast_columnar\.(?:\w+\.)*(\w+)", lambda found: f"type: {OLD[found[1]]}.{found[1]}", text)
    assert "feast_columnar" not in text
    path = folder / "feature_repo/feature_store.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def run(folder: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, cwd=folder, env=environment(**variables), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize(
    ("file", "named"),
    [
        ("feature_store.yaml", {"AsofOfflineStore", "SharedSqliteOnlineStore", "StreamingComputeEngine"}),
        ("feature_store_redis.yaml", {"AsofOfflineStore", "SecretRedisOnlineStore", "StreamingComputeEngine"}),
    ],
)
def test_feast_goes_on_with_the_old_names_and_says_the_new_ones_once(
    tmp_path: Path, redis_server: str, file: str, named: set[str]
) -> None:
    old_repo(tmp_path, file)
    redis = {"REDIS_ADDRESS": redis_server, "REDIS_PASSWORD": ""}
    run(tmp_path, "feast", "-c", "feature_repo", "apply", **redis)
    used = run(tmp_path, sys.executable, "-c", USE, **redis)
    assert "'driver_id': [1001]" in used.stdout
    assert "None" not in used.stdout
    told = re.findall(r"FutureWarning: (\S+) is feast_columnar\.(\w+) now\.", used.stderr)
    assert sorted(told) == sorted((f"{OLD[name]}.{name}", name) for name in named)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*the old name goes with the next release:FutureWarning")
def test_the_store_on_spark_likewise(tmp_path: Path, session: SparkSession) -> None:
    assert session.version
    path = old_repo(tmp_path, "feature_store_spark.yaml")
    run(tmp_path, "feast", "-c", "feature_repo", "apply")
    store = feast.FeatureStore(repo_path=str(path.parent), fs_yaml_file=path)
    view = store.get_feature_view("driver_stats")
    assert isinstance(view.batch_source, FileSource)
    asked = "SELECT 1001L AS driver_id, TIMESTAMP '2030-01-01 00:00:00 UTC' AS event_timestamp"
    rows = store.get_historical_features(asked, [f"driver_stats:{view.features[0].name}"]).to_arrow()
    assert rows.column("driver_id").to_pylist() == [1001]


@pytest.mark.parametrize("suffix", ["", "Config"])
@pytest.mark.parametrize("name", OLD)
def test_an_old_name_is_the_class_itself(name: str, suffix: str) -> None:
    moved.tell.cache_clear()
    with pytest.warns(FutureWarning, match=rf"{OLD[name]}\.{name} is feast_columnar\.{name} now\."):
        found = import_class(OLD[name], f"{name}{suffix}")
    assert found is getattr(feast_columnar, f"{name}{suffix}")
    assert found.__module__.startswith("feast_columnar.")


def test_what_was_never_there_is_refused() -> None:
    with pytest.raises(AttributeError, match=r"module 'driver_ranking.feature_store.asof' has no attribute 'quoted'"):
        asof.__getattr__("quoted")
