"""What the offline store reads: every kind of entity rows and of sources, and what it says about those it can't."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.dataset as pds
import pyarrow.parquet as pq
import pytest
from feast import BigQuerySource, Field, FileSource, PushSource
from feast.data_format import DeltaFormat
from feast.types import Int32, Int64, String

from feast_columnar.offline.store import AsofError, AsofOfflineStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from columnar_support.asof_repos import AsofRepo


@pytest.fixture
def repo(asof_repo: AsofRepo) -> AsofRepo:
    """A repo in which driver 1 has 10 trips at noon and 20 five minutes later, driver 2 has 30 at noon."""
    noon = asof_repo.noon
    asof_repo.apply(
        asof_repo.view(rows=[(1, noon(0), None, 10), (1, noon(5), None, 20), (2, noon(0), None, 30)]),
    )
    return asof_repo


@pytest.fixture
def asked(repo: AsofRepo) -> pa.Table:
    """Entity rows whose answers are 30, 10, 20 and null."""
    noon = repo.noon
    return pa.table(
        {
            "driver_id": [2, 1, 1, 3],
            "event_timestamp": pa.array([noon(9), noon(1), noon(9), noon(9)], pa.timestamp("us", "UTC")),
            "note": ["a", None, "c", "d"],
        },
    )


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    """fsspec's file system in memory, emptied after the test."""
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


def written(table: pa.Table, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        pacsv.write_csv(table, path)
    elif path.suffix == ".tsv":
        pacsv.write_csv(table, path, pacsv.WriteOptions(delimiter="\t"))
    else:
        pq.write_table(table, path)
    return path


def folder_of_two(table: pa.Table, folder: Path) -> Path:
    written(table.slice(0, 2), folder / "1.parquet")
    written(table.slice(2), folder / "2.parquet")
    return folder


# ---- Entity rows ---------------------------------------------------------------------------------------------------

KINDS: dict[str, Callable[[pa.Table, Path], Any]] = {
    "DataFrame": lambda table, _: table.to_pandas(),
    "Arrow table": lambda table, _: table,
    "record batch": lambda table, _: table.to_batches()[0],
    "data set in memory": lambda table, _: pds.dataset(table),
    "data set of files": lambda table, path: pds.dataset(folder_of_two(table, path / "ds")),
    "data set of CSV": lambda table, path: pds.dataset(
        written(table, path / "e.csv"),
        format=pds.CsvFileFormat(convert_options=pacsv.ConvertOptions(strings_can_be_null=True)),
    ),
    "filtered data set": lambda table, path: pds.dataset(
        folder_of_two(pa.concat_tables([table, table.slice(0, 1)]), path / "ds")
    ),
    "path of Parquet": lambda table, path: written(table, path / "e.parquet"),
    "path of Parquet as text": lambda table, path: str(written(table, path / "e.pq")),
    "file URL": lambda table, path: f"file://{written(table, path / 'e.parquet')}",
    "folder of Parquet": lambda table, path: folder_of_two(table, path / "folder"),
    "glob": lambda table, path: str(folder_of_two(table, path / "folder") / "*.parquet"),
    "CSV": lambda table, path: str(written(table, path / "e.csv")),
    "TSV": lambda table, path: written(table, path / "e.tsv"),
    "SQL": lambda table, path: f"SELECT * FROM '{written(table, path / 'e.parquet')}';",
    "SQL with a CTE": lambda table, path: (
        f"\n  with rows as (select * from '{written(table, path / 'e.parquet')}') select * from rows -- all"
    ),
    "SQL that starts with FROM": lambda table, path: f"FROM '{written(table, path / 'e.parquet')}'",
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_entity_rows_gives_the_same(repo: AsofRepo, asked: pa.Table, tmp_path: Path, kind: str) -> None:
    entities = KINDS[kind](asked, tmp_path)
    if kind == "filtered data set":
        entities = entities.filter(pds.field("driver_id") > 0).filter(pds.field("note") != "b")
        assert sorted(filter(None, repo.trips(entities))) == [20, 30, 30]
        return
    table = repo.job(entities).to_arrow()
    assert table["trips"].to_pylist() == [30, 10, 20, None]
    assert table.drop("trips").to_pylist() == asked.to_pylist()
    assert table.schema.names == [*asked.schema.names, "trips"]
    assert table.schema.field("driver_id").type == pa.int64()


def test_a_data_set_of_some_row_groups_gives_only_their_rows(repo: AsofRepo, asked: pa.Table) -> None:
    path = repo.folder / "groups.parquet"
    pq.write_table(asked, path, row_group_size=2)
    whole = pds.dataset(path)
    fragment = next(whole.get_fragments()).subset(row_group_ids=[1])
    part = pds.FileSystemDataset([fragment], whole.schema, whole.format, whole.filesystem)
    assert repo.trips(part) == [20, None]


def test_a_data_set_with_partitions_keeps_them(repo: AsofRepo, asked: pa.Table) -> None:
    pds.write_dataset(asked, repo.folder / "hive", format="parquet", partitioning=["note"], partitioning_flavor="hive")
    rows = repo.features(pds.dataset(repo.folder / "hive", partitioning="hive"))
    assert sorted((str(row["note"]), row["trips"]) for row in rows) == [
        ("None", 10),
        ("a", 30),
        ("c", 20),
        ("d", None),
    ]


def test_urls_are_opened_through_fsspec(repo: AsofRepo, asked: pa.Table, memory: fsspec.AbstractFileSystem) -> None:
    for name in ("e.parquet", "days/day=1/e.parquet"):
        with memory.open(f"memory://requests/{name}", "wb") as file:
            pq.write_table(asked, file)
    with memory.open("memory://requests/e.csv", "wb") as file:
        pacsv.write_csv(asked, file)
    for entities in (
        "memory://requests/e.parquet",
        "memory://requests/days",
        "memory://requests/*.parquet",
        "memory://requests/e.csv",
        "SELECT * FROM 'memory://requests/e.parquet'",
    ):
        assert repo.trips(entities) == [30, 10, 20, None]


def test_sources_can_be_urls(asof_repo: AsofRepo, memory: fsspec.AbstractFileSystem) -> None:
    noon = asof_repo.noon
    path = asof_repo.write("stats.parquet", [(1, noon(), None, 10)])
    memory.put(str(path), "memory://features/day=1/stats.parquet")
    asof_repo.apply(asof_repo.view(source=asof_repo.source("memory://features/")))
    asked = pd.DataFrame({"driver_id": [1], "event_timestamp": [noon(5)]})
    assert asof_repo.trips(asked) == [10]


def test_an_empty_frame_gives_an_empty_result_with_all_columns(repo: AsofRepo, asked: pa.Table) -> None:
    table = repo.job(asked.slice(0, 0)).to_arrow()
    assert table.num_rows == 0
    assert table.schema.names == ["driver_id", "event_timestamp", "note", "trips"]


def test_the_order_of_many_rows_is_kept_for_every_kind(repo: AsofRepo) -> None:
    count = 300_000
    table = pa.table(
        {
            "driver_id": np.arange(count) % 3,
            "event_timestamp": pa.array(np.full(count, np.datetime64(repo.noon(9).replace(tzinfo=None), "us"))),
            "request": np.random.default_rng(0).permutation(count),
        },
    )
    pq.write_table(table, repo.folder / "many.parquet", row_group_size=10_000)
    pacsv.write_csv(table, repo.folder / "many.csv")
    for entities in (
        table,
        pds.dataset(repo.folder / "many.parquet"),
        pds.dataset(repo.folder / "many.csv", format="csv"),
        repo.folder / "many.parquet",
        repo.folder / "many.csv",
        f"SELECT * FROM '{repo.folder / 'many.parquet'}'",
    ):
        assert np.array_equal(repo.job(entities).to_arrow()["request"].to_numpy(), table["request"].to_numpy())
    backwards = f"SELECT * FROM '{repo.folder / 'many.parquet'}' ORDER BY request DESC"
    assert np.array_equal(repo.job(backwards).to_arrow()["request"].to_numpy(), np.arange(count)[::-1])


def test_without_entity_rows_all_entities_of_the_time_come_as_of_its_end(repo: AsofRepo) -> None:
    noon = repo.noon
    rows = repo.features(None, start_date=noon(0), end_date=noon(4))
    assert rows == [
        {"driver_id": 1, "event_timestamp": noon(4), "trips": 10},
        {"driver_id": 2, "event_timestamp": noon(4), "trips": 30},
    ]
    assert repo.features(None, start_date=noon(1), end_date=noon(9).replace(tzinfo=None)) == [
        {"driver_id": 1, "event_timestamp": noon(9), "trips": 20},
    ]
    job = repo.job(None, start_date=noon(0), end_date=noon(4))
    assert job.metadata is not None
    assert (job.metadata.keys, job.metadata.max_event_timestamp) == (["driver_id"], noon(4))


def test_without_entity_rows_and_keys_there_is_one_row(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon
    asof_repo.apply(asof_repo.view(rows=[(1, noon(), None, 10)], entities=[]))
    assert asof_repo.features(None, end_date=noon(4)) == [{"event_timestamp": noon(4), "trips": 10}]


def test_without_entity_rows_views_of_other_keys_are_refused(repo: AsofRepo) -> None:
    zone = repo.entity("zone", "zone_id")
    table = pa.table({"zone_id": [1], "event_timestamp": [repo.noon()], "x": pa.array([1], pa.int32())})
    source = repo.source(repo.write("zones.parquet", table), created_timestamp_column="")
    repo.apply(zone, repo.view("zones", source=source, entities=[zone], schema=[Field(name="x", dtype=Int32)]))
    job = repo.job(None, ("stats:trips", "zones:x"), start_date=repo.noon(0), end_date=repo.noon(4))
    with pytest.raises(AsofError, match="all feature views must have the same join keys; give entity rows"):
        job.to_arrow()


def test_a_generator_is_no_entity_rows(repo: AsofRepo) -> None:
    with pytest.raises(AsofError, match="entity rows of type list are not supported; give a pandas DataFrame, a pyarr"):
        repo.job([{"driver_id": 1}])


def test_a_file_of_another_kind_is_refused(repo: AsofRepo) -> None:
    with pytest.raises(AsofError, match=r"'rows\.xlsx' is neither a Parquet \(\.parquet\) nor a CSV"):
        repo.job("rows.xlsx").to_arrow()


@pytest.mark.parametrize("path", ["gone.parquet", "gone/*.parquet"])
def test_a_missing_file_is_named(repo: AsofRepo, path: str) -> None:
    with pytest.raises(AsofError, match=rf"the entity rows: no Parquet file at '{path}'".replace("*", r"\*")):
        repo.job(path).to_arrow()


def test_a_file_that_is_not_what_it_says_is_named(repo: AsofRepo) -> None:
    path = repo.folder / "fake.parquet"
    path.write_text("driver_id\n1\n")
    with pytest.raises(AsofError, match=r"the entity rows cannot be read: .*fake\.parquet"):
        repo.job(path).to_arrow()


def test_wrong_sql_is_answered_with_duckdbs_words(repo: AsofRepo) -> None:
    with pytest.raises(AsofError, match=r"the entity rows cannot be read: .*nowhere"):
        repo.job("SELECT * FROM nowhere").to_arrow()


def test_a_scheme_that_fsspec_does_not_know_is_named(repo: AsofRepo) -> None:
    with pytest.raises(AsofError, match="the entity rows: fsspec has no file system for nosuch://"):
        repo.job("nosuch://bucket/rows.parquet").to_arrow()


def test_a_frame_that_arrow_cannot_hold_is_refused(repo: AsofRepo) -> None:
    mixed = pd.DataFrame({"driver_id": [1, "one"], "event_timestamp": [repo.noon()] * 2})
    with pytest.raises(AsofError, match=r"the entity rows cannot be converted to Arrow: .*driver_id"):
        repo.job(mixed).to_arrow()


# ---- The event time of the entity rows -----------------------------------------------------------------------------


def test_the_only_timestamp_column_is_the_event_time(repo: AsofRepo, asked: pa.Table) -> None:
    renamed = asked.rename_columns(["driver_id", "seen at", "note"])
    table = repo.job(renamed).to_arrow()
    assert table["trips"].to_pylist() == [30, 10, 20, None]
    assert table.schema.field("seen at").type == pa.timestamp("us", "UTC")


def test_event_timestamp_is_preferred_over_other_timestamps(repo: AsofRepo, asked: pa.Table) -> None:
    other = asked.append_column("booked", pa.array([repo.noon(-9)] * 4))
    assert repo.trips(other) == [30, 10, 20, None]


@pytest.mark.parametrize("names", [["driver_id", "note"], ["driver_id", "t1", "t2"]])
def test_without_a_clear_event_time_the_candidates_are_listed(repo: AsofRepo, names: list[str]) -> None:
    table = pa.table({name: [repo.noon() if name.startswith("t") else 1] for name in names})
    with pytest.raises(AsofError, match="need a column 'event_timestamp', or exactly one timestamp column; timestamp"):
        repo.job(table).to_arrow()


@pytest.mark.parametrize("text", ["2026-01-31 12:05:00", "2026-01-31T17:35:00+05:30", "2026-01-31T12:05:00.000000Z"])
def test_event_times_given_as_text_are_read(repo: AsofRepo, text: str) -> None:
    rows = repo.features(pd.DataFrame({"driver_id": [1, 1], "event_timestamp": [text, None]}))
    assert [row["trips"] for row in rows] == [20, None]
    assert rows[0]["event_timestamp"] == repo.noon(5)


def test_a_text_that_is_no_time_is_quoted(repo: AsofRepo) -> None:
    path = repo.folder / "bad.csv"
    path.write_text("driver_id,event_timestamp\n1,2026-01-31\n1,yesterday\n")
    with pytest.raises(AsofError, match="the entity rows: 'yesterday' in column 'event_timestamp' is not a time"):
        repo.job(path).to_arrow()


def test_a_number_is_no_event_time(repo: AsofRepo) -> None:
    with pytest.raises(AsofError, match="column 'event_timestamp' holds BIGINT, not a time; make it a timestamp"):
        repo.job(pa.table({"driver_id": [1], "event_timestamp": [1_700_000_000]})).to_arrow()


def test_a_date_is_its_midnight(repo: AsofRepo) -> None:
    tomorrow = (repo.noon() + timedelta(days=1)).date()
    rows = repo.features(pa.table({"driver_id": [1], "event_timestamp": [tomorrow]}))
    assert (rows[0]["trips"], rows[0]["event_timestamp"]) == (20, repo.noon(12 * 60))


# ---- Columns -------------------------------------------------------------------------------------------------------


def test_a_missing_join_key_is_named(repo: AsofRepo, asked: pa.Table) -> None:
    message = "the entity rows has no column 'driver_id', which feature view 'stats' joins on; it has 'event_timestamp'"
    with pytest.raises(AsofError, match=message):
        repo.job(asked.drop("driver_id")).to_arrow()


def test_join_keys_of_types_that_do_not_compare_are_refused(repo: AsofRepo) -> None:
    table = pa.table({"driver_id": ["1"], "event_timestamp": [repo.noon()]})
    message = "join key 'driver_id' is VARCHAR in the entity rows, but 'driver_id' is BIGINT in source"
    with pytest.raises(AsofError, match=message):
        repo.job(table).to_arrow()


def test_times_can_be_join_keys(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon()
    day = asof_repo.entity("day", "day")
    table = pa.table({"day": [noon.date()], "event_timestamp": [noon], "trips": pa.array([10], pa.int32())})
    source = asof_repo.source(asof_repo.write("days.parquet", table), created_timestamp_column="")
    asof_repo.apply(day, asof_repo.view(source=source, entities=[day]))
    midnight = noon.replace(hour=0)
    assert asof_repo.trips(pa.table({"day": [midnight], "event_timestamp": [noon]})) == [10]


def test_a_feature_named_like_an_entity_column_is_refused_and_full_names_help(repo: AsofRepo, asked: pa.Table) -> None:
    clashing = asked.append_column("Trips", pa.array([1, 2, 3, 4]))
    with pytest.raises(AsofError, match=r"the result .* would have two columns named 'trips' \(case aside\)"):
        repo.job(clashing).to_arrow()
    rows = repo.features(clashing, full_feature_names=True)
    assert [(row["Trips"], row["stats__trips"]) for row in rows] == [(1, 30), (2, 10), (3, 20), (4, None)]


def test_source_columns_that_are_not_asked_for_disturb_nothing(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon()
    table = pa.table(
        {
            "driver_id": [1],
            "event_timestamp": [noon],
            "trips": pa.array([10], pa.int32()),
            "note": ["of the source"],
            "request": [99],
        },
    )
    asof_repo.apply(
        asof_repo.view(source=asof_repo.source(asof_repo.write("s.parquet", table), created_timestamp_column="")),
    )
    asked = pa.table({"driver_id": [1], "event_timestamp": [noon], "note": ["mine"], "request": [0]})
    assert asof_repo.features(asked) == [{**asked.to_pylist()[0], "trips": 10}]


def test_equal_names_in_entity_rows_are_refused(repo: AsofRepo, asked: pa.Table) -> None:
    twice = asked.append_column("Note", asked["note"])
    with pytest.raises(AsofError, match="the entity rows would have two columns named 'Note'"):
        repo.job(twice).to_arrow()
    with pytest.raises(AsofError, match="the entity rows would have two columns named 'Note'"):
        repo.job(pds.dataset(twice)).to_arrow()


def test_names_with_spaces_quotes_and_keywords_work(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon()
    odd = 'trips "per" day'
    table = pa.table({"select": [1], "it's": [noon], odd: pa.array([10], pa.int32())})
    path = asof_repo.write("it's [odd] *.parquet", table)
    entity = asof_repo.entity("selected", "select")
    source = asof_repo.source(path, timestamp_field="it's", created_timestamp_column="")
    asof_repo.apply(entity, asof_repo.view(source=source, entities=[entity], schema=[Field(name=odd, dtype=Int32)]))
    asked = pa.table({"select": [1], "event_timestamp": [noon], 'a "b"': [1]})
    assert asof_repo.features(asked, (f"stats:{odd}",)) == [{**asked.to_pylist()[0], odd: 10}]


# ---- Sources -------------------------------------------------------------------------------------------------------


def test_a_source_can_be_a_folder_a_glob_or_partitioned(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon
    for day, trips in ((1, 10), (2, 20)):
        asof_repo.write(f"days/day={day}/f.parquet", [(day, noon(), None, trips)])
    # What a writer has not finished, or hides, is not there.
    asof_repo.write("days/_temporary/f.parquet", [(1, noon(1), None, 99)])
    asof_repo.write("days/day=1/.f.parquet", [(1, noon(1), None, 99)])
    schema = [Field(name="trips", dtype=Int32), Field(name="day", dtype=Int32)]
    folder = asof_repo.source(asof_repo.folder / "days", name="folder")
    glob = asof_repo.source(asof_repo.folder / "days/day=*/f.parquet", name="glob")
    relative = asof_repo.source("days/", name="relative")
    for view in (
        asof_repo.view("a", source=folder, schema=schema),
        asof_repo.view("b", source=glob, schema=schema),
        asof_repo.view("c", source=relative, schema=schema),
    ):
        asof_repo.apply(view)
        asked = pd.DataFrame({"driver_id": [1, 2], "event_timestamp": [noon(9)] * 2})
        rows = asof_repo.features(asked, (f"{view.name}:trips", f"{view.name}:day"))
        assert [(row["trips"], row["day"]) for row in rows] == [(10, 1), (20, 2)]


def test_a_file_in_a_folder_named_like_a_partition_keeps_its_own_column(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon
    path = asof_repo.write("trips=7/f.parquet", [(1, noon(), None, 10)])
    asof_repo.apply(asof_repo.view(source=asof_repo.source(path)))
    assert asof_repo.trips(pd.DataFrame({"driver_id": [1], "event_timestamp": [noon(9)]})) == [10]


LAYOUTS: dict[str, tuple[str, ...]] = {
    "folders of no meaning": ("a.parquet", "more/b.parquet", "more/and more/c.parquet"),
    "no file at the top": ("x/a.parquet", "y/b.parquet", "y/z/c.parquet"),
    "some files in partitions": ("a.parquet", "trips=7/b.parquet", "trips=7/x=1/c.parquet"),
    "partitions of several names": ("trips=7/a.parquet", "x=1/b.parquet", "y=1/c.parquet"),
    "folders above partitions": ("eu/x=1/a.parquet", "us/x=1/b.parquet", "us/x=2/c.parquet"),
    "folders between partitions": ("x=1/eu/y=1/a.parquet", "x=1/eu/y=2/b.parquet", "x=2/us/y=1/c.parquet"),
    "hidden beside": ("a.parquet", "b.parquet", "c.parquet", "_p=1/d.parquet", ".d/d.parquet", "_d.parquet"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_files_at_any_depth_are_read(asof_repo: AsofRepo, layout: str) -> None:
    noon = asof_repo.noon
    # a folder that is called like a partition is none for those who name it
    folder = asof_repo.folder / ("country=de" if "above" in layout or "between" in layout else "trips=5")
    asof_repo.write(f"{folder}/y=1/foreign.txt", [(0, noon(5), None, 99)])
    for number, file in enumerate(LAYOUTS[layout]):
        asof_repo.write(f"{folder}/{file}", [(number, noon(), None, number)])
    asof_repo.apply(asof_repo.view(source=asof_repo.source(folder)))
    asked = pa.table({"driver_id": [0, 1, 2, 3], "event_timestamp": [noon(9)] * 4})
    assert asof_repo.trips(asked) == [0, 1, 2, None]
    for name, part in (("a", asked.slice(0, 1)), ("more/b", asked.slice(1, 3))):
        asof_repo.write(f"asked/{name}.parquet", part)
    assert asof_repo.trips(asof_repo.folder / "asked") == [0, 1, 2, None]


def test_a_folder_that_is_called_like_its_partitions_is_refused(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon
    asof_repo.write("day=1/day=2/f.parquet", [(1, noon(), None, 1)])
    schema = [Field(name="trips", dtype=Int32), Field(name="day", dtype=Int32)]
    asof_repo.apply(asof_repo.view(source=asof_repo.source(asof_repo.folder / "day=1"), schema=schema))
    asked = pa.table({"driver_id": [1], "event_timestamp": [noon(9)]})
    with pytest.raises(AsofError, match="is in a folder that is called like its partitions, 'day'"):
        asof_repo.features(asked, ("stats:trips", "stats:day"))


def test_partitions_may_have_folders_of_no_meaning_in_them(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon
    for number, file in enumerate(("day=1/a.parquet", "day=2/x/b.parquet", "_p/day=3/c.parquet")):
        asof_repo.write(f"days/{file}", [(number, noon(), None, number)])
    schema = [Field(name="trips", dtype=Int32), Field(name="day", dtype=Int32)]
    asof_repo.apply(asof_repo.view(source=asof_repo.source(asof_repo.folder / "days"), schema=schema))
    asked = pa.table({"driver_id": [0, 1, 2], "event_timestamp": [noon(9)] * 3})
    rows = asof_repo.features(asked, ("stats:trips", "stats:day"))
    assert [(row["trips"], row["day"]) for row in rows] == [(0, 1), (1, 2), (None, None)]


@pytest.mark.parametrize("places", [("{}",), ("{}/x", "{}"), ("x/{}", "y/{}"), ("{}/z=1", "{}/z=2")])
@pytest.mark.parametrize("values", [("1", "-20"), ("2026-01-31", "2026-02-01"), ("a b", "c+d"), ("1", "a")])
def test_partitions_have_the_types_of_their_values(
    asof_repo: AsofRepo, places: tuple[str, ...], values: tuple[str, str]
) -> None:
    noon = asof_repo.noon
    for number, value in enumerate(values):
        place = places[number % len(places)].format(f"part={value}")
        asof_repo.write(f"parts/{place}/f.parquet", [(number, noon(), None, number)])
    kind = Int64 if "-20" in values else String
    schema = [Field(name="trips", dtype=Int32), Field(name="part", dtype=kind)]
    asof_repo.apply(asof_repo.view(source=asof_repo.source(asof_repo.folder / "parts"), schema=schema))
    asked = pa.table({"driver_id": [0, 1], "event_timestamp": [noon(9)] * 2})
    rows = asof_repo.features(asked, ("stats:trips", "stats:part"))
    assert [(row["trips"], str(row["part"])) for row in rows] == list(enumerate(values))


def test_globs_leave_out_what_is_hidden(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon
    for number, name in enumerate(("x/a", "x/_b", "x/.c", "_y/d", ".z/e")):
        asof_repo.write(f"s/{name}.parquet", [(number, noon(), None, number)])
    asof_repo.apply(asof_repo.view(source=asof_repo.source(asof_repo.folder / "s/*/*.parquet")))
    asked = pa.table({"driver_id": list(range(5)), "event_timestamp": [noon(9)] * 5})
    assert asof_repo.trips(asked) == [0, None, None, None, None]


@pytest.mark.parametrize("kinds", [(pa.int64(), pa.int16()), (pa.int8(), pa.int32()), (pa.float32(), pa.float64())])
def test_types_of_numbers_may_differ_from_file_to_file(
    asof_repo: AsofRepo, kinds: tuple[pa.DataType, pa.DataType]
) -> None:
    noon = asof_repo.noon
    for number in range(6):
        table = pq.read_table(asof_repo.write(f"s/{number}.parquet", [(number, noon(), None, number)]))
        kind = kinds[number % 2]
        table = table.set_column(table.column_names.index("trips"), "trips", pa.array([number], kind))
        if pa.types.is_integer(kind):
            table = table.set_column(0, "driver_id", pa.array([number], kind))
        asof_repo.write(f"s/{number}.parquet", table)
    asof_repo.apply(asof_repo.view(source=asof_repo.source(asof_repo.folder / "s")))
    asked = pa.table({"driver_id": list(range(7)), "event_timestamp": [noon(9)] * 7})
    found = asof_repo.job(asked).to_arrow()
    assert found["trips"].to_pylist() == [*range(6), None]
    assert found["trips"].type == max(kinds, key=lambda kind: kind.bit_width)


def test_a_column_that_came_later_is_null_in_older_files(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon
    new = asof_repo.write("s/b.parquet", [(2, noon(), None, 20)])
    old = pq.read_table(new).drop("trips")
    asof_repo.write("s/a.parquet", old.set_column(0, "driver_id", pa.array([1])))
    asof_repo.apply(asof_repo.view(source=asof_repo.source(asof_repo.folder / "s")))
    assert asof_repo.trips(pd.DataFrame({"driver_id": [1, 2], "event_timestamp": [noon(9)] * 2})) == [None, 20]


def test_times_of_a_source_given_as_text_are_read(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon
    table = pa.table({"driver_id": [1], "event_timestamp": [noon().isoformat()], "trips": pa.array([10], pa.int32())})
    source = asof_repo.source(asof_repo.write("text.parquet", table), created_timestamp_column="")
    asof_repo.apply(asof_repo.view(source=source))
    asked = pd.DataFrame({"driver_id": [1, 1], "event_timestamp": [noon(-1), noon(0)]})
    assert asof_repo.trips(asked) == [None, 10]


def test_field_mapping_renames_keys_times_and_features(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon
    table = pa.table(
        {"id": [1, 1], "ts": [noon(), noon()], "made": [noon(2), noon(1)], "n": pa.array([10, 20], pa.int32())},
    )
    mapping = {"id": "driver_id", "ts": "event_timestamp", "made": "created", "n": "trips", "not there": "driver"}
    source = asof_repo.source(asof_repo.write("raw.parquet", table), field_mapping=mapping)
    asof_repo.apply(asof_repo.view(source=source))
    asked = pd.DataFrame({"request": [0], "driver_id": [1], "event_timestamp": [noon(9)]})
    assert asof_repo.trips(asked) == [10]
    assert [row["trips"] for row in asof_repo.oracle(asked, ["stats:trips"])] == [10]


def test_columns_that_the_source_lacks_are_named(asof_repo: AsofRepo) -> None:
    schema = [Field(name="rides", dtype=Int32)]
    asof_repo.apply(asof_repo.view(rows=[(1, asof_repo.noon(), None, 10)], schema=schema))
    asked = pd.DataFrame({"driver_id": [1], "event_timestamp": [asof_repo.noon()]})
    message = (
        r"source '.*stats\.parquet' has no column 'rides', which feature view 'stats' needs; "
        "it has 'driver_id', 'event_timestamp', 'created', 'trips'"
    )
    with pytest.raises(AsofError, match=message):
        asof_repo.job(asked, ("stats:rides",)).to_arrow()


def test_a_source_file_that_is_gone_is_named(repo: AsofRepo, asked: pa.Table) -> None:
    (repo.folder / "stats.parquet").unlink()
    with pytest.raises(AsofError, match=r"source '.*stats\.parquet': no Parquet file at"):
        repo.job(asked).to_arrow()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, "feature view 'stats' has no batch source; give it a FileSource"),
        (
            BigQuerySource(name="big", table="a.b", timestamp_field="event_timestamp"),
            "feature view 'stats' has a BigQuerySource; only a FileSource of Parquet files is supported",
        ),
        (
            FileSource(path="f", timestamp_field="event_timestamp", file_format=DeltaFormat()),
            "feature view 'stats': DeltaFormat is not supported, only Parquet is",
        ),
        (
            FileSource(path="s3://b/f", timestamp_field="event_timestamp", s3_endpoint_override="http://localhost"),
            "s3_endpoint_override and connection_ref are not supported; set them in fsspec's own config",
        ),
    ],
)
def test_sources_that_are_not_supported_are_refused_at_once(
    repo: AsofRepo, asked: pa.Table, source: Any, message: str
) -> None:
    view = repo.open().get_feature_view("stats")
    view.batch_source = source
    store = repo.open()
    with pytest.raises(AsofError, match=message):
        AsofOfflineStore.get_historical_features(
            store.config, [view], ["stats:trips"], asked, store.registry, store.project
        )


def test_a_feature_of_a_view_that_is_not_given_is_refused(repo: AsofRepo, asked: pa.Table) -> None:
    store = repo.open()
    with pytest.raises(AsofError, match="'other:x' is of no feature view of the request"):
        AsofOfflineStore.get_historical_features(store.config, [], ["other:x"], asked, store.registry, store.project)


def test_a_push_source_is_read_through_its_batch_source(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon
    batch = asof_repo.source(asof_repo.write("stats.parquet", [(1, noon(), None, 10)]))
    asof_repo.apply(asof_repo.view(source=PushSource(name="pushed", batch_source=batch)))
    assert asof_repo.trips(pd.DataFrame({"driver_id": [1], "event_timestamp": [noon(9)]})) == [10]


def test_a_path_of_entity_rows_is_relative_to_the_working_directory(
    repo: AsofRepo, asked: pa.Table, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    written(asked, tmp_path / "here" / "e.parquet")
    monkeypatch.chdir(tmp_path / "here")
    assert repo.trips("e.parquet") == [30, 10, 20, None]
    assert repo.trips(os.fspath(Path("e.parquet"))) == [30, 10, 20, None]
