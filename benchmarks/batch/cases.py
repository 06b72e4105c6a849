"""What is compared: which parts run on which side, on how many rows."""

from dataclasses import dataclass

LIMIT = "500MB"
MILLION, TEN_MILLION = 10**6, 10**7


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
        features: Rows of driver statistics.
        requests: Rows of the request.
        ours: Parts of this script to run on our side; each is a process, their seconds are added.
        theirs: Likewise, of the baseline.
        names: How the table calls both.
        goal: What is aimed at, in words.
    """

    features: int
    requests: int
    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    names: tuple[str, str]
    goal: str


CASES = {
    "extraction-small": Case(
        MILLION,
        MILLION // 10,
        ("extract-asof",),
        ("extract-stock",),
        ("this offline store", "Feast's `duckdb` store"),
        "1/50 of the time, 1/8 of the peak",
    ),
    "extraction-large": Case(
        TEN_MILLION,
        TEN_MILLION,
        ("extract-asof",),
        ("extract-sql",),
        ("this offline store", "SQL by hand"),
        "1.25 of the time, 1.2 of the peak",
    ),
    "extraction-bare": Case(
        TEN_MILLION,
        TEN_MILLION,
        ("extract-asof",),
        ("extract-sql-bare",),
        ("this offline store", "SQL by hand, without the tie-break: another answer"),
        "none: how much the tie-break costs",
    ),
    "extraction-limited": Case(
        TEN_MILLION,
        TEN_MILLION,
        ("extract-asof-limited",),
        ("extract-sql-bare-limited",),
        (
            f"this offline store, `memory_limit: {LIMIT}`",
            "SQL by hand without the tie-break, same limit (with it, DuckDB runs out of memory)",
        ),
        "completes, peak under 1024 MiB",
    ),
    "scoring": Case(
        TEN_MILLION,
        TEN_MILLION,
        ("score-node",),
        ("score-by-hand",),
        ("node `predict`", "pyarrow and NumPy by hand"),
        "1.3 of the time, peak under 700 MiB",
    ),
    "scoring-growth": Case(
        TEN_MILLION,
        TEN_MILLION,
        ("score-node",),
        ("score-node-tenth",),
        ("node `predict`", "the same on a tenth of the rows"),
        "1.2 of the peak",
    ),
    "whole-run": Case(
        TEN_MILLION,
        TEN_MILLION,
        ("kedro-batch",),
        ("imports", "extract-sql", "score-by-hand"),
        ("`kedro run --pipelines batch`", "imports + SQL by hand + scoring by hand"),
        "1.3 of the time, peak under 2560 MiB",
    ),
}
