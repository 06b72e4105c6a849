"""The two sides of a join, and in which bucket a row of each is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from feast_columnar.spark.rows import column

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from feast_columnar.offline.rules import ViewJoin


@dataclass(frozen=True)
class JoinSides:
    """The two sides of a view's join.

    Attributes:
        join: The join.
        rows: The entity rows.
        event_time: Their event time.
        source: The feature rows that may match: none has a null in a key or the event time.
        by_time: Whether the latest feature rows before a time are all that matters after it.
    """

    join: ViewJoin
    rows: DataFrame
    event_time: str
    source: DataFrame
    by_time: bool

    def matchable(self) -> Column:
        """Return whether an entity row can match anything."""
        condition = column(self.event_time).isNotNull()
        for key in self.join.keys:
            condition &= column(key.entity).isNotNull()
        return condition

    def bucket(self, side: str, buckets: int) -> Column:
        """Return the number of a row's bucket, the same on both sides where DuckDB compares keys as equal."""
        from pyspark.sql import functions as sf

        entity, source = _kinds(self.rows), _kinds(self.source)
        keys = []
        for key in self.join.keys:
            kinds = {entity[key.entity.casefold()], source[key.source.casefold()]}
            if "float" not in kinds or kinds <= {"float", "double"}:  # DuckDB compares others as floats: left out
                keys.append(_hashable(column(getattr(key, side)), entity[key.entity.casefold()]))
        return sf.pmod(sf.xxhash64(*keys, sf.lit(0)), sf.lit(buckets)).cast("int")

    def has_comparable_times(self) -> bool:
        """Tell whether Spark compares the event times of both sides as DuckDB does."""
        kinds = {_kinds(self.rows)[self.event_time.casefold()], _kinds(self.source)[self.join.event_time.casefold()]}
        return kinds <= {"timestamp", "timestamp_ntz"}


def _kinds(frame: DataFrame) -> dict[str, str]:
    return {name.casefold(): kind for name, kind in frame.dtypes}


def _hashable(key: Column, kind: str) -> Column:
    if kind in {"tinyint", "smallint", "int", "bigint", "float", "double"} or kind.startswith("decimal"):
        return key.cast("double") + 0.0  # -0.0 becomes 0.0
    if kind.startswith(("timestamp", "date")):
        return key.cast("timestamp")
    return key
