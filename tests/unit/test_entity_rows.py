"""Entity rows: what is accepted, what is refused, and what the refusal says."""

import gzip
import json
import logging
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Never, cast

import duckdb
import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kedro.io import DatasetError

from driver_ranking.datasets.entity_rows import EntityRows, EntityRowsDataset
from driver_ranking.errors import RequestError, SettingError
from driver_ranking.feature_store.entity_columns import Reading

HEADER = "event_timestamp\tdriver_id\n"
NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)

Writer = Callable[[str, str | bytes], str]


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    def write_file(name: str, content: str | bytes) -> str:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write_file


def checked(filepath: str, numbers: list[str] | None = None) -> EntityRows:
    """Check as a run does before its first node, where no dataset wraps the error."""
    dataset = EntityRowsDataset(filepath=filepath, key_columns=["driver_id"], number_columns=numbers)
    dataset.check()
    return dataset.load()


def read(rows: EntityRows) -> list[dict[str, Any]]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        if "://" in rows.filepath:
            connection.register_filesystem(fsspec.filesystem(rows.filepath.split("://")[0]))
        found: list[dict[str, Any]] = connection.execute(rows.sql).to_arrow_table().to_pylist()
        return found


@pytest.mark.parametrize("separator", [",", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("beginning", ["", "\ufeff"])
def test_text_is_read_by_its_header(write: Writer, separator: str, newline: str, beginning: str) -> None:
    lines = [["driver_id", "note", "event_timestamp"], ["1001", '"a, ""b"""', "2026-06-15T14:00:00+02:00"]]
    text = beginning + newline.join(separator.join(line) for line in lines) + newline
    rows = checked(write("request.csv", text))
    assert rows.columns == ("driver_id", "note", "event_timestamp")
    assert rows.row_count == 1
    assert read(rows) == [{"driver_id": 1001, "note": 'a, "b"', "event_timestamp": NOON}]


def test_compressed_text_is_read(write: Writer) -> None:
    rows = checked(write("request.csv.gz", gzip.compress((HEADER + "2026-06-15T12:00:00Z\t1001\n").encode())))
    assert read(rows) == [{"event_timestamp": NOON, "driver_id": 1001}]


def test_other_columns_of_text_stay_text(write: Writer) -> None:
    rows = checked(write("request.csv", "event_timestamp,driver_id,code\n2026-06-15T12:00:00Z,1001,007\n"))
    assert read(rows) == [{"event_timestamp": NOON, "driver_id": 1001, "code": "007"}]


def test_labels_are_numbers(write: Writer) -> None:
    path = write("orders.csv", "event_timestamp,driver_id,trip_completed\n2026-06-15T12:00:00Z,1001,1\n")
    assert read(checked(path, ["trip_completed"])) == [
        {"event_timestamp": NOON, "driver_id": 1001, "trip_completed": 1.0}
    ]


def test_keys_may_be_texts_or_left_to_the_feature_repo(write: Writer) -> None:
    path = write("request.csv", "event_timestamp,zone\n2026-06-15T12:00:00Z,007\n")
    for keys in ({"zone": "text"}, (), {}):
        dataset = EntityRowsDataset(filepath=path, key_columns=keys)
        assert read(dataset.load()) == [{"event_timestamp": NOON, "zone": "007"}]
    (integer,) = read(EntityRowsDataset(filepath=path, key_columns={"zone": "integer"}).load())
    assert integer["zone"] == 7
    empty = write("empty.csv", "event_timestamp,zone,n\n2026-06-15T12:00:00Z,,1\n")
    with pytest.raises(RequestError, match="row 1: nothing in column 'zone' is not a text"):
        EntityRowsDataset(filepath=empty, key_columns={"zone": "text"}).check()
    with pytest.raises(SettingError, match="`key_columns` has 'int' as the type of 'zone'; it may be integer or text"):
        EntityRowsDataset(filepath=path, key_columns={"zone": "int"})


def test_a_url_is_opened_by_fsspec() -> None:
    fsspec.filesystem("memory").pipe("/entity-rows/request.csv", (HEADER + "2026-06-15T12:00:00Z\t1001\n").encode())
    rows = checked("memory://entity-rows/request.csv")
    assert read(rows) == [{"event_timestamp": NOON, "driver_id": 1001}]


@pytest.mark.parametrize(
    "time",
    [
        "2026-06-15T12:00:00Z",
        "2026-06-15 12:00:00+00:00",
        "2026-06-15T14:00:00+02:00",
        "2026-06-15T14:00:00.000000+0200",
        "2026-06-15T08:30:00-03:30",
    ],
)
def test_times_of_any_offset_are_one_instant(write: Writer, time: str, caplog: pytest.LogCaptureFixture) -> None:
    rows = checked(write("request.csv", f"{HEADER}{time}\t1001\n"))
    assert read(rows) == [{"event_timestamp": NOON, "driver_id": 1001}]
    assert not caplog.records


def test_times_without_offset_are_utc_and_the_log_says_so_once(write: Writer, caplog: pytest.LogCaptureFixture) -> None:
    path = write("request.csv", HEADER + "2026-06-15T12:00:00\t1\n2026-06-15\t2\n2026-06-15T12:00:00+00:00\t3\n")
    with caplog.at_level(logging.WARNING):
        rows = checked(path)
    midnight = NOON.replace(hour=0)
    assert [row["event_timestamp"] for row in read(rows)] == [NOON, midnight, NOON]
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: 2 of 3 event times have no time zone and are taken as UTC."
    ]


@pytest.mark.parametrize(
    ("times", "key_type"),
    [
        (pa.array([NOON], pa.timestamp("us", "UTC")), pa.int64()),
        (pa.array([NOON], pa.timestamp("ns", "Asia/Tokyo")), pa.int32()),
        (pa.array([NOON.replace(tzinfo=None)], pa.timestamp("ns")), pa.int16()),
        (pa.array([NOON.replace(tzinfo=None)], pa.timestamp("ms")), pa.uint32()),
        (pa.array(["2026-06-15T12:00:00Z"]), pa.int64()),
    ],
)
def test_parquet_of_any_time_and_integer_type_is_read(tmp_path: Path, times: pa.Array, key_type: pa.DataType) -> None:
    table = pa.table({"event_timestamp": times, "driver_id": pa.array([1001], key_type), "extra": [2.5]})
    pq.write_table(table, tmp_path / "request.parquet")
    rows = checked(str(tmp_path / "request.parquet"))
    assert read(rows) == [{"event_timestamp": NOON, "driver_id": 1001, "extra": 2.5}]


def test_a_date_is_midnight(tmp_path: Path) -> None:
    pq.write_table(pa.table({"event_timestamp": [date(2026, 6, 15)], "driver_id": [1]}), tmp_path / "request.pq")
    rows = checked(str(tmp_path / "request.pq"))
    assert read(rows) == [{"event_timestamp": NOON.replace(hour=0), "driver_id": 1}]


BAD_TEXT: dict[str, tuple[str | bytes, str]] = {
    "unparsable time": (HEADER + "yesterday\t1\n", "row 1: 'yesterday' in column 'event_timestamp' is not a time"),
    "another time format": (HEADER + "06/15/2026\t1\n", "row 1: '06/15/2026' in column 'event_timestamp'"),
    "impossible time": (HEADER + "2026-06-31\t1\n", "row 1: '2026-06-31' in column 'event_timestamp'"),
    "missing time": (HEADER + "2026-06-15\t1\n\t2\n", "row 2: nothing in column 'event_timestamp' is not a time"),
    "missing id": (HEADER + "2026-06-15\t\n", "row 1: nothing in column 'driver_id' is not an integer"),
    "text id": (HEADER + "2026-06-15\tx1\n", "row 1: 'x1' in column 'driver_id' is not an integer"),
    "float id": (HEADER + "2026-06-15\t1.0\n", "row 1: '1.0' in column 'driver_id' is not an integer"),
    "huge id": (HEADER + "2026-06-15\t9223372036854775808\n", "row 1: '9223372036854775808' in column 'driver_id'"),
    "long value": (HEADER + "2026-06-15\t" + "x" * 90 + "\n", r"row 1: 'x{39}\.\.\. in column 'driver_id'"),
    "missing column": (
        "event_timestamp,driver\n2026-06-15,1\n",
        "'driver_id' is missing; the file has 2 column.*'driver' c",
    ),
    "semicolons": ("event_timestamp;driver_id\n2026-06-15;1\n", "separated by a semicolon; separate them by a comma"),
    "vertical bars": ("event_timestamp|driver_id\n2026-06-15|1\n", "separated by a vertical bar"),
    "no separator": ("driver_id\n1\n", "'event_timestamp' is missing; .* separated by a comma or a tab"),
    "empty": ("", "the file is empty"),
    "header only": (HEADER, "there are no rows"),
    "a column twice": ("event_timestamp,driver_id,driver_id\n", "without a name or one twice"),
    "a column without a name": ("event_timestamp,driver_id,\n", "without a name or one twice"),
    "short line": (HEADER + "2026-06-15\t1\n2026-06-15\n", "don't fit the header:\n  line 3: .*Found: 1"),
    "long line": (HEADER + "2026-06-15\t1\t2\n", "don't fit the header:\n  line 2: .*Found: 3"),
    "not UTF-8": (HEADER.encode() + b"2026-06-15\t1\xff\n", "line 2: Invalid unicode"),
    "not UTF-8 where no rule looks": (
        b"event_timestamp,driver_id,note\n2026-06-15,1,a\n2026-06-15,2,\xfc\n",
        "line 3: Invalid unicode",
    ),
    "CR alone": (b"event_timestamp,driver_id\r2026-06-15,1\r", "its lines end in CR alone, or some do"),
    "mixed ends": (
        b"event_timestamp,driver_id\r\n2026-06-15,1\n2026-06-15,2\r\n",
        "line 1 ends in CRLF, but line 2 in LF; end all in LF or all in CRLF",
    ),
    "another end far below": (
        b"event_timestamp,driver_id\n" + b"2026-06-15,1\n" * 200_000 + b"2026-06-15,2\r2026-06-15,2\r\n",
        "line 1 ends in LF, but line 200002 in CR; end all",
    ),
    "a name of any length": ("event_timestamp,driver_id," + "x" * 200_000, "a name in its header can't be read"),
    "a line break in the header": (
        b'event_timestamp,"driver\nid"\n2026-06-15,1\n',
        "name in its header has a line",
    ),
    "a header without an end": (b"event_timestamp,driver_id," + b"x" * (2 << 20), "has more than 1048576 bytes"),
    "many columns": (
        ",".join(["event_timestamp", "driver_id", *map(str, range(10**5))]),
        "10000 are the most",
    ),
    "header not UTF-8": (b"\xff\xfe\x00\n", "header line can't be read as UTF-8"),
}


@pytest.mark.parametrize("case", BAD_TEXT)
def test_bad_text_is_refused(write: Writer, case: str) -> None:
    content, message = BAD_TEXT[case]
    path = write("request.csv", content)
    with pytest.raises(RequestError, match=message) as raised:
        checked(path)
    assert str(raised.value).startswith(path)
    assert str(raised.value).endswith("Nothing was written.")


def test_line_breaks_within_quotes_may_end_as_they_like(write: Writer) -> None:
    text = 'event_timestamp,driver_id,note\r\n2026-06-15,1,"a\nb"\r\n'
    assert read(checked(write("request.csv", text)))[0]["note"] == "a\nb"
    with pytest.raises(RequestError, match="line 3: Expected Number of Columns: 3 Found: 2"):
        checked(write("request.csv", text + "2026-06-15,2\r\n"))


QUIET = "c0ffee canary"
QUOTING: dict[str, tuple[str | bytes, str]] = {
    "a missing column": (f"root:x:0:{QUIET}:/root\n", "the file has 1 column"),
    "a short line": (f"{HEADER}2026-06-15\t1\n{QUIET}\n", "line 3: Expected Number of Columns: 2 Found: 1"),
    "a long line": (f"{HEADER}2026-06-15\t1\t{QUIET}\n", "line 2: Expected Number of Columns: 2 Found: 3"),
    "an open quote": (f'{HEADER}2026-06-15\t"{QUIET}\n', "line 2: Value with unterminated quote"),
    "not UTF-8": (f"{HEADER}2026-06-15\t{QUIET}".encode() + b"\xff\n", "line 2: Invalid unicode"),
    "a header that is not UTF-8": (QUIET.encode() + b"\xff\n", "header line can't be read"),
    "a line of some megabytes": (f"{HEADER}2026-06-15\t{QUIET * 200_000}\n", "line 2: Maximum line size"),
    "a value": (f"event_timestamp\tdriver_id\tnote\n2026-06-15\tx\t{QUIET}\n", "'x' in column 'driver_id'"),
    "a long value": (f"{HEADER}2026-06-15\t{'x' * 40}{QUIET}\n", r"'x{39}\.\.\. in column"),
    "mixed ends": (f"{HEADER}2026-06-15\t{QUIET}\r\n", "line 1 ends in LF, but line 2 in CRLF"),
    "another column twice": (f"event_timestamp,driver_id,driver_id,{QUIET}\n", "one twice: 'driver_id'"),
}


@pytest.mark.parametrize("case", QUOTING)
def test_no_message_quotes_more_than_the_value_at_fault(write: Writer, case: str) -> None:
    content, message = QUOTING[case]
    with pytest.raises(RequestError, match=message) as raised:
        checked(write("request.csv", content))
    assert QUIET not in str(raised.value)


@pytest.mark.parametrize("content", [f"PAR1{QUIET}", f"PAR1{QUIET * 100}PAR1", json.dumps({"x": QUIET})])
def test_what_is_no_parquet_is_not_quoted(write: Writer, content: str) -> None:
    for name in ("request.parquet", "request.json"):
        with pytest.raises(RequestError) as raised:
            checked(write(name, content))
        assert QUIET not in str(raised.value)


def test_too_many_columns_of_parquet_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({f"c{number}": [1] for number in range(10_001)}), tmp_path / "request.parquet")
    with pytest.raises(RequestError, match="there are 10001 columns; 10000 are the most"):
        checked(str(tmp_path / "request.parquet"))


def test_the_first_faults_are_named_and_all_are_counted(write: Writer) -> None:
    with pytest.raises(RequestError) as raised:
        checked(write("request.csv", HEADER + "x\ty\n" * 9))
    assert "18 value(s) at fault" in str(raised.value)
    assert str(raised.value).count("\n  row ") == 5


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([1, None]), "row 2: nothing in column 'driver_id' is not an integer"),
        (pa.array([1.0, 2.0]), "column 'driver_id' has the type DOUBLE"),
        (pa.array([1, 2**63], pa.uint64()), "row 2: 9223372036854775808 in column 'driver_id'"),
    ],
)
def test_bad_keys_in_parquet_are_refused(tmp_path: Path, column: pa.Array, message: str) -> None:
    times = pa.array([NOON, NOON], pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({"event_timestamp": times, "driver_id": column}), tmp_path / "request.parquet")
    with pytest.raises(RequestError, match=message):
        checked(str(tmp_path / "request.parquet"))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([NOON, None], pa.timestamp("us", "UTC")), "row 2: nothing in column 'event_timestamp'"),
        (pa.array([1, 2]), "column 'event_timestamp' has the type BIGINT"),
    ],
)
def test_bad_times_in_parquet_are_refused(tmp_path: Path, column: pa.Array, message: str) -> None:
    pq.write_table(pa.table({"event_timestamp": column, "driver_id": [1, 2]}), tmp_path / "request.parquet")
    with pytest.raises(RequestError, match=message):
        checked(str(tmp_path / "request.parquet"))


@pytest.mark.parametrize("value", ["", "maybe", "nan", "inf"])
def test_a_label_that_is_no_finite_number_is_refused(write: Writer, value: str) -> None:
    path = write("orders.csv", f"event_timestamp,driver_id,trip_completed\n2026-06-15,1,{value}\n")
    with pytest.raises(RequestError, match=r"row 1: .* in column 'trip_completed' is not a number"):
        checked(path, ["trip_completed"])


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"request\.csv: there is no such file"):
        checked(str(tmp_path / "request.csv"))


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="is a folder; name a file"):
        checked(str(tmp_path))


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(RequestError, match="can't be opened: Protocol not known: nowhere"):
        checked("nowhere://request.csv")


def test_a_damaged_parquet_file_is_refused(write: Writer) -> None:
    with pytest.raises(RequestError, match="can't be read"):
        checked(write("request.parquet", "this is not Parquet"))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_folder_that_is_named_like_a_partition_adds_no_column(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "run_date=2026-06-15" / f"request.{kind}"
    path.parent.mkdir()
    if kind == "csv":
        path.write_text(HEADER + "2026-06-15T12:00:00Z\t1001\n", encoding="utf-8")
    else:
        pq.write_table(pa.table({"event_timestamp": pa.array([NOON]), "driver_id": [1001]}), path)
    assert read(checked(str(path))) == [{"event_timestamp": NOON, "driver_id": 1001}]


def test_damaged_compression_is_refused(write: Writer) -> None:
    content = bytearray(gzip.compress((HEADER + "2026-06-15\t1\n" * 50).encode()))
    content[12:20] = b"\xff" * 8
    with pytest.raises(RequestError, match=r"request\.csv\.gz: its header line can't be read"):
        checked(write("request.csv.gz", bytes(content)))


def test_blank_lines_are_no_rows(write: Writer) -> None:
    path = write("request.csv", HEADER + "\n2026-06-15\t1\n\n2026-06-15\tx\n")
    with pytest.raises(RequestError, match="row 2: 'x' in column 'driver_id'"):
        checked(path)


def test_a_file_is_checked_once(write: Writer) -> None:
    path = write("request.csv", HEADER + "2026-06-15T12:00:00Z\t1\n")
    dataset = EntityRowsDataset(filepath=path, key_columns=["driver_id"])
    first = dataset.load()
    Path(path).write_text("", encoding="utf-8")
    assert dataset.load() is first
    dataset.release()
    with pytest.raises(DatasetError, match="the file is empty"):
        dataset.load()


def test_entity_rows_are_only_read(write: Writer) -> None:
    dataset = EntityRowsDataset(filepath=write("request.csv", HEADER), key_columns=["driver_id"])
    assert dataset.exists()
    with pytest.raises(DatasetError, match="only read"):
        dataset.save(cast("Never", 1))


@pytest.mark.parametrize("name", ["[x].csv", "1?.csv", "x*.csv"])
def test_a_name_with_signs_of_patterns_is_that_file_alone(write: Writer, name: str) -> None:
    for other in ("x.csv", "1x.csv", "xx.csv"):
        write(other, HEADER + "2026-06-15T12:00:00Z\t9999\n")
    rows = checked(write(name, HEADER + "2026-06-15T12:00:00Z\t1001\n"))
    assert [row["driver_id"] for row in read(rows)] == [1001]


def test_a_url_with_signs_of_patterns_is_that_file_alone() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/patterns/x.csv", (HEADER + "2026-06-15T12:00:00Z\t9999\n").encode())
    memory.pipe("/patterns/[x].csv", (HEADER + "2026-06-15T12:00:00Z\t1001\n").encode())
    assert [row["driver_id"] for row in read(checked("memory://patterns/[x].csv"))] == [1001]


def test_columns_that_differ_in_case_alone_are_refused(write: Writer) -> None:
    with pytest.raises(RequestError, match="has columns named 'note' and 'Note', which differ in case at most"):
        checked(write("request.csv", "event_timestamp,driver_id,note,Note\n2026-06-15T12:00:00Z,1,a,b\n"))


def test_columns_that_models_take_are_known_by_the_catalog_or_by_parquet(tmp_path: Path) -> None:
    text, parquet = tmp_path / "rows.csv", tmp_path / "rows.parquet"
    text.write_text("event_timestamp,km,zone\n2026-06-01T00:00:00Z,3,north\n", encoding="utf-8")
    table = pa.table({"event_timestamp": [datetime(2026, 6, 1, tzinfo=UTC)], "km": [3], "zone": ["a"], "code": [b"b"]})
    table = table.append_column("rainy", pa.array([True]))
    pq.write_table(table, parquet)
    named = EntityRowsDataset(filepath=str(text), feature_columns={"km": "number", "zone": "boolean"}).load()
    assert named.features == {"km": Reading.NUMBER, "zone": Reading.BOOLEAN}
    known = EntityRowsDataset(filepath=str(parquet), feature_columns={"km": "text"}).load().features
    assert (known["km"], known["zone"], known["code"]) == (Reading.TEXT, Reading.TEXT, Reading.BYTES)
    assert known["rainy"] == Reading.BOOLEAN
    with pytest.raises(
        SettingError, match="`feature_columns` has 'date' as the type of 'km'; it may be number, text or boolean"
    ):
        EntityRowsDataset(filepath=str(text), feature_columns={"km": "date"})
