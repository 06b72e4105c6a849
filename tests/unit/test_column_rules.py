"""How columns of entity rows are read as a feature repo and a model declare them, and what is refused."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from driver_ranking.datasets.entity_rows import EntityRowsDataset
from driver_ranking.errors import RequestError
from driver_ranking.feature_store.entity_columns import EntityColumn, Reading

if TYPE_CHECKING:
    from pathlib import Path

    from driver_ranking.datasets.entity_rows import EntityRows

NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)
NAN, INF, LARGE = float("nan"), float("inf"), 2**53
THIRD = 0.3333333432674408  # as a float32 has it


def text_rows(folder: Path, values: list[str]) -> EntityRows:
    lines = "".join(f'2026-06-15T12:00:00Z,"{value}"\n' for value in values)
    (folder / "request.csv").write_text(f"event_timestamp,x\n{lines}", encoding="utf-8")
    return EntityRowsDataset(filepath=str(folder / "request.csv")).load()


def typed_rows(folder: Path, values: pa.Array) -> EntityRows:
    times = pa.array([NOON] * len(values), pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({"event_timestamp": times, "x": values}), folder / "request.parquet")
    return EntityRowsDataset(filepath=str(folder / "request.parquet")).load()


def read(rows: EntityRows, reading: Reading, *, required: bool = False) -> pa.Array:
    """Return the column as a query gives it."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        typed = rows.typed([EntityColumn("x", reading, "a key", required)])
        return connection.execute(typed.sql).to_arrow_table()["x"].combine_chunks()


TEXTS: dict[Reading, tuple[list[str], list[Any], list[str]]] = {
    Reading.INTEGER: (["007", " -5 ", "+1", str(2**63 - 1)], [7, -5, 1, 2**63 - 1], ["1.0", "x", "1_0", str(2**63)]),
    Reading.EXACT_INTEGER: ([str(LARGE - 1), str(1 - LARGE)], [LARGE - 1, 1 - LARGE], [str(LARGE), str(-(2**63))]),
    Reading.SHORT_INTEGER: ([str(2**31 - 1)], [2**31 - 1], [str(2**31), str(-(2**31) - 1)]),
    Reading.NUMBER: (
        ["2.7", " .5 ", "5.", "-1e3", str(LARGE), "Infinity", "-inf", "NaN"],
        [2.7, 0.5, 5.0, -1000.0, float(LARGE), INF, -INF, None],
        ["far", "1_000", "1e400", str(LARGE + 1), "9" * 50, "0x1", "1,5", " "],
    ),
    Reading.FLOAT: (
        ["0.33333334", "1e-3", str(2**24), "nan", "inf"],
        [THIRD, 0.0010000000474974513, float(2**24), None, INF],
        ["1e39", "x", str(2**24 + 1), str(2**25), "-16777217"],
    ),
    Reading.BOOLEAN: (["true", "False", " TRUE "], [True, False, True], ["1", "t", "yes"]),
    Reading.TEXT: (["007", " a ", "true"], ["007", " a ", "true"], []),
    Reading.BYTES: (["ä"], ["ä".encode()], []),
    Reading.TIME: (["2026-06-15T14:00:00+02:00"], [NOON], ["2026-06-15T12:00:00.5Z", "06/15/2026"]),
    Reading.UNKNOWN: (["007"], ["007"], []),
}
TYPED: dict[Reading, tuple[list[tuple[pa.DataType, list[Any], list[Any]]], list[pa.Array]]] = {
    Reading.INTEGER: (
        [(pa.int64(), [7], [7]), (pa.uint32(), [7], [7]), (pa.string(), ["7"], [7])],
        [pa.array([1.0]), pa.array([True]), pa.array([2**63], pa.uint64())],
    ),
    Reading.EXACT_INTEGER: ([(pa.int16(), [7], [7])], [pa.array([LARGE]), pa.array([7.0])]),
    Reading.SHORT_INTEGER: ([(pa.int64(), [-7], [-7])], [pa.array([2**31]), pa.array(["x"])]),
    Reading.NUMBER: (
        [(pa.float64(), [0.1, NAN], [0.1, None]), (pa.float32(), [0.5], [0.5]), (pa.int64(), [LARGE], [float(LARGE)])],
        [pa.array([LARGE + 1]), pa.array([2**64 - 1], pa.uint64()), pa.array([True]), pa.array([b"1"])],
    ),
    Reading.FLOAT: (
        [(pa.float64(), [THIRD, NAN, INF], [THIRD, None, INF]), (pa.float32(), [0.1], [0.10000000149011612])],
        [
            pa.array([0.1]),
            pa.array([1e39]),
            pa.array([2**24 + 1]),
            pa.array([2**25]),
            pa.array([LARGE + 1]),
            pa.array([True]),
        ],
    ),
    Reading.BOOLEAN: ([(pa.bool_(), [True], [True])], [pa.array([1]), pa.array([1.0])]),
    Reading.TEXT: ([(pa.string(), ["", "7"], ["", "7"])], [pa.array([7]), pa.array([b"7"])]),
    Reading.BYTES: ([(pa.binary(), [b"\xff"], [b"\xff"])], [pa.array([7])]),
    Reading.TIME: (
        [(pa.timestamp("us", "UTC"), [NOON], [NOON]), (pa.date32(), [date(2026, 6, 15)], [NOON.replace(hour=0)])],
        [pa.array([NOON.replace(microsecond=1)], pa.timestamp("us", "UTC")), pa.array([7])],
    ),
    Reading.OTHER: ([(pa.list_(pa.int64()), [[7]], [[7]])], [pa.array(["7"])]),
    Reading.UNKNOWN: ([(pa.int64(), [7], [7])], []),
}


@pytest.mark.parametrize("reading", TEXTS)
def test_texts_are_read_and_what_is_no_such_value_is_refused_with_its_row(tmp_path: Path, reading: Reading) -> None:
    texts, values, faulty = TEXTS[reading]
    assert read(text_rows(tmp_path, ["", *texts]), reading).to_pylist() == [None, *values]
    for text in faulty:
        with pytest.raises(RequestError) as refused:
            read(text_rows(tmp_path, [texts[0], text]), reading)
        assert "row 2: " in str(refused.value)
        assert str(refused.value).endswith(f" in column 'x' is not {reading}\n Nothing was written.")


@pytest.mark.parametrize("reading", TYPED)
def test_columns_with_types_are_read_and_never_guessed_at(tmp_path: Path, reading: Reading) -> None:
    good, bad = TYPED[reading]
    for kind, values, expected in good:
        found = read(typed_rows(tmp_path, pa.array([None, *values], kind)), reading)
        assert found.to_pylist() == [None, *expected]
    for values in bad:
        with pytest.raises(RequestError, match=r"a key, it has to be |in column 'x' is not "):
            read(typed_rows(tmp_path, values), reading)


@pytest.mark.parametrize("reading", [*TEXTS, Reading.OTHER])
def test_a_key_has_to_be_there(tmp_path: Path, reading: Reading) -> None:
    kind, values, _ = TYPED[reading][0][0]
    rows = typed_rows(tmp_path, pa.array([values[0], None], kind))
    with pytest.raises(RequestError) as refused:
        read(rows, reading, required=True)
    assert f"row 2: nothing in column 'x' is not {reading}\n" in str(refused.value)


def test_times_without_a_zone_are_utc_and_the_log_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = text_rows(tmp_path, ["2026-06-15T12:00:00", "2026-06-15T12:00:00Z", ""])
    with caplog.at_level(logging.WARNING):
        assert read(rows, Reading.TIME).to_pylist() == [NOON, NOON, None]
    assert "1 of 3 times in the column 'x' have no time zone and are taken as UTC." in caplog.text


def test_what_is_read_already_is_not_read_again(tmp_path: Path) -> None:
    (tmp_path / "request.csv").write_text("event_timestamp,x\n2026-06-15T12:00:00Z,7\n", encoding="utf-8")
    rows = EntityRowsDataset(filepath=str(tmp_path / "request.csv"), key_columns=["x"]).load()
    key = EntityColumn("x", Reading.INTEGER, "a key", required=True)
    assert rows.typed([key]) is rows
    text = EntityColumn("x", Reading.TEXT, "a key", required=True)
    with pytest.raises(RequestError, match="'x' has the type BIGINT; a key, it has to be a text"):
        rows.typed([text])
    (tmp_path / "request.csv").unlink()
    assert rows.typed([key]) is rows


def test_a_file_that_has_gone_since_is_refused(tmp_path: Path) -> None:
    rows = text_rows(tmp_path, ["7"])
    (tmp_path / "request.csv").unlink()
    with pytest.raises(RequestError, match=r"request\.csv: can't be read: .*Nothing was written"):
        read(rows, Reading.INTEGER)
