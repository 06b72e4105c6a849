"""Features are read and requests answered while large amounts are written: none fails, and it stays ready.

What is compared is p99 in the seconds before the write with that during it, from the start of the writing process to
its end. Both run on whatever cores there are, beside eight clients: a floor keeps noise of a few milliseconds, which is
what p99 is made of when nothing is wrong, from being taken for a stall. A reader that waits for a writer, which is what
this is about, waits for hundreds of milliseconds, or fails.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.load import RunningLoad, loading
from support.projects import run_pipeline
from support.servers import BIN, environment, serving

from driver_ranking.sample_data import DRIVER_STATS_SCHEMA, FIRST_DRIVER_ID

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from support.redis_projects import RedisProject

pytestmark = pytest.mark.slow
logger = logging.getLogger(__name__)

DRIVERS, STOCK_DRIVERS = 300_000, 20_000
PUSHING = 5.0  # seconds
BEFORE = 5.0  # seconds of load before the write
TIMES = 3  # p99 during the write to that before
FLOOR = 0.03  # seconds; see above
FULL = ("--pipeline", "materialize", "--params", "start=2026-06-01,end=2026-06-20")

PUSH = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
import pandas as pd
from feast.data_source import PushMode
from driver_ranking.feature_store.repo import FeatureRepo
store = FeatureRepo(Path(sys.argv[1])).open()
moment, rows = datetime(2026, 6, 14, tzinfo=UTC), int(sys.argv[2])
end, pushed = time.monotonic() + float(sys.argv[3]), 0
while time.monotonic() < end:
    ids = range(1001 + pushed, 1001 + pushed + rows)
    values = {"conv_rate": 0.5, "acc_rate": 0.5, "avg_daily_trips": 7, "datetime": moment, "created": moment}
    store.push("driver_stats_push", pd.DataFrame({"driver_id": ids, **values}), to=PushMode.ONLINE)
    pushed += rows
print(pushed)
"""


def write_drivers(project: Path, drivers: int) -> None:
    """Give the source one row for each of many drivers, newer than those of the sample."""
    generator = np.random.default_rng(5)
    driver_id = np.arange(FIRST_DRIVER_ID, FIRST_DRIVER_ID + drivers)
    rates = generator.random((2, drivers), dtype=np.float32)
    trips = generator.integers(0, 300, drivers, dtype=np.int32)
    moment = pa.array([datetime(2026, 6, 15, tzinfo=UTC)] * drivers).cast(DRIVER_STATS_SCHEMA.field("datetime").type)
    table = pa.table([moment, driver_id, *rates, trips, moment], schema=DRIVER_STATS_SCHEMA)
    pq.write_table(table, project / "data/01_raw/driver_stats.parquet")


def let_features_be_pushed(project: Path) -> None:
    """Put a push source in front of the file, as Feast's documentation has it."""
    views = project / "feature_repo/feature_views.py"
    text = views.read_text(encoding="utf-8").replace("FeatureView, Field", "FeatureView, Field, PushSource")
    push = 'PushSource(name="driver_stats_push", batch_source=driver_stats_source)'
    views.write_text(text.replace("source=driver_stats_source", f"source={push}"), encoding="utf-8")


def run(command: list[str], project: Path, variables: Mapping[str, str]) -> str:
    done = subprocess.run(
        command, cwd=project, env=environment(**variables), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def answered_during(
    load: RunningLoad, command: list[str], project: Path, variables: Mapping[str, str] | None = None
) -> str:
    """Run what writes, under load, and check what the clients saw; return what it said."""
    time.sleep(1)  # the first answers are slower
    began = time.monotonic()
    time.sleep(BEFORE)
    start = time.monotonic()
    said = run(command, project, variables or {})
    end = time.monotonic()
    time.sleep(1)
    report = load.end()
    before, during = report.answers.between(began, start), report.answers.between(start, end)
    summary = f"{end - start:.1f} s: before {before.described()}, during {during.described()}"
    logger.warning("%s", summary)
    assert report.answers.by_status().keys() == {200}, summary
    assert not report.answers.problems(), summary
    looks = report.watched_between(began, end)
    assert {look.ready for look in looks} == {200}, summary
    assert {look.live for look in looks} == {200}, summary
    assert len(during) > 500, summary
    assert during.percentile(99) <= TIMES * max(before.percentile(99), FLOOR), summary
    return said


def test_no_request_fails_while_features_are_written_into_sqlite(project: Path) -> None:
    repo = project / "feature_repo"
    let_features_be_pushed(project)
    run_pipeline(project, "materialize")
    settings = (repo / "feature_store.yaml").read_text(encoding="utf-8")
    stock = repo / "stock_engine.yaml"
    stock.write_text(settings[: settings.index("batch_engine:")], encoding="utf-8")
    with serving(project) as server:
        write_drivers(project, DRIVERS)
        with loading(server) as load:
            answered_during(load, [str(BIN / "kedro"), "run", *FULL], project)
        log = project / "data/04_feature/online_store.db-wal"
        assert not log.exists() or log.stat().st_size == 0  # all is in the file itself

        write_drivers(project, STOCK_DRIVERS)
        with loading(server) as load:
            stock_engine = {"FEAST_FS_YAML_FILE_PATH": str(stock)}
            answered_during(load, [str(BIN / "kedro"), "run", *FULL], project, stock_engine)

        with loading(server) as load:
            command = [sys.executable, "-c", PUSH, str(repo), "200", str(PUSHING)]
            pushed = int(answered_during(load, command, project))
        logger.warning("%d rows pushed", pushed)
        assert pushed > 1_000


def test_no_request_fails_while_many_drivers_are_materialized_into_redis(filled_redis_project: RedisProject) -> None:
    project = filled_redis_project
    write_drivers(project.folder, DRIVERS)
    with project.redis(), serving(project.folder, project.variables()) as server, loading(server) as load:
        answered_during(load, [str(BIN / "kedro"), "run", *FULL], project.folder, project.variables())
