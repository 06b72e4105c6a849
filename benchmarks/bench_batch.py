"""Batch serving against what one would write by hand: extraction, scoring, and the whole run.

    python benchmarks/bench_batch.py                        # all cases at full size: 10**7 rows, about half an hour
    python benchmarks/bench_batch.py --cases extraction-large --runs 3
    python benchmarks/bench_batch.py --scale 0.001 --runs 1 # to see that it works

Each case runs two programs in turns, each in a process of its own. Seconds are those of the work, without imports,
but for the whole run; peak memory is the operating system's account of the whole process, imports included. The data
comes from the project's own generator.
"""

from __future__ import annotations

# The standard library alone: Linux counts the memory of the process that starts a child into the child's peak.
import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench_start import IMPORTS, kedro_run
from borrowed import copy_project
from measure import ROOT, Usage, machine, markdown_table, measure, ratios, spread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ASOF = "feast_columnar.offline.store.AsofOfflineStore"
LIMIT = "500MB"
MILLION, TEN_MILLION = 10**6, 10**7
HOURS = 1000  # of hourly rows per driver: six weeks


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
        features: Rows of driver statistics.
        requests: Rows of the request.
        ours: Parts of this script to run on our side; each is a process, their seconds are added.
        theirs: Likewise, of the baseline.
        names: How the table calls both.
        goal: What is aimed at, in words.
    """

    features: int
    requests: int
    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    names: tuple[str, str]
    goal: str


CASES = {
    "extraction-small": Case(
        MILLION,
        MILLION // 10,
        ("extract-asof",),
        ("extract-stock",),
        ("this offline store", "Feast's `duckdb` store"),
        "1/50 of the time, 1/8 of the peak",
    ),
    "extraction-large": Case(
        TEN_MILLION,
        TEN_MILLION,
        ("extract-asof",),
        ("extract-sql",),
        ("this offline store", "SQL by hand"),
        "1.25 of the time, 1.2 of the peak",
    ),
    "extraction-bare": Case(
        TEN_MILLION,
        TEN_MILLION,
        ("extract-asof",),
        ("extract-sql-bare",),
        ("this offline store", "SQL by hand, without the tie-break: another answer"),
        "none: how much the tie-break costs",
    ),
    "extraction-limited": Case(
        TEN_MILLION,
        TEN_MILLION,
        ("extract-asof-limited",),
        ("extract-sql-bare-limited",),
        (
            f"this offline store, `memory_limit: {LIMIT}`",
            "SQL by hand without the tie-break, same limit (with it, DuckDB runs out of memory)",
        ),
        "completes, peak under 1024 MiB",
    ),
    "scoring": Case(
        TEN_MILLION,
        TEN_MILLION,
        ("score-node",),
        ("score-by-hand",),
        ("node `predict`", "pyarrow and NumPy by hand"),
        "1.3 of the time, peak under 700 MiB",
    ),
    "scoring-growth": Case(
        TEN_MILLION,
        TEN_MILLION,
        ("score-node",),
        ("score-node-tenth",),
        ("node `predict`", "the same on a tenth of the rows"),
        "1.2 of the peak",
    ),
    "whole-run": Case(
        TEN_MILLION,
        TEN_MILLION,
        ("kedro-batch",),
        ("imports", "extract-sql", "score-by-hand"),
        ("`kedro run --pipelines batch`", "imports + SQL by hand + scoring by hand"),
        "1.3 of the time, peak under 2560 MiB",
    ),
}


# --- The parent: starts, waits, counts --------------------------------------------------------------------------------


def main() -> None:
    """Measure the cases, or play the part of one of the children."""
    options = _options()
    if options.part:
        PARTS[options.part](Path(options.folder))
        return
    table = compare(options)
    options.output.write_text(table, encoding="utf-8")
    print(table)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of rows")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/batch.md", help="where the table goes")
    for hidden in ("--part", "--folder", "--features", "--requests"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    return parser.parse_args()


def compare(options: argparse.Namespace) -> str:
    """Run the cases and return their table."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in options.cases:
            case = CASES[name]
            prepare(Path(folder), case, options.scale)
            rows += case_rows(name, case, Path(folder), options)
    header = ["case", "", "seconds", "peak MiB", "seconds, ratio", "peak, ratio", "goal"]
    head = f"Median (lowest to highest) of {options.runs} runs in turns, after a warm-up. {machine()}."
    return "\n".join(["# Batch", "", head, "", *markdown_table(header, rows), ""])


def prepare(folder: Path, case: Case, scale: float) -> None:
    """Make the data of a case, unless it is that of the last one, and a project that has a champion."""
    features, requests = int(case.features * scale), int(case.requests * scale)
    marker, size = folder / "size", f"{features} {requests}"
    if marker.exists() and marker.read_text(encoding="utf-8") == size:
        return
    part("data", folder, "--features", str(features), "--requests", str(requests))
    if not (folder / "project").exists():
        measure(kedro_run("training"), copy_project(folder / "project"))
    stats = folder / "project/data/01_raw/driver_stats.parquet"
    stats.unlink()
    stats.symlink_to(folder / "stats.parquet")
    for name in ("input.parquet", "input-tenth.parquet"):
        part("extract-input" if name == "input.parquet" else "extract-input-tenth", folder)
    marker.write_text(size, encoding="utf-8")


def part(name: str, folder: Path, *more: str) -> Usage:
    """Run a part of this script, or a command, in a process of its own."""
    if name == "imports":
        return measure([sys.executable, "-c", IMPORTS])
    if name == "kedro-batch":
        params = f"batch_request={folder / 'requests.parquet'}"
        return measure([*kedro_run("batch"), "--params", params], folder / "project")
    return measure([sys.executable, __file__, "--part", name, "--folder", str(folder), *more])


def case_rows(name: str, case: Case, folder: Path, options: argparse.Namespace) -> list[list[str]]:
    """Run both sides in turns, and return two rows of the table."""
    ours: list[Usage] = []
    theirs: list[Usage] = []
    for turn in range(options.runs + 1):
        for side, parts in ((ours, case.ours), (theirs, case.theirs)):
            usage = total([part(each, folder) for each in parts])
            print(f"  {name} {parts}: {usage.seconds:.2f} s, {usage.peak:.0f} MiB", file=sys.stderr)
            if turn:
                side.append(usage)
    seconds = ratios([usage.seconds for usage in ours], [usage.seconds for usage in theirs])
    peaks = ratios([usage.peak for usage in ours], [usage.peak for usage in theirs])
    size = f"{int(case.features * options.scale):.0e} features, {int(case.requests * options.scale):.0e} rows"
    figures = [[spread([u.seconds for u in side]), spread([u.peak for u in side], 0)] for side in (ours, theirs)]
    return [
        [f"{name}: {size}", case.names[0], *figures[0], spread(seconds, 3), spread(peaks, 3), case.goal],
        ["", case.names[1], *figures[1], "", "", ""],
    ]


def total(parts: Sequence[Usage]) -> Usage:
    """Return the sum of times and the highest peak."""
    return Usage(
        sum(usage.wall for usage in parts),
        sum(usage.cpu for usage in parts),
        max(usage.peak for usage in parts),
        sum(usage.seconds for usage in parts),
    )


# --- The children -----------------------------------------------------------------------------------------------------


def _timed(work: Callable[[], object]) -> None:
    began = time.perf_counter()
    work()
    print(json.dumps({"seconds": time.perf_counter() - began}))


def make_data(folder: Path) -> None:
    """Write the driver statistics and the request."""
    from driver_ranking import sample_data as sample

    options = _options()
    features, requests = int(options.features), int(options.requests)
    size = sample.SampleSize.of_rows(features, drivers=max(1, features // HOURS))
    stats = sample.driver_stats_batches(size)
    sample.write_parquet(folder / "stats.parquet", sample.DRIVER_STATS_SCHEMA, stats)
    rows = sample.entity_row_batches(size, requests)
    sample.write_parquet(folder / "requests.parquet", sample.ENTITY_ROWS_SCHEMA, rows)


def open_store(folder: Path, offline_store: dict[str, Any]) -> Any:  # noqa: ANN401 - feast is imported in children alone
    """Return a feature store with the view of the project over the generated statistics."""
    from datetime import timedelta

    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.data_format import ParquetFormat
    from feast.types import Float32, Int32

    config = RepoConfig(
        project="bench",
        provider="local",
        registry=str(folder / "registry.db"),
        online_store={"type": "sqlite", "path": str(folder / "online.db")},
        offline_store=offline_store,
        entity_key_serialization_version=3,
        repo_path=folder,
    )
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    source = FileSource(
        name="stats_source",
        path=str(folder / "stats.parquet"),
        file_format=ParquetFormat(),
        timestamp_field="datetime",
        created_timestamp_column="created",
    )
    schema = [
        Field(name="conv_rate", dtype=Float32),
        Field(name="acc_rate", dtype=Float32),
        Field(name="avg_daily_trips", dtype=Int32),
    ]
    view = FeatureView(name="stats", entities=[driver], ttl=timedelta(days=36500), schema=schema, source=source)
    store = FeatureStore(config=config)
    store.apply([driver, view])
    return store


REFS = ["stats:conv_rate", "stats:acc_rate", "stats:avg_daily_trips"]


def _extract_asof(folder: Path, options: dict[str, Any], requests: str = "requests", output: str = "output") -> None:
    store = open_store(folder, {"type": ASOF, **options})

    def work() -> None:
        job = store.get_historical_features(entity_df=str(folder / f"{requests}.parquet"), features=REFS)
        job.in_request_order().write_parquet(str(folder / f"{output}.parquet"))

    _timed(work)


def extract_asof(folder: Path) -> None:
    """Extract with this project's offline store, in the request's order."""
    _extract_asof(folder, {})


def extract_asof_limited(folder: Path) -> None:
    """Likewise, with little memory."""
    _extract_asof(folder, {"memory_limit": LIMIT})


def extract_stock(folder: Path) -> None:
    """Extract with Feast's own DuckDB store."""
    import pandas as pd
    import pyarrow.parquet as pq

    store = open_store(folder, {"type": "duckdb"})
    requests = pd.read_parquet(folder / "requests.parquet")

    def work() -> None:
        table = store.get_historical_features(entity_df=requests, features=REFS).to_arrow()
        pq.write_table(table, folder / "output-stock.parquet")

    _timed(work)


def _sql(folder: Path, *, tie_break: bool = True) -> str:
    """Return what one would write by hand: ttl, tie-break, the request's order."""
    # in microseconds: DuckDB subtracts times with zones by the calendar, which would take most of the query's time
    fresh = "CASE WHEN epoch_us(r.event_timestamp) - epoch_us(f.datetime) <= 36500 * 86_400_000_000 THEN"
    features = ", ".join(f"{fresh} f.{name} END AS {name}" for name in ("conv_rate", "acc_rate", "avg_daily_trips"))
    latest = "QUALIFY row_number() OVER (PARTITION BY driver_id, datetime ORDER BY created DESC) = 1"
    return f"""
        COPY (
            WITH f AS (SELECT * FROM read_parquet('{folder}/stats.parquet') {latest if tie_break else ""})
            SELECT r.event_timestamp, r.driver_id, {features}
            FROM read_parquet('{folder}/requests.parquet', file_row_number = true) AS r
            ASOF LEFT JOIN f ON r.driver_id = f.driver_id AND r.event_timestamp >= f.datetime
            ORDER BY r.file_row_number
        ) TO '{folder}/output-sql.parquet' (FORMAT parquet)
    """


def _extract_sql(folder: Path, settings: dict[str, Any], *, tie_break: bool = True) -> None:
    import duckdb

    with tempfile.TemporaryDirectory() as spill:
        connection = duckdb.connect(config={"temp_directory": spill, **settings})
        connection.execute("SET TimeZone = 'UTC'")
        _timed(lambda: connection.execute(_sql(folder, tie_break=tie_break)))


def extract_sql(folder: Path) -> None:
    """Extract with SQL by hand."""
    _extract_sql(folder, {})


def extract_sql_bare(folder: Path) -> None:
    """Likewise, without the tie-break."""
    _extract_sql(folder, {}, tie_break=False)


def extract_sql_bare_limited(folder: Path) -> None:
    """Likewise, with little memory."""
    _extract_sql(folder, {"memory_limit": LIMIT}, tie_break=False)


def _extract_input(folder: Path, rows: str, output: str) -> None:
    """Write the input of scoring as the pipeline would."""
    import duckdb

    version = _resolve(folder).version
    sql = _sql(folder).replace("output-sql", output)
    sql = sql.replace(f"read_parquet('{folder}/requests.parquet', file_row_number = true)", rows)
    named = f"KV_METADATA {{'driver_ranking.model_version': '{version}', 'driver_ranking.request': 'request'}}"
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(sql.replace("(FORMAT parquet)", f"(FORMAT parquet, {named})"))


def extract_input(folder: Path) -> None:
    """Write the input of scoring."""
    _extract_input(folder, f"read_parquet('{folder}/requests.parquet', file_row_number = true)", "input")


def extract_input_tenth(folder: Path) -> None:
    """Write a tenth of the input of scoring."""
    every_tenth = f"read_parquet('{folder}/requests.parquet', file_row_number = true) WHERE file_row_number % 10 = 0"
    _extract_input(folder, f"(SELECT * FROM {every_tenth})", "input-tenth")


def _registry(folder: Path) -> Any:  # noqa: ANN401 - mlflow is imported in the children alone
    from driver_ranking.model import ModelRegistry, RegistryLocation

    return ModelRegistry(RegistryLocation("driver_ranking", "champion", folder / "project/data/06_models/mlflow"))


def _resolve(folder: Path) -> Any:  # noqa: ANN401 - likewise
    return _registry(folder).resolve()


def _score_node(folder: Path, name: str) -> None:
    from driver_ranking.datasets.parquet_stream import ParquetStreamDataset
    from driver_ranking.pipelines.batch.nodes import predict

    registry = _registry(folder)
    registry.load(registry.resolve())  # imports scikit-learn
    source = ParquetStreamDataset(filepath=str(folder / f"{name}.parquet"))
    target = ParquetStreamDataset(filepath=str(folder / "scored.parquet"))
    _timed(lambda: target.save(predict(source.load(), registry, 5, "request")))


def score_node(folder: Path) -> None:
    """Score as the pipeline does."""
    _score_node(folder, "input")


def score_node_tenth(folder: Path) -> None:
    """Likewise, a tenth of the rows."""
    _score_node(folder, "input-tenth")


def score_by_hand(folder: Path) -> None:
    """Read with pyarrow, predict on arrays, write with pyarrow: what one would write for this model and these rows."""
    import mlflow.sklearn
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    model = _resolve(folder)
    estimator = mlflow.sklearn.load_model(model.local_path)
    names = list(model.feature_names)

    def work() -> None:
        source = pq.ParquetFile(folder / "input.parquet")
        schema = source.schema_arrow.append(pa.field("score", pa.float64()))
        with pq.ParquetWriter(folder / "scored-by-hand.parquet", schema) as writer:
            for batch in source.iter_batches(131_072):
                columns = [batch.column(name).to_numpy(zero_copy_only=False) for name in names]
                features = np.column_stack(columns).astype(np.float64)
                complete = ~np.isnan(features).any(axis=1)
                score = np.full(batch.num_rows, np.nan)
                if complete.any():
                    score[complete] = estimator.predict(features[complete])
                writer.write_batch(pa.record_batch([*batch.columns, pa.array(score, mask=~complete)], schema=schema))

    _timed(work)


PARTS: dict[str, Callable[[Path], None]] = {
    "data": make_data,
    "extract-asof": extract_asof,
    "extract-asof-limited": extract_asof_limited,
    "extract-stock": extract_stock,
    "extract-sql": extract_sql,
    "extract-sql-bare": extract_sql_bare,
    "extract-sql-bare-limited": extract_sql_bare_limited,
    "extract-input": extract_input,
    "extract-input-tenth": extract_input_tenth,
    "score-node": score_node,
    "score-node-tenth": score_node_tenth,
    "score-by-hand": score_by_hand,
}


if __name__ == "__main__":
    main()
