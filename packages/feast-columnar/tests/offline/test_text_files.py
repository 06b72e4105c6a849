"""What is said of text files without DuckDB, and of what DuckDB, Arrow and Spark say of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from feast_columnar.offline.messages import listed, reason, shown
from feast_columnar.offline.text_files import TextFileError, header_line, header_names, uneven_ends

if TYPE_CHECKING:
    from pathlib import Path

UNCLEAR = "The CSV Parser state machine reached an invalid state."
MEBI = 1 << 20


@pytest.mark.parametrize(
    ("content", "line", "end"),
    [
        (b"a\nb\r\n", 2, "CRLF"),
        (b"a\nb\r", 2, "CR"),
        (b"a\r\n" * 5 + b"b\n", 6, "LF"),
        (b"x" * (MEBI - 1) + b"\r\n" + b"y\n", 2, "LF"),  # an end that lies in two blocks is one
        (b"\n" * MEBI + b"\ry", MEBI + 1, "CR"),
    ],
)
def test_the_first_line_that_ends_differently_is_named(tmp_path: Path, content: bytes, line: int, end: str) -> None:
    (tmp_path / "rows.csv").write_bytes(content)
    assert f"but line {line} in {end}; end all in LF or all in CRLF" in (
        uneven_ends(str(tmp_path / "rows.csv"), UNCLEAR) or ""
    )
    assert uneven_ends(str(tmp_path / "rows.csv"), "Expected Number of Columns: 3 Found: 2") is None


@pytest.mark.parametrize("content", [b"a\nb\n", b"a\r\nb", b"a" * MEBI + b"\r\nb\r\n", b"a"])
def test_ends_that_are_alike_are_no_fault(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "rows.csv").write_bytes(content)
    assert uneven_ends(str(tmp_path / "rows.csv"), UNCLEAR) is None


def test_a_header_is_the_first_line_whatever_its_length(tmp_path: Path) -> None:
    file = tmp_path / "[a]?#.csv"
    for content, header in ((b"\xef\xbb\xbfa,b\r\n1,2\r\n", "a,b"), (b"a", "a"), (b"\n", "")):
        file.write_bytes(content)
        assert header_line(str(file)) == header
    assert header_line(f"file://{file}") == ""
    file.write_bytes(b"a" * (MEBI - 1) + b"\n1")
    assert len(header_line(str(file))) == MEBI - 1
    file.write_bytes(b"a" * MEBI)
    with pytest.raises(TextFileError, match="more than 1048576 bytes"):
        header_line(str(file))
    assert header_names("", ",") == []


def test_names_and_values_are_cut_short() -> None:
    assert listed([]) == "none"
    assert listed(["a", "b" * 50]) == f"'a', '{'b' * 40}...'"
    assert listed(map(str, range(1022))).endswith("'19' and 1,002 more")
    assert shown("x" * 40) == "x" * 40


def test_what_an_engine_says_is_kept_but_for_what_it_quotes() -> None:
    error = (
        'Conversion Error: CSV Error on Line: 7\nOriginal Line: a,\nb\nError when converting column "n". Could not '
        f"convert string \"{'x' * 200}\" to 'BIGINT'\n\nColumn n is being converted as type BIGINT\n  file = /a/b.csv\n"
    )
    kept = 'Conversion Error: CSV Error on Line: 7\nError when converting column "n". Could not convert string '
    assert reason(error) == f"{kept}\"{'x' * 40}...\" to 'BIGINT' (in /a/b.csv)"
    assert reason("CSV Error on Line: 7\nOriginal Line: secret\nsomething new") == "CSV Error on Line: 7"
    assert reason("Malformed records are detected in record parsing: [1,secret].\nParse Mode: FAILFAST") == (
        "Malformed records are detected in record parsing"
    )
    query = "Parser Error: syntax error\n\nLINE 1: SELEC 1\n        ^"
    assert reason(query) == query
    assert len(reason("x" * 1000)) == 603
