"""Where the files of datasets may lie: paths, and URLs that fsspec opens, with credentials and versions."""

from __future__ import annotations

import gzip
import zipfile
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import duckdb
import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from columnar_support.object_stores import BUCKET, running_s3, serving_files
from kedro.io import DataCatalog, DatasetError

from driver_ranking.datasets.entity_rows import EntityRowsDataset
from driver_ranking.datasets.feature_store import FeatureDefinitionsDataset, FeatureStoreDataset
from driver_ranking.datasets.registered_model import RegisteredModelDataset
from driver_ranking.errors import RequestError, SettingError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TABLE = pa.table({"driver_id": [1001, 1002], "score": [0.5, None]})
CSV = b"event_timestamp,driver_id,note\n2026-06-15T00:00:00Z,1001,a\n2026-06-15T01:00:00Z,1002,b\n"
ROWS = [(1001, "a"), (1002, "b")]
PARQUET_DATASET = "driver_ranking.datasets.parquet_stream.ParquetStreamDataset"


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, Any]]:
    with running_s3() as credentials:
        yield credentials


@pytest.fixture(params=["local", "memory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, dict[str, Any]]:
    """A folder that nothing is in, and what is needed to get there."""
    name = tmp_path.name
    if request.param == "s3":
        return f"s3://{BUCKET}/{name}", request.getfixturevalue("s3")
    return (str(tmp_path / "rows") if request.param == "local" else f"memory://{name}"), {}


def catalog_with(entry: dict[str, Any], credentials: dict[str, Any], version: str | None = None) -> DataCatalog:
    entry = {"type": PARQUET_DATASET, "credentials": "store", **entry}
    versions = {"rows": version} if version else None
    return DataCatalog.from_config({"rows": entry}, {"store": credentials}, versions, "2026-06-15T00.00.00.000Z")


def test_rows_are_written_and_read_wherever_they_are(place: tuple[str, dict[str, Any]]) -> None:
    folder, credentials = place
    catalog = catalog_with({"filepath": f"{folder}/rows.parquet"}, credentials)
    assert not catalog["rows"].exists()
    with pytest.raises(DatasetError, match=r"There is no file .*rows\.parquet\. Run the pipeline"):
        catalog.load("rows")
    for table in (TABLE, TABLE.slice(1)):
        catalog.save("rows", table)
        assert catalog["rows"].exists()
        assert catalog.load("rows").to_table().equals(table)


def test_versions_are_kept_side_by_side(place: tuple[str, dict[str, Any]]) -> None:
    folder, credentials = place
    entry = {"filepath": f"{folder}/rows.parquet", "versioned": True}
    catalog = catalog_with(entry, credentials)
    assert not catalog["rows"].exists()
    catalog.save("rows", TABLE)
    assert catalog.load("rows").to_table().equals(TABLE)
    later = DataCatalog.from_config(
        {"rows": {"type": PARQUET_DATASET, "credentials": "store", **entry}},
        {"store": credentials},
        None,
        "2026-06-16T00.00.00.000Z",
    )
    later.save("rows", TABLE.slice(1))
    assert later.load("rows").to_table().equals(TABLE.slice(1))
    assert catalog_with(entry, credentials, "2026-06-15T00.00.00.000Z").load("rows").to_table().equals(TABLE)


def test_a_stream_that_fails_leaves_the_last_object_as_it_was(place: tuple[str, dict[str, Any]]) -> None:
    folder, credentials = place
    catalog = catalog_with({"filepath": f"{folder}/rows.parquet"}, credentials)
    catalog.save("rows", TABLE)

    def failing() -> Iterator[pa.RecordBatch]:
        yield TABLE.to_batches()[0]
        message = "the model failed"
        raise ValueError(message)

    with pytest.raises(DatasetError, match="the model failed"):
        catalog.save("rows", pa.RecordBatchReader.from_batches(TABLE.schema, failing()))
    assert catalog.load("rows").to_table().equals(TABLE)


def test_a_place_that_can_only_be_read_is_not_written_in_silence(tmp_path: Path) -> None:
    with serving_files(tmp_path) as url:
        catalog = catalog_with({"filepath": f"{url}/rows.parquet"}, {})
        with pytest.raises(DatasetError, match="Unsupported method"):
            catalog.save("rows", TABLE)
        pq.write_table(TABLE, tmp_path / "rows.parquet")
        assert catalog.load("rows").to_table().equals(TABLE)


@pytest.mark.parametrize("filepath", ["nowhere://rows.parquet", "simplecache::s3://bucket/rows.parquet"])
def test_a_scheme_that_nobody_knows_is_refused(filepath: str) -> None:
    with pytest.raises(DatasetError, match="can't be opened"):
        catalog_with({"filepath": filepath}, {}).load("rows")


STORES = [("gs", "gcsfs"), ("gcs", "gcsfs"), ("abfs", "adlfs"), ("az", "adlfs"), ("sftp", "paramiko")]


@pytest.mark.parametrize(("scheme", "package"), [one for one in STORES if find_spec(one[1]) is None])
def test_a_store_whose_package_is_missing_is_refused_by_the_name_of_it(scheme: str, package: str) -> None:
    url, install = f"{scheme}://bucket/rows.parquet", rf"(?i)install.*{package}|{package}.*install"
    with pytest.raises(DatasetError, match=install) as output:
        catalog_with({"filepath": url}, {}).load("rows")
    assert isinstance(output.value.__cause__, SettingError)  # ends a run as a message
    with pytest.raises(RequestError, match=install):
        EntityRowsDataset(filepath=url, key_columns=["driver_id"]).check()


def test_what_has_to_be_here_is_not_made_in_a_folder_named_like_a_scheme(tmp_path: Path) -> None:
    for make in (FeatureStoreDataset, FeatureDefinitionsDataset):
        with pytest.raises(DatasetError, match=r"A feature repo has to be on this machine, and 's3://bucket/repo' is"):
            make(filepath="s3://bucket/repo")
    record, registry = {"filepath": str(tmp_path / "record.json")}, {"path": str(tmp_path)}
    for change in ({"record": {"filepath": "s3://bucket/record.json"}}, {"registry": {"path": "s3://bucket/mlflow"}}):
        entry: dict[str, Any] = {"name": "drivers", "alias": "champion", "record": record, "registry": registry}
        with pytest.raises(DatasetError, match="has to be on this machine"):
            RegisteredModelDataset(**(entry | change))


def read(filepath: str, **options: Any) -> list[tuple[int, str]]:
    dataset = EntityRowsDataset(filepath=filepath, key_columns=["driver_id"], **options)
    with duckdb.connect() as connection:
        return connection.execute(f"SELECT driver_id, note FROM ({dataset.load().sql})").fetchall()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A web server with one request in each format."""
    (tmp_path / "request.csv").write_bytes(CSV)
    (tmp_path / "request.csv.gz").write_bytes(gzip.compress(CSV))
    (tmp_path / "[x] y.csv").write_bytes(CSV)
    (tmp_path / "empty.csv").touch()
    duckdb.read_csv(str(tmp_path / "request.csv")).write_parquet(str(tmp_path / "request.parquet"))
    with zipfile.ZipFile(tmp_path / "requests.zip", "w") as archive:
        archive.writestr("today.csv", CSV)
    with serving_files(tmp_path) as url:
        yield url


@pytest.mark.parametrize(
    "name",
    ["request.csv", "request.csv.gz", "request.parquet", "request.csv?token=a.parquet", "%5Bx%5D%20y.csv"],
)
def test_a_request_may_lie_on_a_web_server(web: str, name: str) -> None:
    assert read(f"{web}/{name}") == ROWS


def test_a_request_may_be_named_by_a_chain_of_file_systems(web: str) -> None:
    assert read(f"zip://today.csv::simplecache::{web}/requests.zip") == ROWS
    assert read(f"simplecache::{web}/request.csv") == ROWS


def test_a_request_may_lie_in_an_object_store(s3: dict[str, Any]) -> None:
    fsspec.filesystem("s3", **s3).pipe(f"{BUCKET}/requests/[today].csv", CSV)
    assert read(f"s3://{BUCKET}/requests/[today].csv", credentials=s3) == ROWS


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("missing.csv", "there is no such file"),
        ("empty.csv", "the file is empty"),
        ("zip.zip", "there is no such file"),
    ],
)
def test_what_is_not_there_is_said(web: str, name: str, fault: str) -> None:
    with pytest.raises(DatasetError, match=fault):
        read(f"{web}/{name}")


def test_a_parquet_request_that_would_be_read_otherwise_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "request.parquet"
    for more, fault in (
        ({"x": [1], "X": [1]}, "has columns named 'x' and 'X'"),
        ({"x": pa.nulls(1, pa.decimal256(39, 2))}, "at most 38 digits can be read"),
    ):
        pq.write_table(pa.table({"driver_id": [1], "event_timestamp": ["2026-06-15T00:00:00Z"], **more}), file)
        with pytest.raises(DatasetError, match=fault):
            EntityRowsDataset(filepath=str(file), key_columns=["driver_id"]).load()
