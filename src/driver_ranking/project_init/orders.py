"""First orders for a repo that has none: keys and times of a source's rows, with a label that later rows tell."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from driver_ranking.project_init.history import TIME, History
from feast_columnar.offline.rules import literal, quoted

if TYPE_CHECKING:
    from datetime import datetime

    from feast_columnar.offline.engine import Engine

_MOST_ROWS: Final = 5_000
_LEAST_ROWS, _LEAST_TIMES = 20, 5  # of rows that are followed by another of the same key
_FORECAST: Final = 0.1  # of the variance of a next value is to be in the value before it
_SNAPSHOT_KEYS, _SNAPSHOT_ROWS, _SNAPSHOT_TIMES = 200, 200, 10
_NEXT: Final = "driver_ranking_5b6e2f91d3_next"  # that no column has by chance


@dataclass(frozen=True)
class Orders:
    """Labelled rows.

    Attributes:
        rows: Keys, event time and label.
        label: The column of the label.
        said: What the label is.
    """

    rows: pa.Table
    label: str
    said: str


def first_orders(engine: "Engine", base: History, now: "datetime", taken: tuple[str, ...]) -> Iterator[Orders]:
    """Yield orders of which the first ones that can be learned from are to be used, the most natural problem first.

    Args:
        engine: Reads the sources.
        base: The rows that orders are made of.
        now: The last time that any source has a row of.
        taken: Names that the label must not have.
    """
    followed = [one for one in _followed(engine, base) if one.rows >= _LEAST_ROWS and one.times >= _LEAST_TIMES]
    if followed:
        best = max(followed, key=lambda one: one.explained)
        if best.explained >= _FORECAST:
            label = _free(f"next_{best.feature}", taken)
            said = f"the next value of {best.feature!r} of the same key"
            yield Orders(_pairs(engine, base, best, label, quoted(_NEXT)), label, said)
        label = _free(f"mean_{best.feature}", taken)
        said = (
            f"the mean of {best.feature!r} and its next value of the same key (the next value alone can't be forecast "
            f"from these features)"
        )
        yield Orders(_pairs(engine, base, best, label, f"({quoted(best.feature)} + {quoted(_NEXT)}) / 2"), label, said)
    for feature in base.numbers:
        label = _free(f"current_{feature}", taken)
        rows = _snapshot(engine, base, feature, label, now)
        said = f"the current value of {feature!r} itself, as what comes later is known of too few, or can't be forecast"
        if rows.num_rows:
            yield Orders(rows, label, said)


@dataclass(frozen=True)
class _Followed:
    """How many rows have a value of a feature and a later one, at how many times, and how much the one tells."""

    feature: str
    rows: int
    times: int
    explained: float


def _followed(engine: "Engine", base: History) -> list[_Followed]:
    found = []
    for feature in base.numbers:
        value, after = quoted(feature), quoted(_NEXT)
        counts = f"count(*), count(DISTINCT {TIME}), regr_r2({after}, {value}), stddev_pop({value} + {after})"
        rows, times, explained, spread = _one(engine, f"SELECT {counts} FROM {_with_next(base, feature)}")
        if spread:
            found.append(_Followed(feature, rows, times, explained if explained and isfinite(explained) else 0.0))
    return found


def _one(engine: "Engine", sql: str) -> tuple[Any, ...]:
    return engine.execute(sql).fetchone() or ()


def _with_next(base: History, feature: str) -> str:
    value, keys = quoted(feature), ", ".join(map(quoted, base.keys))
    after = f"lead({value}) OVER (PARTITION BY {keys} ORDER BY {TIME}) AS {quoted(_NEXT)}"
    present = f"{value} IS NOT NULL AND {quoted(_NEXT)} IS NOT NULL"
    return f"(SELECT * FROM (SELECT {keys}, {TIME}, {value}, {after} FROM {base.sql}) WHERE {present})"


def _pairs(engine: "Engine", base: History, best: _Followed, label: str, value: str) -> pa.Table:
    """Return the last rows of some keys: of as many that there are several times, whatever the number of keys."""
    keys = ", ".join(map(quoted, base.keys))
    source = _with_next(base, best.feature)
    (count,) = _one(engine, f"SELECT count(*) FROM (SELECT DISTINCT {keys} FROM {source})")
    some = max(1, _MOST_ROWS * count // best.rows)
    ranked = f"SELECT *, dense_rank() OVER (ORDER BY hash({keys}), {keys}) AS place FROM {source}"
    last = f"SELECT * FROM ({ranked}) WHERE place <= {some} ORDER BY {TIME} DESC, {keys} LIMIT {_MOST_ROWS}"
    return engine.execute(
        f"SELECT {TIME}, {keys}, {value} AS {quoted(label)} FROM ({last}) ORDER BY {TIME}, {keys}"
    ).to_arrow_table()


def _snapshot(engine: "Engine", base: History, feature: str, label: str, now: "datetime") -> pa.Table:
    """Return the last row of each key, several times within seconds: without several times nothing can be held out."""
    keys, value = ", ".join(map(quoted, base.keys)), quoted(feature)
    since = ""
    if base.ttl:
        since = f"AND {TIME} >= TIMESTAMPTZ {literal((now - timedelta(seconds=base.ttl)).isoformat())}"
    latest = f"SELECT {keys}, {value} FROM {base.sql} WHERE {value} IS NOT NULL {since} QUALIFY {_is_last(keys)}"
    some = f"SELECT * FROM ({latest}) ORDER BY hash({keys}), {keys} LIMIT {_SNAPSHOT_KEYS}"
    (count, spread) = _one(engine, f"SELECT count(*), stddev_pop({value}) FROM ({some})")
    times = max(_SNAPSHOT_TIMES, _SNAPSHOT_ROWS // max(count, 1)) if spread else 0
    time = f"TIMESTAMPTZ {literal(now.isoformat())} + to_seconds(second) AS {TIME}"
    sql = f"SELECT {time}, {keys}, {value} AS {quoted(label)} FROM ({some}), range({times}) AS seconds(second)"
    return engine.execute(f"{sql} ORDER BY {TIME}, {keys}").to_arrow_table()


def _is_last(keys: str) -> str:
    return f"row_number() OVER (PARTITION BY {keys} ORDER BY {TIME} DESC) = 1"


def _free(name: str, taken: tuple[str, ...]) -> str:
    """Return the name, or a longer one that is not taken; case does not tell names apart."""
    known = {one.casefold() for one in taken}
    while name.casefold() in known:
        name = f"{name}_label"
    return name
