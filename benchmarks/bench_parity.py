"""Seconds and peak memory of the comparison of a prediction log with the feature store.

    python benchmarks/bench_parity.py --answers 1000000x50 10000000x1 --drivers 100000

A day of answers of so many candidates each, an hourly source, hourly materializations in the ledger. Timed is the
comparison alone, without imports and without loading the model; peak memory is the operating system's account of the
whole process. Rows per second are those of the log. A second column is what reading the log alone takes.
"""

from __future__ import annotations

# The standard library alone: Linux adds the peak memory of the process that starts a child to the child's own.
import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from borrowed import copy_project
from measure import ROOT, Usage, machine, markdown_table, measure, spread, timed

HOURS = 24
MINUTE = 60_000_000
HOUR = 60 * MINUTE
BEGIN = 1_780_000_000 * 1_000_000 // HOUR * HOUR
FEATURES = ("conv_rate", "acc_rate", "avg_daily_trips")
SERVICE = "driver_ranking_v1"


def main() -> None:
    """Measure every size, or play the part of one of the children."""
    arguments = _arguments()
    parts = {"project": make_project, "data": make_data, "run": compare_log, "read": read_log}
    if arguments.part:
        parts[arguments.part](arguments)
    else:
        compare(arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", nargs="+", default=["1000000x50", "10000000x1"], help="ANSWERSxCANDIDATES")
    parser.add_argument("--drivers", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/parity.md", help="where the table goes")
    for hidden in ("--part", "--folder"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    return parser.parse_args()


# --- The parent: starts, waits, counts --------------------------------------------------------------------------------


def compare(arguments: argparse.Namespace) -> None:
    """Run all sizes, and write the table."""
    rows = []
    for answers in arguments.answers:
        with tempfile.TemporaryDirectory() as folder:
            words = ["--folder", folder, "--answers", answers, "--drivers", str(arguments.drivers)]
            for part in ("project", "data"):
                child("--part", part, *words)
            turns = [[child("--part", part, *words) for part in ("run", "read")] for _ in range(arguments.runs)]
            rows.append(_row(answers, turns))
            print(rows[-1], file=sys.stderr)
    header = ["answers x candidates", "seconds", "rows/s", "peak MiB", "reading alone, seconds"]
    head = f"{arguments.drivers} drivers, {HOURS} materializations; of {arguments.runs} run(s). {machine()}."
    text = "\n".join(["# Parity", "", head, "", *markdown_table(header, rows), ""])
    arguments.output.write_text(text, encoding="utf-8")
    print(text)


def _row(answers: str, turns: list[list[Usage]]) -> list[str]:
    seconds = [run.seconds for run, _ in turns]
    count, candidates = map(int, answers.split("x"))
    rate = f"{count * candidates / sorted(seconds)[len(seconds) // 2]:,.0f}"
    peak = spread([run.peak for run, _ in turns], 0)
    return [answers, spread(seconds), rate, peak, spread([read.seconds for _, read in turns])]


def child(*arguments: str) -> Usage:
    """Run a part of this script."""
    return measure([sys.executable, __file__, *arguments])


# --- The children -----------------------------------------------------------------------------------------------------


def make_project(arguments: argparse.Namespace) -> None:
    """Train the sample's model, and put a source of so many drivers in the place of the sample's."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    from support.projects import run_pipeline

    project = copy_project(Path(arguments.folder) / "project")
    run_pipeline(project, "training")
    path = project / "data/01_raw/driver_stats.parquet"
    schema, random = pq.read_schema(path), np.random.default_rng(0)
    with pq.ParquetWriter(path, schema) as writer:
        for hour in range(-1, HOURS):
            count = arguments.drivers
            times = np.full(count, BEGIN + hour * HOUR)
            values = [random.random(count), random.random(count), random.integers(1, 40, count)]
            columns = [times, 1001 + np.arange(count), *values, times + 5 * MINUTE]
            arrays = [_cast(one, field.type) for one, field in zip(columns, schema, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _cast(values: Any, kind: Any) -> Any:  # noqa: ANN401 - pyarrow is imported in the children alone
    import pyarrow as pa

    array = pa.array(values)
    return array.cast(pa.timestamp("us", "UTC")).cast(kind) if pa.types.is_timestamp(kind) else array.cast(kind)


def make_data(arguments: argparse.Namespace) -> None:
    """Write the ledger and the log: of each hour the answers, in order of time."""
    import numpy as np
    import pyarrow.parquet as pq

    project = Path(arguments.folder) / "project"
    world = _World(project)
    world.write_ledger()
    answers, candidates = map(int, arguments.answers[0].split("x"))
    source = pq.read_table(project / "data/01_raw/driver_stats.parquet")
    matrix = np.stack([np.asarray(source[name].to_numpy(), dtype=np.float64) for name in FEATURES], axis=1)
    values = matrix.reshape(HOURS + 1, arguments.drivers, len(FEATURES))
    for hour in range(HOURS):
        world.write_hour(hour, answers // HOURS + (hour < answers % HOURS), candidates, values)


class _World:
    """The project, and what is written into it."""

    def __init__(self, project: Path) -> None:
        from driver_ranking.feature_store.online import open_reader
        from driver_ranking.feature_store.repo import FeatureRepo, find_service
        from driver_ranking.model import ModelRegistry, RegistryLocation
        from driver_ranking.model_features import features_of
        from driver_ranking.prediction_log.description import model_columns, model_description
        from driver_ranking.prediction_log.schema import log_schema

        self.project = project
        repo = FeatureRepo(project / "feature_repo")
        self.store = repo.apply(repo.definitions())
        registry = ModelRegistry(RegistryLocation("driver_ranking", "champion", project / "data/06_models/mlflow"))
        model = registry.resolve()
        self.predictor = registry.load(model)
        features = features_of(model, find_service(self.store, model.feature_service))
        reader = open_reader(self.store, features.service, features.stored, timeout=1)
        schema = log_schema(self.store, features.service, keys=reader.keys, request={}, requested={})
        said = {"run_id": "bench", "candidate": "driver_id", "keys": [], "request": [], "omitted": [], "hashed": []}
        described = model_description(model, model_columns(model, schema), features.defaults)
        self.schema = schema.with_metadata({**described, **said, "project": self.store.project})
        self.answers = 0

    def write_ledger(self) -> None:
        """Write a materialization for each hour, which begins at its sixth minute."""
        from datetime import timedelta

        from feast_columnar.ledger.entries import Actor, Brought, Entry, Kind, OnlineStore, Outcome
        from feast_columnar.ledger.settings import open_ledger
        from feast_columnar.online.moments import EPOCH, MICROSECOND

        ledger = open_ledger(self.store)
        for hour in range(HOURS + 1):
            end = EPOCH + (BEGIN + (hour - 1) * HOUR + 6 * MINUTE) * MICROSECOND
            ledger.put(
                Entry(
                    id=f"{hour:032x}",
                    kind=Kind.MATERIALIZATION,
                    outcome=Outcome.FINISHED,
                    project=ledger.project,
                    view="driver_stats",
                    join_keys=("driver_id",),
                    definition="",
                    start=end - timedelta(hours=1),
                    end=end,
                    began=end,
                    ended=end + timedelta(seconds=30),
                    store=OnlineStore(ledger.store.type, ledger.store.address, overwrites=True),
                    store_was_empty=hour == 0,
                    actor=Actor("bench", "bench", "bench", 1),
                    brought=Brought(1),
                ),
                durable=False,
            )

    def write_hour(self, hour: int, answers: int, candidates: int, values: Any) -> None:  # noqa: ANN401 - an array
        """Write the answers of an hour."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.parquet as pq

        from driver_ranking.prediction_log.places import LogPlaces, partition
        from driver_ranking.prediction_log.schema import METADATA

        random = np.random.default_rng(hour)
        moments = BEGIN + hour * HOUR + np.sort(random.integers(0, HOUR, answers))
        now, request = np.repeat(moments, candidates), np.repeat(np.arange(answers), candidates)
        driver = random.integers(0, values.shape[1], answers * candidates)
        place = np.where(now - (BEGIN + hour * HOUR) >= 6 * MINUTE + 30_000_000, hour + 1, hour)
        columns = self._columns(now, request, driver, values[place, driver], BEGIN + (place - 1) * HOUR)
        columns["__position"] = np.tile(np.arange(candidates), answers)
        columns["__answer"] = request + self.answers
        self.answers += answers
        folder = LogPlaces(self.project / "data/09_prediction_log").service(SERVICE) / partition((BEGIN // HOUR) + hour)
        folder.mkdir(parents=True)
        fields = [_column(columns.get(field.name), field.type, len(now)) for field in self.schema]
        table = pa.Table.from_arrays(fields, schema=self.schema.remove_metadata())
        with pq.ParquetWriter(folder / "bench.parquet", table.schema, compression="zstd", store_schema=False) as writer:
            writer.write_table(table, row_group_size=65_536)
            writer.add_key_value_metadata({METADATA: self.schema.metadata[METADATA]})

    def _columns(self, now: Any, request: Any, driver: Any, matrix: Any, event: Any) -> dict[str, Any]:  # noqa: ANN401 - arrays
        import numpy as np

        from driver_ranking.ranking import ranks_within

        score = self.predictor.predict(np.ascontiguousarray(matrix))
        rank = ranks_within(request, driver, score)
        columns: dict[str, Any] = {
            "driver_id": 1001 + driver,
            "__log_timestamp": now,
            "__score": score,
            "__rank": np.where(rank == 0, np.nan, rank),
            "__given": rank == 1,
            "__status": "ok",
            "__run_id": "bench",
            "__model_name": "driver_ranking",
            "__model_version": "1",
            "__feature_service": SERVICE,
            "__read_us": np.full(len(now), 500),
            "__event_timestamp__driver_stats": event,
            "__defaulted": [],
        }
        for place, name in enumerate(FEATURES):
            columns[f"driver_stats__{name}"] = matrix[:, place]
            columns[f"driver_stats__{name}__status"] = np.ones(len(now), dtype=np.int32)
        return columns


def _column(values: Any, kind: Any, count: int) -> Any:  # noqa: ANN401 - as above
    import numpy as np
    import pyarrow as pa

    if values is None:
        return pa.nulls(count, kind)
    if isinstance(values, str):
        return pa.repeat(values, count)
    if isinstance(values, list):
        return pa.ListArray.from_arrays(np.zeros(count + 1, dtype=np.int32), pa.array([], pa.string())).cast(kind)
    missing = np.isnan(values) if values.dtype.kind == "f" else None
    array = pa.array(values if missing is None else np.where(missing, 0, values), mask=missing)
    return array.cast(kind)


def compare_log(arguments: argparse.Namespace) -> None:
    """Compare the log, and check that nothing is unexplained."""
    from driver_ranking.feature_store.repo import FeatureRepo
    from driver_ranking.model import ModelRegistry, RegistryLocation
    from driver_ranking.parity.answers import chunks
    from driver_ranking.parity.comparing import Comparison
    from driver_ranking.parity.report import report_of
    from driver_ranking.prediction_log.reader import batches
    from feast_columnar.ledger.settings import open_ledger

    project = Path(arguments.folder) / "project"
    store = FeatureRepo(project / "feature_repo").open()
    registry = ModelRegistry(RegistryLocation("driver_ranking", "champion", project / "data/06_models/mlflow"))
    registry.load(registry.resolve(1))

    def work() -> None:
        comparison = Comparison(store, registry, open_ledger(store), None)
        report = report_of(comparison.run(chunks(batches(project / "data/09_prediction_log", SERVICE))))
        answers, candidates = map(int, arguments.answers[0].split("x"))
        expected = {"rows": answers * candidates, "requests": answers, "unexplained": 0}
        found = {name: report[name] for name in expected}
        if found != expected:
            sys.exit(json.dumps(found))

    timed(work)


def read_log(arguments: argparse.Namespace) -> None:
    """Read the log, and do nothing with it."""
    from driver_ranking.prediction_log.reader import batches

    log = Path(arguments.folder) / "project/data/09_prediction_log"
    timed(lambda: sum(batch.num_rows for batch in batches(log, SERVICE)))


if __name__ == "__main__":
    main()
