"""The batch run on Spark against the local run, and the point-in-time join against Feast's own Spark store.

    python benchmarks/bench_spark.py                         # 10**6 x 10**6 and 10**7 x 10**7, half an hour
    python benchmarks/bench_spark.py --rows 1000000 --runs 1
    python benchmarks/bench_spark.py --stock 10000           # entity rows for Feast's store, against 10**6 feature rows

Each run is a process of its own, in turns. Peaks are resident memory, sampled: of the process, of its largest Java
process, and of its largest Python worker. On Spark the driver and its executor are one Java process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
from bench_start import copy_project, kedro_run
from measure import ROOT, machine, markdown_table, measure, spread

from driver_ranking.sample_data import (
    DRIVER_STATS_SCHEMA,
    ENTITY_ROWS_SCHEMA,
    SampleSize,
    driver_stats_batches,
    entity_row_batches,
    write_parquet,
)

HOURS = 1000  # of hourly rows per driver: six weeks
STOCK = "feast.infra.offline_stores.contrib.spark_offline_store.spark.SparkOfflineStore"


@dataclass(frozen=True)
class Watched:
    """What a run used: seconds, and peaks in MiB of its own process, of Java, and of the largest Python worker."""

    seconds: float
    main: float = 0
    java: float = 0
    worker: float = 0


def watched(command: list[str], cwd: Path) -> Watched:
    """Run a command and sample the memory of its processes.

    Raises:
        RuntimeError: It failed.
    """
    began = time.perf_counter()
    peaks = {"main": 0.0, "java": 0.0, "worker": 0.0}
    environment = {**os.environ, "DO_NOT_TRACK": "true"}
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=log, stderr=log)
        while process.poll() is None:
            sample(process.pid, peaks)
            time.sleep(0.2)
        if process.returncode:
            log.seek(0)
            message = f"{' '.join(command)} failed:\n{log.read()}"
            raise RuntimeError(message)
    return Watched(time.perf_counter() - began, **peaks)


def sample(pid: int, peaks: dict[str, float]) -> None:
    """Raise the peaks to what the processes hold at this moment."""
    try:
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            kind = "main" if process.pid == pid else "java" if process.name() == "java" else "worker"
            peaks[kind] = max(peaks[kind], process.memory_info().rss / 2**20)
    except psutil.Error:
        return


def make_data(folder: Path, rows: int) -> tuple[Path, Path]:
    """Write feature rows and requests, and return both files."""
    size = SampleSize.of_rows(rows, drivers=max(10, rows // HOURS))
    stats, requests = folder / "stats.parquet", folder / "requests.parquet"
    write_parquet(stats, DRIVER_STATS_SCHEMA, driver_stats_batches(size))
    write_parquet(requests, ENTITY_ROWS_SCHEMA, entity_row_batches(size, rows))
    return stats, requests


def use_features(project: Path, stats: Path) -> None:
    """Let a project read another file of features."""
    path = project / "data/01_raw/driver_stats.parquet"
    path.unlink()
    path.symlink_to(stats)


def whole_runs(project: Path, folder: Path, rows: int, runs: int) -> list[list[str]]:
    """Measure both runs in turns and return the rows of the table."""
    stats, requests = make_data(folder, rows)
    use_features(project, stats)
    command = [*kedro_run("batch"), "--params", f"batch_request={requests}"]
    sides: dict[str, list[Watched]] = {"local": [], "spark": []}
    for _ in range(runs):
        for name, more in (("local", []), ("spark", ["--env", "spark"])):
            used = watched([*command, *more], project)
            print(f"  {rows} {name}: {used}", file=sys.stderr)
            sides[name].append(used)
    ratios = [b.seconds / a.seconds for a, b in zip(sides["local"], sides["spark"], strict=True)]
    size = f"{rows:.0e} features, {rows:.0e} rows"
    return [
        [f"whole run: {size}", "`kedro run --pipelines batch`", *figures(sides["local"]), ""],
        ["", "`--env spark`, `local[*]`", *figures(sides["spark"]), f"{spread(ratios)} of the local time"],
    ]


def figures(used: list[Watched]) -> list[str]:
    """Return seconds and peaks as cells."""
    peaks = (max(one.main for one in used), max(one.java for one in used), max(one.worker for one in used))
    return [spread([one.seconds for one in used]), *(f"{peak:.0f}" if peak else "" for peak in peaks)]


def joins(project: Path, folder: Path, features: int, requests: int) -> list[list[str]]:
    """Measure the join alone, once each, without the start of Spark: ours and that of Feast's own store."""
    stats, _ = make_data(folder, features)
    use_features(project, stats)
    write_parquet(folder / "few.parquet", ENTITY_ROWS_SCHEMA, entity_row_batches(SampleSize(drivers=1000), requests))
    seconds = {}
    for store in ("ours", "stock"):
        try:
            used = measure([sys.executable, __file__, "--part", store, "--folder", str(folder)])
        except RuntimeError as error:
            print(str(error)[-2000:], file=sys.stderr)
            continue
        seconds[store] = used.seconds
    size = f"{features:.0e} features, {requests:.0e} rows"
    if "stock" not in seconds:
        return [[f"join: {size}", "this offline store", f"{seconds['ours']:.2f}", "", "", "", "Feast's own failed"]]
    ratio = f"{seconds['stock'] / seconds['ours']:.1f} times as fast"
    return [
        [f"join: {size}", "this offline store on Spark", f"{seconds['ours']:.2f}", "", "", "", ratio],
        ["", "Feast's own Spark store", f"{seconds['stock']:.2f}", "", "", "", ""],
    ]


def join_once(folder: Path, store: str) -> None:
    """Play the part of a child: join by a store, with Spark started before, and print the seconds."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    import pandas as pd
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.data_format import ParquetFormat
    from feast.types import Float32

    offline: dict[str, Any] = {"type": "driver_ranking.feature_store.asof_spark.SparkAsofOfflineStore"}
    conf = {"spark.master": "local[*]", "spark.ui.enabled": "false", "spark.driver.host": "127.0.0.1"}
    conf |= {"spark.sql.session.timeZone": "UTC", "spark.driver.memory": "3g"}
    path = str(folder / "stats.parquet")
    times: dict[str, Any] = {"timestamp_field": "datetime", "created_timestamp_column": "created"}
    source: Any = FileSource(name="s", path=path, file_format=ParquetFormat(), **times)
    if store == "stock":
        from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource

        offline = {"type": "spark", "spark_conf": conf}
        source = SparkSource(name="s", path=path, file_format="parquet", **times)
    from pyspark.sql import SparkSession

    session = SparkSession.builder.config(map=dict[str, Any](conf)).getOrCreate()
    session.range(1000).count()
    config = RepoConfig(
        project="bench",
        provider="local",
        registry=str(folder / f"{store}.db"),
        online_store={"type": "sqlite", "path": str(folder / f"{store}-online.db")},
        offline_store=offline,
        entity_key_serialization_version=3,
    )
    config.repo_path = folder
    feast = FeatureStore(config=config)
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    view = FeatureView(name="v", entities=[driver], schema=[Field(name="conv_rate", dtype=Float32)], source=source)
    feast.apply([driver, view])
    entities = pd.read_parquet(folder / "few.parquet")
    began = time.perf_counter()
    job: Any = feast.get_historical_features(entities, ["v:conv_rate"])
    job.to_spark_df().write.mode("overwrite").parquet(str(folder / f"{store}-joined"))
    print(json.dumps({"seconds": time.perf_counter() - began}))


def main() -> None:
    """Measure, or play the part of a child."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="*", default=[10**6, 10**7])
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--stock", type=int, nargs="*", default=[10**4], help="entity rows for Feast's own store")
    parser.add_argument("--stock-features", type=int, default=10**6)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/spark.md")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        join_once(options.folder, options.part)
        return
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project = copy_project(folder / "project")
        measure(kedro_run("training"), project)
        for count in options.rows:
            rows += whole_runs(project, folder, count, options.runs)
        for count in options.stock:
            rows += joins(project, folder, options.stock_features, count)
    header = ["case", "", "seconds", "MiB, process", "MiB, Java", "MiB, Python worker", "ratio"]
    head = f"Median (lowest to highest) of {options.runs} run(s) in turns; the join alone once. {machine()}."
    table = "\n".join(["# Spark", "", head, "", *markdown_table(header, rows), ""])
    options.output.write_text(table, encoding="utf-8")
    print(table)


if __name__ == "__main__":
    main()
