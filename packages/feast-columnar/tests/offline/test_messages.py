"""What a message says of a file: what is wrong with it, and no more of what it holds than the value at fault."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from columnar_support.drawn_tables import NOON
from offline.test_asof_files import over, table, write

from feast_columnar.errors import AsofError

if TYPE_CHECKING:
    from pathlib import Path

    from columnar_support.asof_repos import AsofRepo

QUIET = "c0ffee canary"
TOP, FILLED = "event_timestamp,driver_id,note\n", f"{NOON.isoformat()},1,5\n" * 21_000
ENTITY_FILES: dict[str, tuple[str, str]] = {
    "CR alone": (f"driver_id,event_timestamp\r1,{QUIET}\r", "its lines end in CR alone, or some do; end all in LF"),
    "mixed ends": (f"{TOP}{QUIET},1,x\r\n", "line 1 ends in LF, but line 2 in CRLF; end all in LF or all in CRLF"),
    "another end far below": (f"{TOP}{FILLED}{NOON.isoformat()},1,5\r\n", "line 1 ends in LF, but line 21002 in CRLF"),
    "a header with a line break": (f'driver_id,"{QUIET}\n"\n1,2\n', "a name in its header has a line break"),
    "a header that is not UTF-8": (f"driver_id,{QUIET}\udcff\n", "its header line can't be read as UTF-8 text"),
    "a name without an end": (f"driver_id,{QUIET * 20_000}\n", "a name in its header can't be read: field larger than"),
    "a header without an end": (f"driver_id,{QUIET * 100_000}", "has more than 1048576 bytes"),
    "many columns": (",".join(f"{QUIET}{number}" for number in range(10**4 + 1)), "10001 columns; 10000 are the most"),
    "no header": (f"root:x:0:{QUIET}\nother:x\n", r"column 'event_timestamp', .* they have 1 column\(s\)"),
    "a missing key": (
        f"event_timestamp,{QUIET}\n{NOON.isoformat()},1\n",
        r"'driver_id', which .* it has 2 column\(s\)",
    ),
    "a short line": (f"{TOP}{FILLED}{QUIET}\n", "Line: 21002\nExpected Number of Columns: 3 Found: 1"),
    "a long line": (f"{TOP}{FILLED}{NOON.isoformat()},1,5,{QUIET}\n", "Expected Number of Columns: 3 Found: 4"),
    "another type": (
        f"{TOP}{f'{NOON.isoformat()},1,a{chr(10)}' * 21_000}{NOON.isoformat()},x,{QUIET}\n",
        'converting column "driver_id". Could not convert string "x"',
    ),
    "a long value": (f"{TOP}{FILLED}{NOON.isoformat()},1,{'x' * 100}{QUIET}\n", r"string \"x{40}\.\.\.\" to 'BIGINT'"),
    "no time": (f"{TOP}{FILLED}x,1,5\n{QUIET},1,5\n", "'x' in column 'event_timestamp' is not a time"),
    "a long line of megabytes": (f"{TOP}{FILLED}{QUIET * 200_000},1,5\n", "Maximum line size of 2000000 bytes"),
}


@pytest.mark.parametrize("case", ENTITY_FILES)
def test_a_message_says_what_is_wrong_with_a_file_and_quotes_the_value_at_fault_alone(
    asof_repo: AsofRepo, tmp_path: Path, case: str
) -> None:
    over(asof_repo, write(asof_repo.folder / "one", table([1], [1])))
    content, message = ENTITY_FILES[case]
    request = tmp_path / "request.csv"
    request.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(AsofError, match=message) as error:
        asof_repo.trips(str(request))
    assert QUIET not in str(error.value)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        (
            "FROM read_csv('{file}', auto_detect=false, columns={{'event_timestamp': 'DATE', 'driver_id': 'INT'}})",
            "CSV Error on Line",
        ),
        ("SELECT now() AS event_timestamp, x AS driver_id FROM read_json('{file}')", "Malformed JSON in file"),
        ("SELECT now() AS event_timestamp, x AS driver_id FROM read_parquet('{file}')", "No magic bytes found"),
        ("SELECT now() AS event_timestamp, content::BIGINT AS driver_id FROM read_text('{file}')", "Could not convert"),
    ],
)
def test_nor_do_messages_of_sql_quote_a_file(asof_repo: AsofRepo, tmp_path: Path, sql: str, message: str) -> None:
    over(asof_repo, write(asof_repo.folder / "one", table([1], [1])))
    file = tmp_path / "rows"
    file.write_text(f'{{"x": [{"1" * 100}{QUIET}\n', encoding="utf-8")
    with pytest.raises(AsofError, match=message) as error:
        asof_repo.trips(sql.format(file=file))
    assert QUIET not in str(error.value)
