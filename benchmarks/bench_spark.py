"""The batch run on Spark against the local run, the join against Feast's own Spark store, and what grows with what.

    python benchmarks/bench_spark.py                                     # all of it, three quarters of an hour
    python benchmarks/bench_spark.py --rows 1000000 --runs 1 --stock --grow 0
    python benchmarks/bench_spark.py --rows --stock 10000 --grow 0       # entity rows, against 10**6 feature rows

Each run is a process of its own, in turns. Peaks are resident memory, sampled: of the process, and of its Java process
together with the Python workers, at the same moment. On Spark the driver and its executor are one Java process.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import psutil  # type: ignore[import-untyped]
import pyarrow as pa
from bench_start import kedro_run
from borrowed import copy_project
from measure import ROOT, machine, markdown_table, measure, spread

from driver_ranking.sample_data import (
    DRIVER_STATS_SCHEMA,
    ENTITY_ROWS_SCHEMA,
    FIRST_DRIVER_ID,
    SampleSize,
    driver_stats_batches,
    entity_row_batches,
    write_parquet,
)

if TYPE_CHECKING:
    from feast import FeatureStore

HOURS = 1000  # of hourly rows per driver: six weeks
REPEATS = 3
SKEW = 0.2  # the part of the rows that one driver has
WHOLE = """Median (lowest to highest) of {} runs of each in turns, and the largest peaks; `local[*]` with
`conf/spark`: driver and executor are one Java process of 1 GiB of heap, beside two Python workers. There are as many
features as requests."""
STOCK = """Requests in a DataFrame with 10^6 feature rows of 1,000 drivers, one feature, written as Parquet; without the
start of Spark and the imports. Each store joins {} times in a process of its own: the first time, when Spark has
compiled nothing yet and has no Python workers, and the last."""
GROWTH = """The join alone, from Parquet to Parquet, once each, as above but for the start; tasks and shuffled bytes as
Spark's event log has them, compressed."""


@dataclass(frozen=True)
class Watched:
    """What a run used.

    Attributes:
        seconds: From start to end.
        main: Peak in MiB of its own process.
        java: Peak of the Java process.
        worker: Peak of the largest Python worker.
        together: Peak of Java and all Python workers at the same moment.
        output: What it printed.
    """

    seconds: float
    main: float = 0
    java: float = 0
    worker: float = 0
    together: float = 0
    output: str = ""


def watched(command: list[str], cwd: Path) -> Watched:
    """Run a command and sample the memory of its processes.

    Raises:
        RuntimeError: It failed.
    """
    began = time.perf_counter()
    peaks = {"main": 0.0, "java": 0.0, "worker": 0.0, "together": 0.0}
    environment = {**os.environ, "DO_NOT_TRACK": "true"}
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=output, stderr=log)
        while process.poll() is None:
            sample(process.pid, peaks)
            time.sleep(0.2)
        if process.returncode:
            log.seek(0)
            message = f"{' '.join(command)} failed:\n{log.read()}"
            raise RuntimeError(message)
        output.seek(0)
        return Watched(time.perf_counter() - began, **peaks, output=output.read())


def sample(pid: int, peaks: dict[str, float]) -> None:
    """Raise the peaks to what the processes hold at this moment."""
    together = 0.0
    try:
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            kind = "main" if process.pid == pid else "java" if process.name() == "java" else "worker"
            if kind == "worker" and not process.name().startswith("python"):
                continue  # what Java has just forked, with all of its memory for a moment
            held = process.memory_info().rss / 2**20
            peaks[kind] = max(peaks[kind], held)
            together += held if kind != "main" else 0
    except psutil.Error:
        return
    peaks["together"] = max(peaks["together"], together)


@dataclass(frozen=True)
class Size:
    """How many rows there are on each side, of how many drivers; of `skewed` ones a fifth is of one driver."""

    rows: int
    drivers: int
    skewed: bool = False

    def __str__(self) -> str:
        """Describe it."""
        skew = ", a fifth of one driver" if self.skewed else ""
        return f"10^{math.log10(self.rows):.0f} rows, 10^{math.log10(self.drivers):.0f} drivers{skew}"


def make_data(folder: Path, size: Size, requests: int | None = None) -> tuple[Path, Path]:
    """Write feature rows and as many requests, or another number, and return both files."""
    sample_size = SampleSize.of_rows(size.rows, drivers=size.drivers)
    stats, asked = folder / "stats.parquet", folder / "requests.parquet"
    rng = np.random.default_rng(1)
    for path, schema, batches in (
        (stats, DRIVER_STATS_SCHEMA, driver_stats_batches(sample_size)),
        (asked, ENTITY_ROWS_SCHEMA, entity_row_batches(sample_size, requests or size.rows)),
    ):
        write_parquet(path, schema, (one_driver_in_five(batch, rng) for batch in batches) if size.skewed else batches)
    return stats, asked


def one_driver_in_five(batch: pa.RecordBatch, rng: np.random.Generator) -> pa.RecordBatch:
    """Give a fifth of the rows the same driver."""
    drivers = np.where(rng.random(batch.num_rows) < SKEW, FIRST_DRIVER_ID, batch.column("driver_id").to_numpy())
    return batch.set_column(batch.schema.get_field_index("driver_id"), "driver_id", pa.array(drivers))


def use_features(project: Path, stats: Path) -> None:
    """Let a project read another file of features."""
    path = project / "data/01_raw/driver_stats.parquet"
    path.unlink()
    path.symlink_to(stats)


def whole_runs(project: Path, folder: Path, rows: int, runs: int) -> list[list[str]]:
    """Measure both runs in turns and return the rows of the table."""
    size = Size(rows, max(10, rows // HOURS))
    stats, requests = make_data(folder, size)
    use_features(project, stats)
    command = [*kedro_run("batch"), "--params", f"batch_request={requests}"]
    sides: dict[str, list[Watched]] = {"local": [], "spark": []}
    for _ in range(runs):
        for name, more in (("local", []), ("spark", ["--env", "spark"])):
            used = watched([*command, *more], project)
            print(f"  {rows} {name}: {used}", file=sys.stderr)
            sides[name].append(used)
    ratios = [b.seconds / a.seconds for a, b in zip(sides["local"], sides["spark"], strict=True)]
    return [
        [str(size), "`kedro run --pipelines batch`", *figures(sides["local"]), ""],
        ["", "`--env spark`, `local[*]`", *figures(sides["spark"]), f"{spread(ratios)} of the local time"],
    ]


def figures(used: list[Watched]) -> list[str]:
    """Return seconds and peaks as cells."""
    peaks = (max(getattr(one, kind) for one in used) for kind in ("main", "java", "worker", "together"))
    return [spread([one.seconds for one in used]), *(f"{peak:.0f}" if peak else "" for peak in peaks)]


def against_stock(folder: Path, requests: int) -> list[list[str]]:
    """Measure the join of few entity rows with 10^6 feature rows: ours and that of Feast's own store."""
    make_data(folder, Size(10**6, 1000), requests)
    found = {}
    for store in ("ours", "stock"):
        child = [sys.executable, __file__, "--part", store, "--folder", str(folder), "--repeat", str(REPEATS)]
        found[store] = json.loads(watched(child, ROOT).output)["seconds"]
        print(f"  {requests} {store}: {found[store]}", file=sys.stderr)
    ours, stock = found["ours"], found["stock"]
    ratios = [f"{theirs / own:.1f}" for own, theirs in ((ours[0], stock[0]), (ours[-1], stock[-1]))]
    return [
        [f"{requests:,}", "this offline store on Spark", *seconds_of(ours), *ratios],
        ["", "Feast's own Spark store", *seconds_of(stock), "", ""],
    ]


def seconds_of(times: list[float]) -> list[str]:
    """Return the first and the last time as cells."""
    return [f"{times[0]:.2f}", f"{times[-1]:.2f}"]


def growth(folder: Path, size: Size) -> list[str]:
    """Measure one join, with what Spark's own event log says, and return the row of the table."""
    make_data(folder, size)
    used = watched([sys.executable, __file__, "--part", "ours", "--folder", str(folder), "--events"], ROOT)
    said = json.loads(used.output)
    print(f"  {size}: {said} {used}", file=sys.stderr)
    memory = (f"{used.java:.0f}", f"{used.worker:.0f}", f"{used.together:.0f}")
    return [str(size), f"{said['seconds'][0]:.1f}", str(said["tasks"]), f"{said['shuffle'] / 2**20:.0f}", *memory]


def join_often(folder: Path, store: str, repeat: int, *, events: bool) -> None:
    """Play the part of a child: join by a store, with Spark started before, and print the seconds of each time."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    conf: dict[str, Any] = {"spark.master": "local[*]", "spark.ui.enabled": "false", "spark.log.level": "ERROR"}
    conf |= {"spark.driver.host": "127.0.0.1", "spark.sql.session.timeZone": "UTC", "spark.driver.memory": "3g"}
    if events:
        log = Path(tempfile.mkdtemp(dir=folder))
        conf |= {
            "spark.eventLog.enabled": "true",
            "spark.eventLog.dir": str(log),
            "spark.eventLog.rolling.enabled": "false",
        }
        conf |= {"spark.eventLog.compress": "false", "spark.driver.memory": "1g"}  # the memory that conf/spark gives
    from pyspark.sql import SparkSession

    session = SparkSession.builder.config(map=conf).getOrCreate()
    session.range(1000).count()
    feast = applied(folder, store, conf)
    # Feast's own store has no other entity rows than a frame here
    asked = pd.read_parquet(folder / "requests.parquet") if not events else str(folder / "requests.parquet")
    seconds = []
    for _ in range(repeat):
        began = time.perf_counter()
        job: Any = feast.get_historical_features(asked, ["v:conv_rate"])
        job.to_spark_df().write.mode("overwrite").parquet(str(folder / f"{store}-joined"))
        seconds.append(time.perf_counter() - began)
    session.stop()
    print(json.dumps({"seconds": seconds} | (told(log) if events else {})))


def applied(folder: Path, store: str, conf: dict[str, Any]) -> FeatureStore:
    """Return a feature store with one view, on this offline store or on Feast's own."""
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.data_format import ParquetFormat
    from feast.types import Float32

    path = str(folder / "stats.parquet")
    times: dict[str, Any] = {"timestamp_field": "datetime", "created_timestamp_column": "created"}
    offline: dict[str, Any] = {"type": "feast_columnar.SparkAsofOfflineStore"}
    source: Any = FileSource(name="s", path=path, file_format=ParquetFormat(), **times)
    if store == "stock":
        from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource

        offline = {"type": "spark", "spark_conf": conf}
        source = SparkSource(name="s", path=path, file_format="parquet", **times)
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
    return feast


def told(log: Path) -> dict[str, int]:
    """Return how many tasks an event log has, and how many bytes were shuffled."""
    (file,) = (path for path in log.rglob("*") if path.is_file() and not path.name.startswith("."))
    lines = file.read_text(encoding="utf-8").splitlines()
    ends = [json.loads(line) for line in lines if line.startswith('{"Event":"SparkListenerTaskEnd"')]
    written = (end["Task Metrics"]["Shuffle Write Metrics"]["Shuffle Bytes Written"] for end in ends)
    return {"tasks": len(ends), "shuffle": sum(written)}


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="*", default=[10**6, 10**7], help="of whole runs")
    parser.add_argument("--runs", type=int, default=2, help="how many whole runs of each side")
    parser.add_argument(
        "--stock", type=int, nargs="*", default=[10**4, 10**5], help="entity rows for Feast's own store"
    )
    parser.add_argument("--grow", type=int, default=10**7, help="the most rows of a join; 0 for none")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/spark.md")
    for hidden in ("--part", "--folder"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--repeat", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--events", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def report(asked: argparse.Namespace, folder: Path) -> str:
    """Measure what is asked for and return the report."""
    lines = ["# Spark", "", f"{machine()}.", ""]
    if asked.rows:
        project = copy_project(folder / "project")
        measure(kedro_run("training"), project)
        rows = [row for count in asked.rows for row in whole_runs(project, folder, count, asked.runs)]
        memory = ["MiB, process", "MiB, Java", "MiB, largest worker", "MiB, Java and workers"]
        lines += ["## Whole runs", "", WHOLE.format(asked.runs), ""]
        lines += [*markdown_table(["features and requests", "", "seconds", *memory, "ratio"], rows), ""]
    if asked.stock:
        rows = [row for count in asked.stock for row in against_stock(folder, count)]
        head = ["requests", "", "seconds, first", "seconds, later", "times as fast, first", "times as fast, later"]
        lines += ["## The join against Feast's own", "", STOCK.format(REPEATS), "", *markdown_table(head, rows), ""]
    if asked.grow:
        most = asked.grow
        sizes = [
            Size(most // 10, most // 10**4),
            Size(most, most // 10**5),
            Size(most, most // 1000),
            Size(most, most // 10),
        ]
        rows = [growth(folder, size) for size in [*sizes, Size(most, most // 1000, skewed=True)]]
        head = [
            "features and requests",
            "seconds",
            "tasks",
            "MiB shuffled",
            "MiB, Java",
            "MiB, largest worker",
            "MiB, all",
        ]
        lines += ["## What grows", "", GROWTH, "", *markdown_table(head, rows), ""]
    return "\n".join(lines)


def main() -> None:
    """Measure, or play the part of a child."""
    asked = options()
    if asked.part:
        join_often(Path(asked.folder), asked.part, asked.repeat, events=asked.events)
        return
    with tempfile.TemporaryDirectory() as name:
        text = report(asked, Path(name))
    asked.output.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
