"""How the offline store hands out rows: streams, files, Feast's saved data sets, materialization, and its options."""

from __future__ import annotations

import gc
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as pds
import pyarrow.parquet as pq
import pytest
from feast import FeatureService, Field, RequestSource
from feast.data_format import DeltaFormat
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.feature_logging import FeatureServiceLoggingSource, LoggingConfig
from feast.infra.offline_stores.bigquery_source import SavedDatasetBigQueryStorage
from feast.infra.offline_stores.file_source import FileLoggingDestination, SavedDatasetFileStorage
from feast.infra.offline_stores.snowflake_source import SnowflakeLoggingDestination
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Int64, String

from feast_columnar.offline.store import AsofError, AsofOfflineStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from columnar_support.asof_repos import AsofRepo

    from feast_columnar.offline.store import AsofRetrievalJob

pytestmark = pytest.mark.filterwarnings("ignore:On demand feature view is an experimental feature")

ROWS = 200_000


def many_requests(repo: AsofRepo, rows: int = ROWS) -> pa.Table:
    moment = np.datetime64(repo.noon(9).replace(tzinfo=None), "us")
    return pa.table(
        {
            "driver_id": np.arange(rows) % 3,
            "event_timestamp": pa.array(np.full(rows, moment)),
            "request": np.arange(rows),
        },
    )


def rounded_up() -> Any:
    """An on-demand feature view with two features, of which most tests ask for one."""

    @on_demand_feature_view(  # type: ignore[untyped-decorator]  # Feast leaves it untyped
        sources=[RequestSource(name="request", schema=[Field(name="request", dtype=Int64)])],
        schema=[Field(name="tens", dtype=Int64), Field(name="rare", dtype=String), Field(name="unasked", dtype=Int64)],
        mode="pandas",
    )
    def computed(inputs: pd.DataFrame) -> pd.DataFrame:
        tens = inputs["request"] * 10
        rare = ["one" if request == 1 else None for request in inputs["request"]]
        return pd.DataFrame({"tens": tens, "rare": rare, "unasked": tens})

    return computed


@pytest.fixture
def repo(asof_repo: AsofRepo) -> AsofRepo:
    noon = asof_repo.noon
    view = asof_repo.view(rows=[(1, noon(0), noon(0), 10), (1, noon(5), noon(5), 20), (2, noon(0), noon(0), 30)])
    asof_repo.apply(view, rounded_up())
    return asof_repo


@pytest.fixture
def job(repo: AsofRepo) -> AsofRetrievalJob:
    return repo.job(many_requests(repo))


@pytest.fixture
def failing(repo: AsofRepo) -> str:
    """Entity rows that fail in the middle of a run."""
    path = repo.write("requests.parquet", many_requests(repo))
    return f"SELECT * FROM '{path}' WHERE CASE WHEN request = {ROWS - 1} THEN error('in the middle') ELSE true END"


@pytest.fixture
def leftovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which DuckDB's temporary folders are made; a query leaves it empty."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


# ---- Streams -------------------------------------------------------------------------------------------------------


def test_a_stream_gives_the_rows_in_batches(job: AsofRetrievalJob, leftovers: Path) -> None:
    with job.to_record_batches(10_000) as reader:
        sizes = [batch.num_rows for batch in reader]
    assert sum(sizes) == ROWS
    assert max(sizes) <= 10_240  # DuckDB hands out whole vectors of 2048
    assert list(leftovers.iterdir()) == []


def test_a_stream_and_a_table_are_the_same_rows_each_time(job: AsofRetrievalJob) -> None:
    table = job.to_arrow()
    assert table.column_names == ["driver_id", "event_timestamp", "request", "trips"]
    assert job.to_record_batches().read_all().equals(table)
    assert job.to_record_batches().read_all().equals(table)


def test_an_abandoned_stream_closes_its_query(job: AsofRetrievalJob, leftovers: Path) -> None:
    reader = job.to_record_batches(2048)
    reader.read_next_batch()
    assert len(list(leftovers.iterdir())) == 1
    del reader
    gc.collect()
    assert list(leftovers.iterdir()) == []


def test_a_stream_that_fails_says_why(repo: AsofRepo, failing: str, leftovers: Path) -> None:
    with pytest.raises(AsofError, match=r"DuckDB could not run the query: .*in the middle"):
        repo.job(failing).to_record_batches().read_all()
    assert list(leftovers.iterdir()) == []


def test_a_frame_has_utc_times(job: AsofRetrievalJob) -> None:
    frame = job.to_df()
    assert str(frame["event_timestamp"].dtype) == "datetime64[us, UTC]"
    assert len(frame) == ROWS
    assert job._to_df_internal().equals(frame)  # noqa: SLF001  # Feast's own name for it


def test_the_sql_is_there_to_read(repo: AsofRepo) -> None:
    path = repo.write("requests.parquet", many_requests(repo, 3))
    sql = repo.job(path).to_sql()
    with duckdb.connect() as connection:
        assert connection.execute(f"SELECT trips FROM ({sql})").fetchall() == [(None,), (20,), (30,)]


def test_a_job_does_nothing_before_it_is_asked_to(repo: AsofRepo) -> None:
    (repo.folder / "stats.parquet").unlink()
    job = repo.job("SELECT no_such_function()")
    assert job.metadata is not None
    assert job.metadata.features == ["stats:trips"]


def test_without_an_order_the_same_rows_come(repo: AsofRepo) -> None:
    requests = many_requests(repo)
    table = repo.open().get_historical_features(requests, ["stats:trips"]).to_arrow()
    assert table.sort_by("request").equals(repo.job(requests).to_arrow())


def test_the_metadata_tells_features_keys_and_times(repo: AsofRepo) -> None:
    asked = pd.DataFrame(
        {"driver_id": [1, 2], "event_timestamp": [repo.noon(), repo.noon(5)], "note": ["a", "b"]},
    )
    metadata = repo.job(asked).metadata
    assert metadata is not None
    assert (metadata.features, metadata.keys) == (["stats:trips"], ["driver_id", "note"])
    assert (metadata.min_event_timestamp, metadata.max_event_timestamp) == (repo.noon(), repo.noon(5))
    assert not hasattr(metadata, "anything_else")


# ---- Parquet -------------------------------------------------------------------------------------------------------


def test_a_written_file_has_the_rows_and_the_metadata(job: AsofRetrievalJob, tmp_path: Path) -> None:
    path = tmp_path / "new" / "it's.parquet"
    assert job.write_parquet(path, metadata={"model's": "a 'b' \"c\""}) == ROWS
    assert pq.read_table(path).equals(job.to_arrow())
    assert (pq.read_schema(path).metadata or {})[b"model's"] == b"a 'b' \"c\""
    assert [file.name for file in path.parent.iterdir()] == ["it's.parquet"]


@pytest.mark.parametrize("refs", [("stats:trips",), ("stats:trips", "computed:tens")])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    repo: AsofRepo, failing: str, tmp_path: Path, refs: tuple[str, ...]
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "a.parquet").write_text("old")
    job = repo.job(failing, refs)
    for target in (folder / "a.parquet", folder / "b.parquet"):
        with pytest.raises(AsofError, match="in the middle"):
            job.write_parquet(target)
    with pytest.raises(AsofError, match="in the middle"):
        job.persist(SavedDatasetFileStorage(str(folder / "c")))
    assert {file.name: file.read_text() for file in folder.iterdir()} == {"a.parquet": "old"}


def test_only_local_files_are_written(job: AsofRetrievalJob) -> None:
    with pytest.raises(AsofError, match=r"cannot write to 'memory://x\.parquet': only local paths are supported"):
        job.write_parquet("memory://x.parquet")


# ---- Saved data sets -----------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Saving dataset is an experimental feature")
@pytest.mark.filterwarnings("ignore:Retrieving datasets is an experimental feature")
@pytest.mark.parametrize("name", ["saved.parquet", "saved"])
@pytest.mark.parametrize("full_feature_names", [True, False])
def test_a_saved_data_set_comes_back(repo: AsofRepo, name: str, *, full_feature_names: bool) -> None:
    store = repo.open()
    requests = many_requests(repo, 3)
    job = store.get_historical_features(requests, ["stats:trips"], full_feature_names=full_feature_names)
    storage = SavedDatasetFileStorage(name)
    saved = store.create_saved_dataset(job, name="mine", storage=storage)
    wanted = job.to_df().drop(columns="request").sort_values("driver_id").reset_index(drop=True)
    got = saved.to_df().sort_values("driver_id").reset_index(drop=True)
    pd.testing.assert_frame_equal(got[wanted.columns], wanted)
    with pytest.raises(SavedDatasetLocationAlreadyExists):
        job.persist(storage)
    job.persist(storage, allow_overwrite=True)
    assert pds.dataset(repo.folder / name).count_rows() == 3
    assert not [file for file in repo.folder.iterdir() if file.name.endswith(".partial")]


@pytest.mark.filterwarnings("ignore:Saving dataset is an experimental feature")
def test_a_folder_that_can_not_be_put_in_place_leaves_the_old_one(
    repo: AsofRepo, job: AsofRetrievalJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = repo.folder / "saved"
    job.persist(SavedDatasetFileStorage(str(place)))
    before, rename = pds.dataset(place).to_table(), Path.rename

    def failing(path: Path, target: Path) -> Path:
        if target == place and path.name.endswith(".partial") and (path / "part-0.parquet").is_file() and failed == []:
            failed.append(path)
            message = "no"
            raise OSError(message)
        return rename(path, target)

    failed: list[Path] = []
    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="no"):
        job.persist(SavedDatasetFileStorage(str(place)), allow_overwrite=True)
    assert failed
    assert pds.dataset(place).to_table().equals(before)
    assert not [file for file in repo.folder.iterdir() if file.name.endswith(".partial")]


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        (SavedDatasetBigQueryStorage(table="a"), "cannot persist to a SavedDatasetBigQueryStorage, only to a"),
        (SavedDatasetFileStorage("memory://x"), "cannot write to 'memory://x': only local paths are supported"),
        (SavedDatasetFileStorage("x", DeltaFormat()), "the saved dataset at 'x': DeltaFormat is not supported"),
    ],
)
def test_other_storages_are_refused(job: AsofRetrievalJob, storage: Any, message: str) -> None:
    with pytest.raises(AsofError, match=message):
        job.persist(storage)


# ---- On-demand features --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("full_feature_names", [True, False])
def test_on_demand_features_are_the_same_in_every_output(
    repo: AsofRepo, tmp_path: Path, *, full_feature_names: bool
) -> None:
    refs = ("stats:trips", "computed:tens", "computed:rare")
    backwards = many_requests(repo).sort_by([("request", "descending")])
    job = repo.job(backwards, refs, full_feature_names=full_feature_names)
    table = job.to_arrow()
    streamed = job.to_record_batches(2048).read_all()
    assert table.column_names == streamed.column_names
    assert table.column_names[3:] == (
        ["stats__trips", "computed__tens", "computed__rare"] if full_feature_names else ["trips", "tens", "rare"]
    )
    assert streamed.equals(table)
    assert streamed.column(4).to_pylist() == [10 * row for row in range(ROWS)][::-1]
    # As declared: the first batches are nulls throughout, which have no type of their own.
    assert streamed.schema.field(5).type == pa.string()
    assert job.write_parquet(tmp_path / "o.parquet", metadata={"a": "b"}) == ROWS
    written = pq.read_table(tmp_path / "o.parquet")
    assert written.equals(streamed)
    assert pq.ParquetFile(tmp_path / "o.parquet").metadata.metadata[b"a"] == b"b"


def test_on_demand_features_of_no_rows_have_their_columns(repo: AsofRepo) -> None:
    with repo.job(many_requests(repo, 0), ("computed:tens",)).to_record_batches() as reader:
        assert reader.schema.names == ["driver_id", "event_timestamp", "request", "tens"]
        assert reader.read_all().num_rows == 0


def test_an_on_demand_feature_named_like_an_entity_column_is_refused(repo: AsofRepo) -> None:
    requests = many_requests(repo, 1).append_column("tens", pa.array([1]))
    with pytest.raises(AsofError, match="two columns named 'tens'"):
        repo.job(requests, ("computed:tens",)).to_arrow()


# ---- What materialization reads ------------------------------------------------------------------------------------


def pulled(repo: AsofRepo, which: str, keys: list[str], **options: Any) -> AsofRetrievalJob:
    defaults: dict[str, Any] = {
        "config": repo.open().config,
        "data_source": repo.source(repo.folder / "stats.parquet"),
        "join_key_columns": keys,
        "feature_name_columns": ["trips"],
        "timestamp_field": "event_timestamp",
        "created_timestamp_column": "created",
        "start_date": repo.noon(0),
        "end_date": repo.noon(5),
    }
    pull: Any = getattr(AsofOfflineStore, f"pull_{which}_from_table_or_query")
    job: AsofRetrievalJob = pull(**(defaults | options))
    return job


HISTORY = [
    (1, -1, None, 1),  # before
    (1, 0, 1, 2),
    (1, 0, None, 3),
    (2, 5, 2, 4),
    (2, 5, 3, 5),
    (2, 5, 3, 6),  # a full tie: the last row
    (2, 6, None, 7),  # after
    (None, 1, None, 8),
    (None, 2, None, 9),
    (3, None, None, 10),
]


@pytest.fixture
def history(asof_repo: AsofRepo) -> AsofRepo:
    noon = asof_repo.noon
    rows = [
        (driver, None if at is None else noon(at), None if made is None else noon(made), trips)
        for driver, at, made, trips in HISTORY
    ]
    asof_repo.apply(asof_repo.view(rows=rows))
    return asof_repo


def test_the_latest_rows_of_a_range_are_one_per_key(history: AsofRepo) -> None:
    job = pulled(history, "latest", ["driver_id"]).in_request_order()
    table = job.to_arrow()
    assert table.column_names == ["driver_id", "trips", "event_timestamp", "created"]
    assert table.schema.field("trips").type == pa.int32()
    assert [(row["driver_id"], row["trips"]) for row in table.to_pylist()] == [(1, 2), (2, 6), (None, 9)]
    assert job.to_record_batches().read_all().equals(table)
    assert job.metadata is None
    assert not job.full_feature_names


def test_without_keys_the_latest_row_of_all_stands_for_feasts_dummy_entity(history: AsofRepo) -> None:
    rows = pulled(history, "latest", [], created_timestamp_column=None).to_arrow().to_pylist()
    assert [(row["trips"], row["__dummy_id"]) for row in rows] == [(6, "")]


def test_all_rows_of_a_range_come(history: AsofRepo) -> None:
    def trips(**options: Any) -> list[int]:
        table = pulled(history, "all", ["driver_id"], **options).in_request_order().to_arrow()
        values: list[int] = table["trips"].to_pylist()
        return values

    assert trips() == [2, 3, 4, 5, 6, 8, 9]
    assert trips(start_date=None) == [1, 2, 3, 4, 5, 6, 8, 9]
    assert trips(end_date=None) == [2, 3, 4, 5, 6, 7, 8, 9]
    assert trips(start_date=None, end_date=None) == list(range(1, 11))
    assert trips(start_date=history.noon(1).replace(tzinfo=None), end_date=datetime.max) == [4, 5, 6, 7, 8, 9]  # noqa: DTZ901  # a naive end
    assert trips(start_date=datetime.min.replace(tzinfo=UTC)) == [1, 2, 3, 4, 5, 6, 8, 9]
    assert sorted(pulled(history, "all", ["driver_id"]).to_arrow()["trips"].to_pylist()) == [2, 3, 4, 5, 6, 8, 9]


def test_feasts_own_store_pulls_the_same(history: AsofRepo) -> None:
    from feast.infra.offline_stores.duckdb import DuckDBOfflineStore

    for which in ("latest", "all"):
        oracle: Any = getattr(DuckDBOfflineStore, f"pull_{which}_from_table_or_query")
        theirs = oracle(
            config=history.open(type="duckdb").config,
            data_source=history.source(history.folder / "stats.parquet"),
            join_key_columns=["driver_id"],
            feature_name_columns=["trips"],
            timestamp_field="event_timestamp",
            created_timestamp_column="created",
            start_date=history.noon(0),
            end_date=history.noon(5),
        ).to_arrow()
        ours = pulled(history, which, ["driver_id"]).to_arrow()
        mine = ours.sort_by("trips").to_pylist()
        same = theirs.sort_by("trips").select(ours.column_names).to_pylist()
        # Of the full tie, which driver 2 has, the oracle may give either row.
        assert [row["driver_id"] for row in mine] == [row["driver_id"] for row in same]
        assert [row for row in mine if row["driver_id"] != 2] == [row for row in same if row["driver_id"] != 2]


def test_a_pulled_column_that_is_not_there_is_named(history: AsofRepo) -> None:
    with pytest.raises(AsofError, match=r"has no column 'zone', which is to be read; it has 'driver_id', 'event_time"):
        pulled(history, "latest", ["zone"]).to_arrow()


def test_materialized_features_are_served_online(repo: AsofRepo) -> None:
    store = repo.open()
    store.materialize(repo.noon(-9), repo.noon(9))
    online = store.get_online_features(["stats:trips"], [{"driver_id": driver} for driver in (1, 2, 3)]).to_dict()
    assert online["trips"] == [20, 30, None]


# ---- Rows to add to a source ---------------------------------------------------------------------------------------


def added(repo: AsofRepo, rows: pa.Table, told: list[int] | None = None) -> None:
    store = repo.open()
    view = store.get_feature_view("stats")
    AsofOfflineStore.offline_write_batch(store.config, view, rows, None if told is None else told.append)


def test_rows_added_to_a_file_win_full_ties(repo: AsofRepo) -> None:
    noon = repo.noon
    told: list[int] = []
    path = repo.folder / "stats.parquet"
    new = repo.write("new.parquet", [(1, noon(5), noon(5), 99)])
    added(repo, pq.read_table(new), told)
    assert pq.read_table(path)["trips"].to_pylist() == [10, 20, 30, 99]
    assert told == [1]
    assert repo.trips(pd.DataFrame({"driver_id": [1], "event_timestamp": [noon(9)]})) == [99]


def test_pushed_rows_reach_the_source(repo: AsofRepo) -> None:
    frame = pd.DataFrame(
        {"driver_id": [7], "event_timestamp": [repo.noon()], "created": [repo.noon()], "trips": [70]},
    )
    repo.open().write_to_offline_store("stats", frame)
    assert pq.read_table(repo.folder / "stats.parquet")["trips"].to_pylist() == [10, 20, 30, 70]


def test_rows_added_to_a_folder_are_a_file_of_their_own(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon
    first = asof_repo.write("stats/a.parquet", [(1, noon(0), None, 10)])
    asof_repo.apply(asof_repo.view(source=asof_repo.source(first.parent)))
    added(asof_repo, pq.read_table(asof_repo.write("new.parquet", [(1, noon(1), None, 20)])))
    assert len(list(first.parent.iterdir())) == 2
    assert asof_repo.trips(pd.DataFrame({"driver_id": [1], "event_timestamp": [noon(9)]})) == [20]


def test_rows_that_do_not_fit_change_nothing(repo: AsofRepo) -> None:
    table = pq.read_table(repo.folder / "stats.parquet")
    with pytest.raises(AsofError, match=r"feature view 'stats': the columns must be 'driver_id', .*, but are 'trips'"):
        added(repo, table.select(["trips"]))
    with pytest.raises(AsofError, match=r"feature view 'stats': the rows don't fit the source: .*"):
        added(repo, table.set_column(3, "trips", pa.array(["a", "b", "c"])))
    (repo.folder / "stats.parquet").unlink()
    with pytest.raises(AsofError, match=r"rows can be added to a Parquet file or a folder of them; '.*' is neither"):
        added(repo, table)


# ---- Logged features -----------------------------------------------------------------------------------------------


def logged(repo: AsofRepo, data: pa.Table | Path, destination: Any) -> None:
    store = repo.open()
    service = FeatureService(name="s", features=[store.get_feature_view("stats")])
    source = FeatureServiceLoggingSource(service, store.project)
    AsofOfflineStore.write_logged_features(store.config, data, source, LoggingConfig(destination), store.registry)


@pytest.mark.parametrize("partition_by", [None, ["driver_id"]])
def test_logs_are_added_to_their_folder(repo: AsofRepo, partition_by: list[str] | None) -> None:
    destination = FileLoggingDestination(path="logs", partition_by=partition_by)
    logs = many_requests(repo, 6)
    logged(repo, logs, destination)
    logged(repo, repo.write("log.parquet", logs), destination)
    source = destination.to_data_source()
    job = AsofOfflineStore.pull_all_from_table_or_query(
        repo.open().config, source, [], ["request", "driver_id"], "event_timestamp"
    )
    assert sorted(job.to_arrow()["request"].to_pylist()) == sorted([*range(6)] * 2)
    assert not [file for file in (repo.folder / "logs").iterdir() if file.name.startswith(".")]


def test_logs_that_cannot_be_written_leave_nothing(repo: AsofRepo) -> None:
    with pytest.raises(pa.ArrowInvalid):
        logged(repo, repo.folder / "registry.db", FileLoggingDestination(path="logs"))
    assert not list((repo.folder / "logs").glob("*"))
    with pytest.raises(AsofError, match="cannot log to a SnowflakeLoggingDestination, only to a FileLoggingDest"):
        logged(repo, many_requests(repo, 1), SnowflakeLoggingDestination(table_name="a"))


# ---- Options -------------------------------------------------------------------------------------------------------


def test_options_reach_duckdb(repo: AsofRepo, tmp_path: Path) -> None:
    options = {"memory_limit": "123MB", "threads": 1, "temp_directory": str(tmp_path / "spill")}
    names = ("memory_limit", "threads", "temp_directory", "TimeZone")
    columns = ", ".join(f"current_setting('{name}') AS {name}" for name in names)
    query = f"SELECT 1 AS driver_id, TIMESTAMPTZ '2026-01-31 12:00:00+00' AS event_timestamp, {columns}"
    row = repo.open(**options).get_historical_features(query, ["stats:trips"]).to_arrow().to_pylist()[0]
    assert [row[name] for name in names] == ["117.3 MiB", 1, str(tmp_path / "spill"), "UTC"]


def test_options_that_duckdb_refuses_are_reported(repo: AsofRepo) -> None:
    job = repo.open(memory_limit="a lot").get_historical_features(many_requests(repo, 1), ["stats:trips"])
    with pytest.raises(AsofError, match=r"DuckDB refuses the options of the offline store: .*"):
        job.to_arrow()


def test_what_exceeds_the_memory_limit_goes_to_disk(repo: AsofRepo, leftovers: Path) -> None:
    rows = 2_000_000
    requests = many_requests(repo, rows).append_column("note", pa.array(np.arange(rows).astype("U")))
    path = repo.write("many.parquet", requests)
    spilled: set[str] = set()

    def watched(reader: pa.RecordBatchReader) -> Iterator[int]:
        for batch in reader:
            spilled.update(file.name for file in leftovers.rglob("*.tmp"))
            yield batch.num_rows

    store = repo.open(memory_limit="120MB", threads=2)
    job = store.get_historical_features(path, ["stats:trips"]).in_request_order()
    assert sum(watched(job.to_record_batches())) == rows
    assert spilled
    assert list(leftovers.iterdir()) == []


def test_the_module_imports_neither_ibis_nor_dask() -> None:
    code = (
        "import sys; import feast_columnar.offline.store; "
        "sys.exit(str([name for name in ('ibis', 'dask', 'kedro', 'mlflow') if name in sys.modules]).strip('[]') or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
