"""The benchmarks run, and write their tables."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from support.projects import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def test_that_of_materialization_writes_its_table(tmp_path: Path) -> None:
    script, table = ROOT / "benchmarks/bench_materialize.py", tmp_path / "table.md"
    options = ["--drivers", "1000", "--runs", "1", "--cases", "asof+streaming", "--output", str(table)]

    subprocess.run([sys.executable, script, *options], capture_output=True, text=True, check=True)

    written = table.read_text(encoding="utf-8")
    assert "1000 drivers; median (lowest to highest) of 1 runs" in written
    assert written.count("| asof+streaming |") == 2
