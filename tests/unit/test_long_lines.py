"""Lines that are too long to be read are told of, never left out."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest
from kedro.io import DatasetError

from driver_ranking.datasets.entity_rows import EntityRowsDataset
from driver_ranking.datasets.long_lines import LONGEST_LINE, ends_with_long_line

if TYPE_CHECKING:
    from pathlib import Path

START = b"event_timestamp,driver_id,note\n2026-06-15T00:00:00Z,1001,a\n2026-06-15T00:00:00Z,1002,"


@pytest.mark.parametrize("name", ["request.csv", "request.csv.gz"])
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_last_line_of_any_length_is_read_or_refused(tmp_path: Path, name: str, end: bytes) -> None:
    file = tmp_path / name
    pack = gzip.compress if name.endswith(".gz") else bytes
    for length in (10, 3_000_000, 34_000_000):
        file.write_bytes(pack(START.replace(b"\n", end or b"\n") + b"x" * length + end))
        dataset = EntityRowsDataset(filepath=str(file), key_columns=["driver_id"])
        if length == 10:
            assert dataset.load().row_count == 2
            continue
        with pytest.raises(DatasetError, match=r"its last line has more than 30 million bytes|lines that don't fit"):
            dataset.load()


def test_many_short_lines_are_no_long_one(tmp_path: Path) -> None:
    file = tmp_path / "request.csv"
    file.write_bytes(START + b"a\n" + b"2026-06-15T00:00:00Z,1003,b\n" * (2 * LONGEST_LINE // 28))
    assert not ends_with_long_line(file)
    file.write_bytes(file.read_bytes() + b"x" * (LONGEST_LINE - 100))
    assert not ends_with_long_line(file)
