"""Statistics of features for Feast's monitoring, worked out by DuckDB over a source where it is.

Values that are not a number count as null, as they are missing for a model; infinite ones are left out of the figures.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from feast_columnar.offline.rules import quoted

if TYPE_CHECKING:
    from feast_columnar.offline.engine import Engine

QUANTILES = {"p50": 0.5, "p75": 0.75, "p90": 0.9, "p95": 0.95, "p99": 0.99}
FIGURES = ("mean", "stddev", "min_val", "max_val", *QUANTILES)
_NUMBERS = ("TINYINT", "SMALLINT", "INT", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINT", "UBIGINT", "FLOAT")
_SQUARABLE = 1e150
_NUMERIC = (*_NUMBERS, "UHUGEINT", "INTEGER", "UINTEGER", "DOUBLE", "DECIMAL", "BOOLEAN")


def is_number(duckdb_type: str) -> bool:
    """Tell whether a column of this type has figures; a list of numbers has none."""
    return duckdb_type.partition("(")[0] in _NUMERIC


def numeric(engine: Engine, rows: str, name: str, column: str, bins: int) -> dict[str, Any]:
    """Return the metrics of a column of numbers.

    Args:
        engine: Where the rows are known.
        rows: A table expression.
        name: What the feature is called.
        column: What its column is called.
        bins: How many bins the histogram has.
    """
    value = f"CAST({quoted(column)} AS DOUBLE)"
    finite = f"CASE WHEN isfinite({value}) THEN {value} END"
    figures = f"avg(f), min(f), max(f), quantile_cont(f, {list(QUANTILES.values())})"
    table = f"(SELECT CASE WHEN NOT isnan({value}) THEN {value} END AS v, {finite} AS f FROM {rows})"
    found = engine.execute(f"SELECT count(*), count(v), count(f), {figures} FROM {table}").fetchone() or ()
    total, present, finite_rows, mean, low, high, quantiles = found
    stddev = _deviation(engine, table, max(-low, high)) if finite_rows else None
    numbers = [mean, stddev, low, high, *(quantiles or [None] * len(QUANTILES))]
    histogram = _histogram(engine, table, low, high, bins) if finite_rows else None
    return _metric(name, "numeric", total, total - present, histogram) | dict(zip(FIGURES, numbers, strict=True))


def _deviation(engine: Engine, table: str, largest: float) -> float | None:
    """Return the standard deviation; the squares of large numbers are too large for DuckDB, so these are scaled."""
    scale = 2.0**600 if largest > _SQUARABLE else 1.0
    found = engine.execute(f"SELECT stddev_samp(f / {scale!r}::DOUBLE) FROM {table}").fetchone() or (None,)
    return None if found[0] is None else found[0] * scale


def _histogram(engine: Engine, table: str, low: float, high: float, bins: int) -> dict[str, Any] | None:
    """Count values in bins of equal width, both ends inclusive; None if the width is too large for a number."""
    width = (high - low) / bins
    if not math.isfinite(width):
        return None
    if not width:
        found = engine.execute(f"SELECT count(f) FROM {table}").fetchone() or (0,)
        return {"bins": [low, high], "counts": [found[0]], "bin_width": 0.0}
    place = f"CAST(least(floor((f - {low!r}::DOUBLE) / {width!r}::DOUBLE), {bins - 1}) AS INTEGER)"
    counted = engine.execute(f"SELECT {place} AS b, count(*) FROM {table} WHERE f IS NOT NULL GROUP BY b").fetchall()
    counts = dict(counted)
    edges = [low + place * width for place in range(bins + 1)]
    return {"bins": edges, "counts": [counts.get(place, 0) for place in range(bins)], "bin_width": width}


def categorical(engine: Engine, rows: str, name: str, column: str, most: int) -> dict[str, Any]:
    """Return the metrics of a column of texts or truth values.

    Args:
        engine: Where the rows are known.
        rows: A table expression.
        name: What the feature is called.
        column: What its column is called.
        most: How many of the most frequent values are told.
    """
    value = quoted(column)
    counts = f"SELECT count(*), count({value}), count(DISTINCT {value}) FROM {rows}"
    total, present, unique = engine.execute(counts).fetchone() or (0, 0, 0)
    frequent = engine.execute(
        f"SELECT CAST({value} AS VARCHAR) AS value, count(*) AS count FROM {rows} WHERE {value} IS NOT NULL "
        f"GROUP BY value ORDER BY count DESC, value LIMIT {int(most)}"
    ).fetchall()
    top = [{"value": one, "count": count} for one, count in frequent]
    other = present - sum(count for _, count in frequent)
    histogram = {"values": top, "other_count": other, "unique_count": unique} if present else None
    return _metric(name, "categorical", total, total - present, histogram)


def counted(engine: Engine, rows: str, name: str, kind: str, column: str) -> dict[str, Any]:
    """Return the metrics of a column that has neither figures nor frequent values: how many rows are null."""
    found = engine.execute(f"SELECT count(*), count({quoted(column)}) FROM {rows}").fetchone() or (0, 0)
    return _metric(name, kind, found[0], found[0] - found[1], None)


def _metric(name: str, kind: str, rows: int, nulls: int, histogram: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "feature_name": name,
        "feature_type": kind,
        "row_count": rows,
        "null_count": nulls,
        "null_rate": nulls / rows if rows else 0.0,
        **dict.fromkeys(FIGURES),
        "histogram": histogram,
    }
