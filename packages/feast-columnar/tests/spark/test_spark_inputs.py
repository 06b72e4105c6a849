"""What the store on Spark takes: the tests of the local offline store, and what it says in its own words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from feast import Field
from feast.types import Int32
from offline import test_asof_inputs
from spark.taken import taken

from feast_columnar.errors import AsofError

if TYPE_CHECKING:
    from pathlib import Path

    from columnar_support.spark_repos import SparkAsofRepo

pytestmark = pytest.mark.slow

# entity rows are frames, Arrow tables, Spark SQL and Parquet: not Arrow's data sets, CSV, or what fsspec alone can open
OTHER_KINDS = {
    "test_every_kind_of_entity_rows_gives_the_same",  # those that there are: below
    "test_the_order_of_many_rows_is_kept_for_every_kind",
    "test_equal_names_in_entity_rows_are_refused",
    "test_a_data_set_of_some_row_groups_gives_only_their_rows",
    "test_a_data_set_with_partitions_keeps_them",
    "test_urls_are_opened_through_fsspec",
    "test_sources_can_be_urls",
    "test_a_folder_that_is_called_like_its_partitions_is_refused",  # Spark can tell them apart
    "test_a_text_that_is_no_time_is_quoted",
}
OTHER_WORDS = {
    "test_a_generator_is_no_entity_rows",
    "test_a_file_of_another_kind_is_refused",
    "test_a_missing_file_is_named",
    "test_a_file_that_is_not_what_it_says_is_named",
    "test_wrong_sql_is_answered_with_duckdbs_words",
    "test_a_scheme_that_fsspec_does_not_know_is_named",
    "test_a_source_file_that_is_gone_is_named",
}
globals().update(taken(test_asof_inputs, OTHER_KINDS | OTHER_WORDS))
PATHS = ["path of Parquet", "path of Parquet as text", "file URL", "folder of Parquet", "glob"]


@pytest.mark.parametrize("kind", ["DataFrame", "Arrow table", *PATHS])
def test_kinds_of_entity_rows_give_the_same(repo: SparkAsofRepo, asked: pa.Table, tmp_path: Path, kind: str) -> None:
    test_asof_inputs.test_every_kind_of_entity_rows_gives_the_same(repo, asked, tmp_path, kind)


@pytest.mark.parametrize(
    ("entities", "message"),
    [
        ([1], "entity rows of type list are not supported; give a Spark or pandas DataFrame"),
        ("gone.parquet", "the entity rows cannot be read: .*does not exist: file:/.*/gone.parquet"),
        ("gone/*.parquet", r"the entity rows cannot be read: .*does not exist: file:/.*/gone/\*.parquet"),
        ("memory://x.parquet", 'the entity rows cannot be read: .*No FileSystem for scheme "memory"'),
        ("pyproject.toml", "the entity rows cannot be read: .*pyproject.toml"),
        ("SELECT nothing FROM nowhere", "Spark could not run the query: .*nowhere"),
    ],
)
def test_entity_rows_that_cannot_be_read_are_named(repo: SparkAsofRepo, entities: object, message: str) -> None:
    with pytest.raises(AsofError, match=message):
        repo.trips(entities)


def test_a_source_file_that_is_gone_is_named_here_too(repo: SparkAsofRepo, asked: pa.Table) -> None:
    (repo.folder / "stats.parquet").unlink()
    with pytest.raises(AsofError, match=r"source '.*stats\.parquet' cannot be read: .*does not exist"):
        repo.trips(asked)


def test_texts_are_keys_and_many_files_a_source(asof_repo: SparkAsofRepo) -> None:
    noon = asof_repo.noon()
    for number in range(12):
        rows = {"zone": [f"z{number}"] * 2, "event_timestamp": [noon] * 2, "x": pa.array([number, -number], pa.int32())}
        asof_repo.write(f"zones/{number:02}.parquet", pa.table(rows))
    zone = asof_repo.entity("zone", "zone")
    source = asof_repo.source(asof_repo.folder / "zones", created_timestamp_column="")
    asof_repo.apply(
        zone, asof_repo.view("zones", source=source, entities=[zone], schema=[Field(name="x", dtype=Int32)])
    )
    asked = pa.table({"zone": ["z11", "z3", None, "z"], "event_timestamp": [noon] * 4})
    path = asof_repo.write("asked.parquet", asked)
    assert [row["x"] for row in asof_repo.features(path, ("zones:x",))] == [-11, -3, None, None]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "_hidden.parquet",
            "cannot be read: to Spark, a name that begins with _ or a dot is hidden; rename 'file:///.*'",
        ),
        ("empty", "no Parquet file at 'file:///.*/empty'"),
        ("emp*", r"no Parquet file at 'file:///.*/emp\*'"),
    ],
)
def test_files_and_folders_without_rows_to_see_are_named(repo: SparkAsofRepo, name: str, message: str) -> None:
    repo.write("_hidden.parquet", [])
    (repo.folder / "empty").mkdir()
    with pytest.raises(AsofError, match=f"the entity rows:? {message}"):
        repo.trips(f"{repo.folder}/{name}")


def test_a_column_with_types_that_have_no_wider_one_is_named(repo: SparkAsofRepo, asked: pa.Table) -> None:
    for name, kind in (("a", pa.int64()), ("b", pa.string())):
        repo.write(f"asked/{name}.parquet", asked.set_column(0, "driver_id", asked["driver_id"].cast(kind)))
    message = "the column 'driver_id' has the type bigint in some files and string in others; write it with one type"
    with pytest.raises(AsofError, match=message):
        repo.trips(repo.folder / "asked")


@pytest.mark.parametrize("zone", ["UTC", None])
def test_times_of_nanoseconds_keep_their_zone_or_none(repo: SparkAsofRepo, asked: pa.Table, zone: str | None) -> None:
    seen = pa.array([repo.noon()] * 4, pa.timestamp("ns", zone))
    path = repo.write("asked.parquet", asked.append_column("seen", seen))
    found = repo.job(path).to_arrow()
    assert found["seen"].type == pa.timestamp("us", zone)
    assert found["seen"].cast(pa.timestamp("ns", zone)).to_pylist() == seen.to_pylist()
