"""Files that DuckDB would make other rows of: types that differ, names that are taken, tables that are no folders."""

from __future__ import annotations

import itertools
from datetime import timedelta
from decimal import Decimal
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from columnar_support.drawn_tables import BIG, NOON, DrawnTable, drawn_tables
from columnar_support.object_stores import serving_files
from feast import FeatureView, Field
from feast.types import Int64
from hypothesis import HealthCheck, given, settings

from feast_columnar.offline.engine import RESERVED
from feast_columnar.offline.schemas import go_together
from feast_columnar.offline.store import AsofError

if TYPE_CHECKING:
    from pathlib import Path

    from columnar_support.asof_repos import AsofRepo


def table(ids: Any, trips: Any, **more: Any) -> pa.Table:
    times = pa.array([NOON] * len(ids), pa.timestamp("us", "UTC"))
    return pa.table({"driver_id": ids, "event_timestamp": times, "created": times, "trips": trips, **more})


def asked(*drivers: int) -> pd.DataFrame:
    return pd.DataFrame({"driver_id": drivers, "event_timestamp": [NOON] * len(drivers)})


def write(folder: Path, *files: pa.Table) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, rows in enumerate(files):
        pq.write_table(rows, folder / f"{number}.parquet")
    return folder


def over(repo: AsofRepo, path: Path, *names: str) -> None:
    """Register a view of the features `trips` and others over files."""
    schema = [Field(name=name, dtype=Int64) for name in names or ("trips",)]
    repo.apply(FeatureView(name="stats", entities=[repo.entity()], schema=schema, source=repo.source(path)))


# ---- Types that differ between the files of a source ---------------------------------------------------------------


def test_an_empty_day_written_by_pandas_does_not_make_other_drivers_of_large_ids(asof_repo: AsofRepo) -> None:
    empty = pa.Table.from_pandas(pd.DataFrame({"driver_id": [], "event_timestamp": [], "created": [], "trips": []}))
    assert empty.schema.field("driver_id").type == pa.float64()
    for number, files in enumerate(itertools.permutations([empty, table([BIG - 1, BIG], [1, 2])])):
        over(asof_repo, write(asof_repo.folder / f"days{number}", *files))
        assert asof_repo.trips(asked(BIG, BIG - 1, BIG + 1)) == [2, 1, None]
        store = asof_repo.open()
        store.materialize(NOON - timedelta(days=1), NOON + timedelta(days=1))
        online = store.get_online_features(["stats:trips"], [{"driver_id": BIG}, {"driver_id": BIG - 1}])
        assert online.to_dict()["trips"] == [2, 1]


def test_a_source_without_any_row_has_no_features(asof_repo: AsofRepo) -> None:
    empty = table(pa.array([], pa.int64()), pa.array([], pa.int64()))
    over(asof_repo, write(asof_repo.folder / "days", empty, empty))
    assert asof_repo.trips(asked(1)) == [None]


DOUBLES = pa.array([1.0], pa.float64())


@pytest.mark.parametrize(
    ("column", "first", "second"),
    [
        ("driver_id", pa.int64(), pa.float64()),
        ("trips", pa.int64(), pa.float64()),
        ("trips", pa.int64(), pa.float32()),
        ("trips", pa.int32(), pa.float32()),
        ("trips", pa.uint64(), pa.int64()),
        ("trips", pa.int64(), pa.string()),
        ("trips", pa.bool_(), pa.int64()),
        ("trips", pa.float64(), pa.decimal128(20, 2)),
        ("created", pa.int64(), pa.timestamp("us", "UTC")),
    ],
)
def test_types_in_which_values_could_be_lost_are_refused_with_both_files(
    asof_repo: AsofRepo, column: str, first: pa.DataType, second: pa.DataType
) -> None:
    files = [table([1], [1]).drop_columns(column).append_column(column, pa.nulls(1, kind)) for kind in (first, second)]
    folder = write(asof_repo.folder / "days", *files)
    over(asof_repo, folder)
    said = f"column '{column}' is {first} in '{folder}/0.parquet' and {second} in '{folder}/1.parquet'"
    with pytest.raises(AsofError) as error:
        asof_repo.trips(asked(1))
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (pa.int32(), pa.int64()),
        (pa.int32(), pa.float64()),
        (pa.uint16(), pa.float64()),
        (pa.float32(), pa.float64()),
        (pa.null(), pa.int64()),
        (pa.dictionary(pa.int8(), pa.int64()), pa.int64()),
    ],
)
def test_types_of_which_one_holds_all_values_go_together(
    asof_repo: AsofRepo, first: pa.DataType, second: pa.DataType
) -> None:
    values = pa.nulls(1, first) if first == pa.null() else pa.array([3], first)
    over(asof_repo, write(asof_repo.folder / "days", table([1], values), table([2], pa.array([4]).cast(second))))
    expected = [None if first == pa.null() else 3, 4]
    assert asof_repo.trips(asked(1, 2)) == expected


def test_lists_and_structs_go_together_as_their_values_do(asof_repo: AsofRepo) -> None:
    def files(first: pa.DataType, second: pa.DataType) -> Path:
        rows = [table([1], [1], extra=pa.nulls(1, kind)) for kind in (first, second)]
        return write(asof_repo.folder / "days", *rows)

    whole, real = pa.int64(), pa.float64()
    for kinds in (
        (pa.list_(whole), pa.list_(real)),
        (pa.struct({"x": whole}), pa.struct({"x": real})),
        (pa.struct({"x": whole}), pa.struct({"y": whole})),
        (pa.list_(whole), whole),
    ):
        over(asof_repo, files(*kinds))
        with pytest.raises(AsofError, match="the column 'extra' is"):
            asof_repo.trips(asked(1))
    over(asof_repo, files(pa.list_(pa.int32()), pa.large_list(whole)))
    assert asof_repo.trips(asked(1)) == [1]


def test_a_type_with_a_meaning_goes_together_with_what_it_is_stored_as() -> None:
    assert go_together(pa.uuid(), pa.binary(16))
    assert not go_together(pa.uuid(), pa.int64())


@pytest.mark.parametrize("source", [True, False])
def test_keys_are_not_compared_in_floating_point(asof_repo: AsofRepo, *, source: bool) -> None:
    ids = [float(BIG - 1), float("nan"), 1.5, 7.0]
    if source:
        over(asof_repo, write(asof_repo.folder / "one", table(ids, [1, 2, 3, 4])))
        assert asof_repo.trips(asked(BIG - 1, BIG, 1, 2, 7)) == [1, None, None, None, 4]
    else:
        over(asof_repo, write(asof_repo.folder / "one", table([BIG - 1, BIG, 1, 2, 7], [1, 2, 3, 4, 5])))
        entities = pd.DataFrame({"driver_id": ids, "event_timestamp": [NOON] * len(ids)})
        assert asof_repo.trips(entities) == [1, None, None, 5]


def test_decimal_keys_are_not_compared_with_floating_point(asof_repo: AsofRepo) -> None:
    keys = pa.array([Decimal(1)], pa.decimal128(20, 0))
    over(asof_repo, write(asof_repo.folder / "one", table(keys, [1])))
    entities = pd.DataFrame({"driver_id": [1.0], "event_timestamp": [NOON]})
    with pytest.raises(AsofError, match=r"is DOUBLE .* is DECIMAL\(20,0\) .* make them one type"):
        asof_repo.trips(entities)


@pytest.mark.parametrize("within", [lambda kind: kind, pa.list_, lambda kind: pa.struct({"x": kind})])
def test_decimals_of_more_digits_than_are_read_right_are_refused(asof_repo: AsofRepo, within: Any) -> None:
    for digits in (39, 57, 76):
        rows = table([1], [1], price=pa.nulls(1, within(pa.decimal256(digits, 2))))
        over(asof_repo, write(asof_repo.folder / "one", rows))
        with pytest.raises(AsofError, match=rf"column 'price' is decimal256\({digits}, 2\); at most 38 digits"):
            asof_repo.trips(asked(1))


# ---- Tables of other formats ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sign", "kind"),
    [("_delta_log/0.json", "Delta"), ("metadata/v1.metadata.json", "Iceberg"), (".hoodie/x", "Hudi")],
)
def test_a_folder_with_rows_that_were_removed_is_refused(asof_repo: AsofRepo, sign: str, kind: str) -> None:
    folder = write(asof_repo.folder / "lake", table([1], [1]))
    (folder / "metadata").mkdir()  # alone, it is any folder
    over(asof_repo, folder)
    assert asof_repo.trips(asked(1)) == [1]
    (folder / sign).parent.mkdir(exist_ok=True)
    (folder / sign).touch()
    with pytest.raises(AsofError, match=f"is a table of {kind}, whose Parquet files also hold rows that were removed"):
        asof_repo.trips(asked(1))


# ---- Names ---------------------------------------------------------------------------------------------------------


def test_columns_that_differ_in_case_alone_are_refused(asof_repo: AsofRepo, tmp_path: Path) -> None:
    over(asof_repo, write(asof_repo.folder / "one", table([1], [1], note=[1], Note=[2])))
    with pytest.raises(AsofError, match="has columns named 'note' and 'Note', which differ in case at most"):
        asof_repo.trips(asked(1))
    over(asof_repo, write(asof_repo.folder / "inner", table([1], [1], note=[{"x": 1, "X": 2}])))
    with pytest.raises(AsofError, match="'note' has columns named 'x' and 'X'"):
        asof_repo.trips(asked(1))
    over(asof_repo, write(asof_repo.folder / "two", table([1], [1], note=[1]), table([2], [1], Note=[2])))
    with pytest.raises(AsofError, match=r"named 'note' in '.*0\.parquet' and 'Note' in '.*1\.parquet'; use one name"):
        asof_repo.trips(asked(1))
    over(asof_repo, write(asof_repo.folder / "three", table([1], [1])))
    request = tmp_path / "request.csv"
    request.write_text(f"driver_id,event_timestamp,x,X\n1,{NOON.isoformat()},1,2\n", encoding="utf-8")
    with pytest.raises(AsofError, match="has columns named 'x' and 'X'"):
        asof_repo.trips(str(request))
    request.write_text(f"driver_id,event_timestamp,x,X_1\n1,{NOON.isoformat()},1,2\n", encoding="utf-8")
    assert asof_repo.features(str(request))[0]["X_1"] == 2


def test_the_names_of_the_stores_own_columns_are_refused_everywhere(asof_repo: AsofRepo) -> None:
    taken = {f"{RESERVED.upper()}x": [1]}
    over(asof_repo, write(asof_repo.folder / "one", table([1], [1], **taken)))
    with pytest.raises(AsofError, match="begins like those of the store's own columns"):
        asof_repo.trips(asked(1))
    over(asof_repo, write(asof_repo.folder / "two", table([1], [1])))
    with pytest.raises(AsofError, match="begins like those of the store's own columns"):
        asof_repo.trips(asked(1).assign(**taken))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=drawn_tables())
def test_one_file_many_files_and_any_names_give_what_a_plain_loop_gives(
    shared_asof_repo: AsofRepo, tmp_path_factory: pytest.TempPathFactory, drawn: DrawnTable
) -> None:
    register(shared_asof_repo, drawn, tmp_path_factory.mktemp("files"))
    request = tmp_path_factory.mktemp("request") / "[a]*.parquet"
    pq.write_table(pa.Table.from_pylist(drawn.requests), request)
    for entities in (request, pa.Table.from_pylist(drawn.requests), pd.DataFrame(drawn.requests)):
        require_expected(shared_asof_repo, drawn, entities)


def register(repo: AsofRepo, drawn: DrawnTable, folder: Path) -> None:
    """Write the files of a drawn source, and register a view of its feature."""
    drawn.write(folder)
    source = repo.source(folder, created_timestamp_column="")
    schema = [Field(name=drawn.feature, dtype=Int64)]
    repo.apply(FeatureView(name="stats", entities=[repo.entity()], schema=schema, source=source))


def require_expected(repo: AsofRepo, drawn: DrawnTable, entities: Any) -> None:
    """Ask the store under test for what the plain loop gives."""
    found = repo.features(entities, (f"stats:{drawn.feature}",))
    assert [row[drawn.feature] for row in found] == drawn.expected
    assert [row[drawn.kept] for row in found] == [row[drawn.kept] for row in drawn.requests]


# ---- Times and types -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["03/04/2026", "03.04.2026", "2026/03/04", "20260304", "epoch", "infinity"])
def test_days_and_months_are_not_guessed(asof_repo: AsofRepo, tmp_path: Path, text: str) -> None:
    over(asof_repo, write(asof_repo.folder / "one", table([1], [1])))
    request = tmp_path / "request.csv"
    request.write_text(f"driver_id,event_timestamp\n1,{text}\n", encoding="utf-8")
    with pytest.raises(AsofError, match="not a time"):
        asof_repo.trips(str(request))
    with pytest.raises(AsofError, match=r"is not a time; write 2026-01-31T12:00:00\+00:00"):
        asof_repo.trips(pd.DataFrame({"driver_id": [1], "event_timestamp": [text]}))


def test_a_csv_without_a_header_of_its_own_or_with_quotes_is_read(asof_repo: AsofRepo, tmp_path: Path) -> None:
    over(asof_repo, write(asof_repo.folder / "one", table([1], [1])))
    request = tmp_path / "[1]?.csv"
    (tmp_path / "1x.csv").write_text(f"driver_id,event_timestamp\n2,{NOON.isoformat()}\n", encoding="utf-8")
    request.write_text(f'driver_id;event_timestamp;"a;b"\n1;{NOON.isoformat()};"x ""y"""\n', encoding="utf-8")
    assert asof_repo.features(str(request))[0]["a;b"] == 'x "y"'
    assert asof_repo.trips(str(request)) == [1]
    request.write_text(f"1,{NOON.isoformat()}\n2,{NOON.isoformat()}\n", encoding="utf-8")
    with pytest.raises(AsofError, match="has no column 'driver_id'"):
        asof_repo.trips(str(request))


KEPT: dict[str, tuple[pa.DataType, Any]] = {
    "int8": (pa.int8(), 1),
    "uint64": (pa.uint64(), 2**64 - 1),
    "float": (pa.float32(), 0.5),
    "double": (pa.float64(), 0.1),
    "bool": (pa.bool_(), True),
    "string": (pa.string(), "ä"),
    "binary": (pa.binary(), b"\0"),
    "date32": (pa.date32(), NOON.date()),
    "timestamp us": (pa.timestamp("us", "UTC"), NOON),
    "decimal128": (pa.decimal128(38, 2), Decimal("1.01")),
    "list": (pa.list_(pa.int64()), [1]),
    "struct": (pa.struct({"x": pa.int64()}), {"x": 1}),
}
CONVERTED: dict[str, tuple[pa.DataType, Any, pa.DataType]] = {
    "large_string": (pa.large_string(), "ä", pa.string()),
    "large_binary": (pa.large_binary(), b"\0", pa.binary()),
    "dictionary": (pa.dictionary(pa.int8(), pa.string()), "ä", pa.string()),
    "fixed_size_binary": (pa.binary(2), b"ab", pa.binary()),
    "date64": (pa.date64(), NOON.date(), pa.date32()),
    "large_list": (pa.large_list(pa.int64()), [1], pa.list_(pa.int64())),
    "decimal32": (pa.decimal32(5, 2), Decimal("1.01"), pa.decimal128(5, 2)),
    "decimal64": (pa.decimal64(15, 2), Decimal("1.01"), pa.decimal128(15, 2)),
    "decimal256": (pa.decimal256(30, 2), Decimal("1.01"), pa.decimal128(30, 2)),
    "halffloat": (pa.float16(), 0.5, pa.float32()),
}


@pytest.mark.parametrize("name", [*KEPT, *CONVERTED])
def test_values_of_every_arrow_type_come_as_they_are(asof_repo: AsofRepo, tmp_path: Path, name: str) -> None:
    kind, value = KEPT[name] if name in KEPT else CONVERTED[name][:2]
    column = pa.array([value, None], kind)
    over(asof_repo, write(asof_repo.folder / "one", table([1, 2], column)))
    request = tmp_path / "request.parquet"
    pq.write_table(table([2, 1], [0, 0], given=column).drop_columns(["created", "trips"]), request)
    result = asof_repo.job(request).to_arrow()
    expected = kind if name in KEPT else CONVERTED[name][2]
    assert result.schema.field("trips").type == expected
    assert result.schema.field("given").type == expected
    assert result.column("trips").to_pylist() == [None, value]
    assert result.column("given").to_pylist() == [value, None]


def test_sql_may_begin_with_a_comment(asof_repo: AsofRepo) -> None:
    over(asof_repo, write(asof_repo.folder / "one", table([1], [1])))
    sql = f"SELECT 1 AS driver_id, TIMESTAMPTZ '{NOON.isoformat()}' AS event_timestamp"
    for comment in ("-- from here\n", "/* select\n */ ", "-- a\n  /* b */ ("):
        end = ")" if comment.endswith("(") else " -- the end"
        assert asof_repo.trips(f"{comment}{sql}{end}") == [1]


def test_what_is_no_sql_is_told_how_sql_begins(asof_repo: AsofRepo) -> None:
    over(asof_repo, write(asof_repo.folder / "one", table([1], [1])))
    for text in ("# from here\nSELECT 1", "/* no end SELECT 1", "SELEC 1"):
        with pytest.raises(AsofError, match="SQL, which begins with SELECT, WITH or FROM, or with a comment: --"):
            asof_repo.trips(text)


def test_a_pattern_of_text_files_is_read_and_one_that_matches_nothing_is_said(
    asof_repo: AsofRepo, tmp_path: Path
) -> None:
    over(asof_repo, write(asof_repo.folder / "one", table([1], [1])))
    (tmp_path / "a.csv").write_text(f"driver_id,event_timestamp\n1,{NOON.isoformat()}\n", encoding="utf-8")
    assert asof_repo.trips(f"{tmp_path}/?.csv") == [1]
    with pytest.raises(AsofError, match=r"No files found that match the pattern .*x\*\.csv"):
        asof_repo.trips(f"{tmp_path}/x*.csv")


def test_too_many_columns_of_any_kind_are_refused_before_they_are_joined(asof_repo: AsofRepo) -> None:
    over(asof_repo, write(asof_repo.folder / "one", table([1], [1])))
    columns = {f"c{number}": [1] for number in range(10**4)}
    entities = pa.table({"driver_id": [1], "event_timestamp": [NOON], **columns})
    with pytest.raises(AsofError, match="the entity rows: there are 10002 columns; 10000 are the most"):
        asof_repo.trips(entities)


@pytest.mark.parametrize(("scheme", "package"), [("gs", "gcsfs"), ("abfs", "adlfs"), ("az", "adlfs")])
@pytest.mark.parametrize("what", ["a source", "a file", "a query"])
def test_a_store_whose_package_is_missing_is_refused_by_the_name_of_it(
    asof_repo: AsofRepo, scheme: str, package: str, what: str
) -> None:
    if find_spec(package):
        pytest.skip(f"{package} is there")
    url = f"{scheme}://bucket/rows.parquet"
    asof_repo.apply(asof_repo.view(source=asof_repo.source(url)) if what == "a source" else asof_repo.view())
    entities = {"a source": asked(1), "a file": url, "a query": f"SELECT * FROM '{url}'"}[what]
    with pytest.raises(AsofError, match=rf"fsspec has no file system for {scheme}:// \(.*nstall {package}"):
        asof_repo.trips(entities)


def test_a_source_may_lie_on_a_web_server_but_not_at_the_end_of_a_chain(asof_repo: AsofRepo) -> None:
    folder = write(asof_repo.folder / "web", table([1], [1]))
    with serving_files(folder) as url:
        for name in ("0.parquet", "0.parquet?version=1"):
            asof_repo.apply(asof_repo.view(source=asof_repo.source(f"{url}/{name}")))
            assert asof_repo.trips(asked(1)) == [1]
        (folder / "request.csv").write_text(f"driver_id,event_timestamp\n1,{NOON.isoformat()}\n", encoding="utf-8")
        assert asof_repo.trips(f"{url}/request.csv") == [1]
        for chain in (f"simplecache::{url}/0.parquet", f"zip://x.parquet::{url}/x.zip"):
            asof_repo.apply(asof_repo.view(source=asof_repo.source(chain)))
            with pytest.raises(AsofError, match="is a chain of file systems; fetch the file"):
                asof_repo.trips(asked(1))
