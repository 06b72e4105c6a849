"""Tables that Hypothesis draws, written as one file or as many, and the join of them in a plain loop."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

BIG = 2**53 + 1
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
# made up by DuckDB, by Spark or by the store itself, now or before; words of SQL; and what needs to be quoted
NASTY = (
    *("file_row_number", "file_index", "filename", "FILENAME", "_metadata", "rowid", "file_size"),
    *("asof: number of the row", "asof: group", "__index_level_0__", "__row_number"),
    *("c0", "k0", "t", "o0", "f0", "h", "a", "v0", "entity", "source_0", "feature_0", "l", "s", "b"),
    *("select", "order", 'a"b', "a'b", "a`b", "x.y", "x y", "näme", "*", "%s", "{x}", "$1", "?", "-", "[a]"),
)
_IDS = st.sampled_from([1, 2, 3, BIG - 1, BIG, BIG + 1, -BIG, 2**62])
_MINUTES = st.integers(0, 3)


@dataclass(frozen=True)
class DrawnTable:
    """A source and a request.

    Attributes:
        feature: The name of the feature.
        kept: The name of a column that the request brings along.
        features: The source's rows, with a column that nobody asks for.
        requests: The request's rows.
        parts: The source as the tables of its files: columns in any order, the last one empty.
    """

    feature: str
    kept: str
    features: list[dict[str, Any]]
    requests: list[dict[str, Any]]
    parts: list[pa.Table]

    def write(self, folder: Path) -> None:
        """Write the source's files."""
        for number, part in enumerate(self.parts):
            pq.write_table(part, folder / f"{number:02}.parquet")

    @property
    def expected(self) -> list[Any]:
        """The feature of each row of the request: that of the last of its driver's latest rows."""
        return [self._found(request) for request in self.requests]

    def _found(self, request: dict[str, Any]) -> Any:
        best: dict[str, Any] | None = None
        for row in self.features:
            matches = row["driver_id"] == request["driver_id"] and row["event_timestamp"] <= request["event_timestamp"]
            if matches and (best is None or row["event_timestamp"] >= best["event_timestamp"]):
                best = row
        return best[self.feature] if best else None


@st.composite
def drawn_tables(draw: Callable[[st.SearchStrategy[Any]], Any]) -> DrawnTable:
    """Draw a source, a request, their names, and the files of the source."""
    feature, ignored, kept = draw(st.lists(st.sampled_from(NASTY), min_size=3, max_size=3, unique_by=str.casefold))
    rows = draw(st.lists(st.tuples(_IDS, _MINUTES), min_size=1, max_size=12))
    features = _rows(rows, lambda number: {feature: number, ignored: "x"})
    requests = _rows(draw(st.lists(st.tuples(_IDS, _MINUTES), min_size=1, max_size=6)), lambda it: {kept: f"{it}"})
    whole, size = pa.Table.from_pylist(features), -(-len(features) // draw(st.integers(1, 4)))
    slices = [whole.slice(start, size) for start in range(0, len(features), size)]
    parts = [one.select(draw(st.permutations(whole.column_names))) for one in slices]
    return DrawnTable(feature, kept, features, requests, [*parts, whole.slice(0, 0)])


def _rows(drawn: Sequence[tuple[int, int]], more: Callable[[int], dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"driver_id": driver, "event_timestamp": NOON + timedelta(minutes=minute), **more(number)}
        for number, (driver, minute) in enumerate(drawn)
    ]
