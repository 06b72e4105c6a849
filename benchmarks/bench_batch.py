"""Batch serving against what one would write by hand: extraction, scoring, and the whole run.

    python benchmarks/bench_batch.py                        # all cases at full size: 10**7 rows, about half an hour
    python benchmarks/bench_batch.py --cases extraction-large --runs 3
    python benchmarks/bench_batch.py --scale 0.001 --runs 1 # to see that it works

Each case runs two programs in turns, each in a process of its own. Seconds are those of the work, without imports,
but for the whole run; peak memory is the operating system's account of the whole process, imports included. The data
comes from the project's own generator.
"""

from __future__ import annotations

# The standard library alone: Linux counts the memory of the process that starts a child into the child's peak.
import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from batch import extraction, prepared, scoring
from batch.cases import CASES, Case
from bench_start import IMPORTS, kedro_run
from borrowed import copy_project
from measure import ROOT, Usage, machine, markdown_table, measure, ratios, spread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


PARTS: dict[str, Callable[[Path], None]] = {
    "extract-asof": extraction.extract_asof,
    "extract-asof-limited": extraction.extract_asof_limited,
    "extract-stock": extraction.extract_stock,
    "extract-sql": extraction.extract_sql,
    "extract-sql-bare": extraction.extract_sql_bare,
    "extract-sql-bare-limited": extraction.extract_sql_bare_limited,
    "extract-input": prepared.extract_input,
    "extract-input-tenth": prepared.extract_input_tenth,
    "score-node": scoring.score_node,
    "score-node-tenth": scoring.score_node_tenth,
    "score-by-hand": scoring.score_by_hand,
}


def main() -> None:
    """Measure the cases, or play the part of one of the children."""
    options = _options()
    if options.part == "data":
        prepared.make_data(Path(options.folder), options.features, options.requests)
        return
    if options.part:
        PARTS[options.part](Path(options.folder))
        return
    table = compare(options)
    options.output.write_text(table, encoding="utf-8")
    print(table)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of rows")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/batch.md", help="where the table goes")
    for hidden, kind in (("--part", str), ("--folder", str), ("--features", int), ("--requests", int)):
        parser.add_argument(hidden, type=kind, help=argparse.SUPPRESS)
    return parser.parse_args()


def compare(options: argparse.Namespace) -> str:
    """Run the cases and return their table."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in options.cases:
            case = CASES[name]
            prepare(Path(folder), case, options.scale)
            rows += case_rows(name, case, Path(folder), options)
    header = ["case", "", "seconds", "peak MiB", "seconds, ratio", "peak, ratio", "goal"]
    head = f"Median (lowest to highest) of {options.runs} runs in turns, after a warm-up. {machine()}."
    return "\n".join(["# Batch", "", head, "", *markdown_table(header, rows), ""])


def prepare(folder: Path, case: Case, scale: float) -> None:
    """Make the data of a case, unless it is that of the last one, and a project that has a champion."""
    features, requests = int(case.features * scale), int(case.requests * scale)
    marker, size = folder / "size", f"{features} {requests}"
    if marker.exists() and marker.read_text(encoding="utf-8") == size:
        return
    part("data", folder, "--features", str(features), "--requests", str(requests))
    if not (folder / "project").exists():
        measure(kedro_run("training"), copy_project(folder / "project"))
    stats = folder / "project/data/01_raw/driver_stats.parquet"
    stats.unlink()
    stats.symlink_to(folder / "stats.parquet")
    for name in ("input.parquet", "input-tenth.parquet"):
        part("extract-input" if name == "input.parquet" else "extract-input-tenth", folder)
    marker.write_text(size, encoding="utf-8")


def part(name: str, folder: Path, *more: str) -> Usage:
    """Run a part of this script, or a command, in a process of its own."""
    if name == "imports":
        return measure([sys.executable, "-c", IMPORTS])
    if name == "kedro-batch":
        params = f"batch_request={folder / 'requests.parquet'}"
        return measure([*kedro_run("batch"), "--params", params], folder / "project")
    return measure([sys.executable, __file__, "--part", name, "--folder", str(folder), *more])


def case_rows(name: str, case: Case, folder: Path, options: argparse.Namespace) -> list[list[str]]:
    """Run both sides in turns, and return two rows of the table."""
    ours: list[Usage] = []
    theirs: list[Usage] = []
    for turn in range(options.runs + 1):
        for side, parts in ((ours, case.ours), (theirs, case.theirs)):
            usage = total([part(each, folder) for each in parts])
            print(f"  {name} {parts}: {usage.seconds:.2f} s, {usage.peak:.0f} MiB", file=sys.stderr)
            if turn:
                side.append(usage)
    seconds = ratios([usage.seconds for usage in ours], [usage.seconds for usage in theirs])
    peaks = ratios([usage.peak for usage in ours], [usage.peak for usage in theirs])
    size = f"{int(case.features * options.scale):.0e} features, {int(case.requests * options.scale):.0e} rows"
    figures = [[spread([u.seconds for u in side]), spread([u.peak for u in side], 0)] for side in (ours, theirs)]
    return [
        [f"{name}: {size}", case.names[0], *figures[0], spread(seconds, 3), spread(peaks, 3), case.goal],
        ["", case.names[1], *figures[1], "", "", ""],
    ]


def total(parts: Sequence[Usage]) -> Usage:
    """Return the sum of times and the highest peak."""
    return Usage(
        sum(usage.wall for usage in parts),
        sum(usage.cpu for usage in parts),
        max(usage.peak for usage in parts),
        sum(usage.seconds for usage in parts),
    )


if __name__ == "__main__":
    main()
