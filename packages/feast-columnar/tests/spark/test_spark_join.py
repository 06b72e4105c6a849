"""The join on Spark where the local one has nothing like it: groups, skew, other kinds of entity rows, what is kept."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from columnar_support.asof_repos import AsofRepo
from feast import Field
from feast.types import UnixTimestamp

from feast_columnar.errors import AsofError
from feast_columnar.spark import groups, plan, planning, workers
from feast_columnar.spark.folder import setting

if TYPE_CHECKING:
    from columnar_support.spark_repos import SparkAsofRepo
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow
ROWS = 40_000


def skewed(repo: AsofRepo, rng: np.random.Generator) -> tuple[pa.Table, pa.Table]:
    """Requests and features: a fifth of one driver, a fifth without a key, ties, a few nulls."""
    keys = [rng.integers(1, 500, ROWS) for _ in range(2)]
    for key in keys:
        key[: ROWS // 5] = 7
    minutes = rng.integers(0, 5_000, (3, ROWS))
    noon = np.datetime64(repo.noon().replace(tzinfo=None), "us")
    times = [pa.array(noon + minute.astype("timedelta64[m]"), pa.timestamp("us", "UTC")) for minute in minutes]
    asked = pa.array(keys[0], mask=np.arange(ROWS) >= ROWS * 4 // 5)
    requests = pa.table({"driver_id": asked, "event_timestamp": times[0], "request": range(ROWS)})
    trips = pa.array(np.arange(ROWS, dtype=np.int32), mask=rng.random(ROWS) < 0.01)
    columns = {"driver_id": keys[1], "event_timestamp": times[1], "created": times[2], "trips": trips}
    return requests, pa.table(columns)


def test_skewed_rows_in_many_groups_get_what_the_local_store_gives(
    asof_repo: SparkAsofRepo, tmp_path: Path, watched: Watched
) -> None:
    requests, features = skewed(asof_repo, np.random.default_rng(5))
    for part in range(3):
        asof_repo.write(f"stats/{part}.parquet", features.slice(part * ROWS // 3, ROWS // 3 + 1))
    source = asof_repo.source(tmp_path / "stats")
    views = [asof_repo.view(f"v{n}", source=source, ttl=ttl) for n, ttl in enumerate((None, timedelta(hours=3)))]
    asof_repo.apply(*views)
    refs = ["v0:trips", "v1:trips"]
    store = asof_repo.open(rows_per_group=4_000)
    got = store.get_historical_features(requests, refs, full_feature_names=True).to_arrow().sort_by("request")
    want = AsofRepo(tmp_path).job(requests, tuple(refs), full_feature_names=True).to_arrow()
    assert got.equals(want.cast(got.schema))
    assert len(watched.groups[0].splits) == 1
    assert 0.1 < got["v1__trips"].null_count / ROWS < 0.9


@dataclass
class Watched:
    """What was planned, and how many rows of both sides each group had."""

    folder: Path
    groups: list[groups.Groups]

    def sizes(self) -> list[int]:
        return [int(path.name.partition("-")[0]) for path in self.folder.iterdir()]


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    """Watch the groups; of rows so few that they would not be split otherwise."""
    watch = Watched(tmp_path / "sizes", [])
    watch.folder.mkdir()
    joining, planned = workers.joining, planning.planned

    def noting(*arguments: Any) -> Any:
        join, folder = joining(*arguments), str(watch.folder)

        def noted(left: pa.Table, right: pa.Table) -> pa.Table:
            (Path(folder) / f"{left.num_rows + right.num_rows}-{uuid.uuid4().hex}").touch()
            return join(left, right)

        return noted

    def keeping(*arguments: Any) -> Any:
        watch.groups = planned(*arguments)
        return watch.groups

    monkeypatch.setattr(plan, "joining", noting)
    monkeypatch.setattr(plan, "planned", keeping)
    monkeypatch.setattr(planning, "_FEW_ROWS", 10)
    return watch


@pytest.mark.parametrize("by_created", [False, True])
def test_however_rows_are_split_they_get_what_the_local_store_gives(
    asof_repo: SparkAsofRepo, watched: Watched, *, by_created: bool
) -> None:
    rng, count = np.random.default_rng(7), 3_000
    noon = np.datetime64(asof_repo.noon().replace(tzinfo=None), "us")

    def moments(least: int, most: int) -> pa.Array:
        times = noon + rng.integers(least, most, count).astype("timedelta64[m]")
        return pa.array(times, pa.timestamp("us", "UTC"), mask=rng.random(count) < 0.05)

    def drivers(last: int) -> pa.Array:
        return pa.array(rng.integers(0, last, count), mask=rng.random(count) < 0.05)

    stats = {"driver_id": drivers(15), "event_timestamp": moments(0, 90), "created": moments(0, 90)}
    trips = pa.array(np.arange(count, dtype=np.int32), mask=rng.random(count) < 0.05)
    source = asof_repo.source(asof_repo.write("stats.parquet", pa.table({**stats, "trips": trips})))
    views = [asof_repo.view(f"v{n}", source=source, ttl=ttl) for n, ttl in enumerate((None, timedelta(minutes=9)))]
    asof_repo.apply(*views)
    requests = pa.table({"driver_id": drivers(17), "event_timestamp": moments(-5, 120), "request": range(count)})
    options = {"full_feature_names": True, "filter_by_created_timestamp": by_created}
    refs = ["v0:trips", "v1:trips"]
    store = asof_repo.open(rows_per_group=100)
    got = store.get_historical_features(requests, refs, **options).to_arrow().sort_by("request")
    want = AsofRepo(asof_repo.folder).job(requests, tuple(refs), **options).to_arrow()
    assert got.equals(want.cast(got.schema))
    splits = [split for groups in watched.groups for split in groups.splits.values()]
    assert len(splits) >= 20
    assert any(split.cuts for split in splits) is not by_created


@pytest.mark.parametrize("heavy", ["requests", "both", "both, requests at one time"])
def test_no_group_has_much_more_than_its_share(asof_repo: SparkAsofRepo, watched: Watched, heavy: str) -> None:
    requests, features = skewed(asof_repo, np.random.default_rng(6))
    if heavy == "requests":
        features = features.slice(ROWS // 5)
    if heavy.endswith("one time"):
        moment = pa.array([asof_repo.noon(4_990)] * ROWS, pa.timestamp("us", "UTC"))
        requests = requests.set_column(1, "event_timestamp", moment)
    asof_repo.apply(asof_repo.view(rows=features))
    store = asof_repo.open(rows_per_group=4_000)
    got = store.get_historical_features(requests, ["stats:trips"]).to_arrow().sort_by("request")
    assert got["trips"].equals(AsofRepo(asof_repo.folder).job(requests).to_arrow()["trips"])
    sizes = watched.sizes()
    assert len(sizes) == watched.groups[0].count
    assert max(sizes) < (8_500 if heavy.endswith("one time") else 6_000)  # a bucket of 6,000 is not split yet
    assert sum(sizes) < 1.2 * (len(requests) + len(features))


def test_a_history_that_is_filtered_by_created_is_not_split(asof_repo: SparkAsofRepo, watched: Watched) -> None:
    requests, features = skewed(asof_repo, np.random.default_rng(8))
    requests = requests.slice(ROWS // 5)
    asof_repo.apply(asof_repo.view(rows=features))
    store = asof_repo.open(rows_per_group=4_000)
    options = {"filter_by_created_timestamp": True}
    got = store.get_historical_features(requests, ["stats:trips"], **options).to_arrow().sort_by("request")
    assert got["trips"].equals(AsofRepo(asof_repo.folder).job(requests, **options).to_arrow()["trips"])
    assert watched.groups[0].splits == {}
    assert max(watched.sizes()) > ROWS // 5


def test_without_entity_rows_the_keys_of_all_views_come(asof_repo: SparkAsofRepo) -> None:
    noon = asof_repo.noon
    asof_repo.apply(
        asof_repo.view("one", [(1, noon(1), None, 10), (2, noon(9), None, 20)]),
        asof_repo.view("two", [(2, noon(1), None, 30), (3, noon(2), None, 40), (None, noon(2), None, 50)]),
    )
    job = asof_repo.job(None, ("one:trips", "two:trips"), full_feature_names=True, start_date=noon(0), end_date=noon(5))
    rows = [(row["driver_id"], row["one__trips"], row["two__trips"]) for row in job.to_arrow().to_pylist()]
    assert sorted(rows) == [(1, 10, None), (2, None, 30), (3, None, 40)]


def test_spark_frames_and_spark_sql_are_entity_rows(asof_repo: SparkAsofRepo, session: SparkSession) -> None:
    noon = asof_repo.noon
    asof_repo.apply(asof_repo.view(rows=[(1, noon(), None, 10)]))
    asked = session.createDataFrame(pd.DataFrame({"driver_id": [1, 2], "event_timestamp": [noon(9)] * 2}))
    assert asof_repo.trips(asked) == [10, None]
    asked.createOrReplaceTempView("asked")
    assert asof_repo.trips("SELECT driver_id, event_timestamp FROM asked;") == [10, None]
    with pytest.raises(AsofError, match="Spark could not run the query"):
        asof_repo.trips("SELECT nothing FROM nowhere")
    with pytest.raises(AsofError, match="type list are not supported"):
        asof_repo.trips([1])


def test_a_driver_that_only_the_request_knows_and_an_empty_request(asof_repo: SparkAsofRepo) -> None:
    asof_repo.apply(asof_repo.view(rows=[]))
    asked = pd.DataFrame({"driver_id": [1], "event_timestamp": [asof_repo.noon()]})
    assert asof_repo.trips(asked) == [None]
    table = asof_repo.job(pa.Table.from_pandas(asked).slice(0, 0)).to_arrow()
    assert (table.num_rows, table.column_names[-1]) == (0, "trips")


def test_a_session_of_another_time_zone_is_refused(asof_repo: SparkAsofRepo, session: SparkSession) -> None:
    asof_repo.apply(asof_repo.view(rows=[]))
    asked = pd.DataFrame({"driver_id": [1], "event_timestamp": [asof_repo.noon()]})
    with (
        setting(session, "spark.sql.session.timeZone", "America/New_York"),
        pytest.raises(AsofError, match=r"has the time zone America/New_York; set spark\.sql\.session\.timeZone to UTC"),
    ):
        asof_repo.trips(asked)


def test_sources_of_one_name_are_told_apart_by_their_paths(asof_repo: SparkAsofRepo) -> None:
    noon = asof_repo.noon()
    for number in (1, 2):
        source = asof_repo.source(asof_repo.write(f"s{number}.parquet", [(1, noon, None, number)]), name="same")
        asof_repo.apply(asof_repo.view(f"v{number}", source=source))
    asked = pd.DataFrame({"driver_id": [1], "event_timestamp": [noon]})
    (row,) = asof_repo.features(asked, ("v1:trips", "v2:trips"), full_feature_names=True)
    assert (row["v1__trips"], row["v2__trips"]) == (1, 2)


def test_the_order_of_a_folder_is_that_of_its_files(asof_repo: SparkAsofRepo) -> None:
    asof_repo.apply(asof_repo.view(rows=[]))
    first = 0
    for number, count in enumerate((5, 5_000, 50)):
        rows = {"driver_id": [1] * count, "event_timestamp": [asof_repo.noon()] * count}
        asof_repo.write(f"asked/{number}.parquet", pa.table({**rows, "request": range(first, first + count)}))
        first += count
    table = asof_repo.job(asof_repo.folder / "asked").to_arrow()
    assert table["request"].to_pylist() == list(range(first))


def test_only_parquet_files_of_a_folder_are_read(asof_repo: SparkAsofRepo) -> None:
    noon = asof_repo.noon()
    asof_repo.write("stats/x.parquet", [(1, noon, noon, 1)])
    asof_repo.write("stats/y.parquet", [(1, noon, noon, 2)]).rename(asof_repo.folder / "stats/x.parquet.bak")
    (asof_repo.folder / "stats/README.md").write_text("rows", encoding="utf-8")
    asof_repo.apply(asof_repo.view(source=asof_repo.source(asof_repo.folder / "stats")))
    assert asof_repo.trips(pd.DataFrame({"driver_id": [1], "event_timestamp": [noon]})) == [1]


def test_keys_that_are_compared_as_floats_meet(asof_repo: SparkAsofRepo, watched: Watched) -> None:
    noon, count = asof_repo.noon(), 200
    keys = [16_777_217 + 2 * number for number in range(count)]
    moments = pa.array([noon] * count, pa.timestamp("us", "UTC"))
    trips = pa.array(range(count), pa.int32())
    rows = {"driver_id": keys, "event_timestamp": moments, "created": moments, "trips": trips}
    asof_repo.apply(asof_repo.view(rows=pa.table(rows)))
    asked = pa.table({"driver_id": pa.array(np.array(keys, np.float32)), "event_timestamp": moments})
    store = asof_repo.open(rows_per_group=20)
    got = store.get_historical_features(asked, ["stats:trips"]).in_request_order().to_arrow()["trips"]
    assert got.equals(AsofRepo(asof_repo.folder).job(asked).to_arrow()["trips"])
    assert watched.groups[0].count > 1


def test_times_of_nanoseconds_are_found_in_whichever_file_has_them(asof_repo: SparkAsofRepo) -> None:
    noon = asof_repo.noon()
    row = {"driver_id": [1], "event_timestamp": [noon], "created": [noon], "trips": pa.array([1], pa.int32())}
    asof_repo.write("stats/a.parquet", pa.table(row))
    when = {"driver_id": [2], "when": pa.array([-1_500], pa.timestamp("ns", "UTC"))}
    asof_repo.write("stats/b.parquet", pa.table({**row, **when}))
    source = asof_repo.source(asof_repo.folder / "stats")
    asof_repo.apply(asof_repo.view(source=source, schema=[Field(name="when", dtype=UnixTimestamp)]))
    asked = pd.DataFrame({"driver_id": [1, 2], "event_timestamp": [noon] * 2})
    got = asof_repo.job(asked, ("stats:when",)).to_arrow()["when"]
    assert got.to_pylist() == [None, datetime(1970, 1, 1, tzinfo=UTC) - timedelta(microseconds=1)]


@pytest.mark.parametrize("name", ["a.b", "a`b"])
def test_names_that_pyspark_cannot_take_are_refused(asof_repo: SparkAsofRepo, name: str) -> None:
    asof_repo.apply(asof_repo.view(rows=[]))
    asked = pd.DataFrame({"driver_id": [1], "event_timestamp": [asof_repo.noon()], name: [1]})
    with pytest.raises(AsofError, match=f"the entity rows would have a column '{name}'; PySpark takes none with"):
        asof_repo.trips(asked)


def test_what_fails_on_a_worker_is_told_in_its_words(asof_repo: SparkAsofRepo) -> None:
    asof_repo.apply(asof_repo.view(rows=[(1, asof_repo.noon(), None, 10)]))
    asked = pd.DataFrame({"driver_id": [1], "event_timestamp": ["nonsense"]})
    path = asof_repo.write("asked.parquet", pa.Table.from_pandas(asked))
    with pytest.raises(AsofError, match=r'DuckDB could not run the query: .* "nonsense"'):
        asof_repo.trips(path)


def test_a_pattern_over_folders_is_refused(asof_repo: SparkAsofRepo) -> None:
    asof_repo.apply(asof_repo.view(source=asof_repo.source(asof_repo.folder / "**/*.parquet")))
    with pytest.raises(AsofError, match=r"do not know \*\* in '.*'; name the folder"):
        asof_repo.trips(pd.DataFrame({"driver_id": [1], "event_timestamp": [asof_repo.noon()]}))


def test_a_session_keeps_its_settings(asof_repo: SparkAsofRepo, session: SparkSession) -> None:
    asof_repo.apply(asof_repo.view(rows=[(1, asof_repo.noon(), None, 10)]))
    names = ("spark.sql.legacy.parquet.nanosAsLong", "spark.sql.parquet.outputTimestampType")
    before = [session.conf.get(name) for name in names]
    job: Any = asof_repo.job(pd.DataFrame({"driver_id": [1], "event_timestamp": [asof_repo.noon()]}))
    assert job.to_spark_df().count() == 1
    assert [session.conf.get(name) for name in names] == before
