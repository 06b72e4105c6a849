"""How many groups a join has, and which buckets are split: by counts of rows, in one job."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING, Any

from feast_columnar.spark.groups import Groups, Split, microseconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pyspark.sql import DataFrame

    from feast_columnar.spark.sides import JoinSides

_FEW_ROWS = 250_000  # not worth a task of their own
_FULL = 1.5  # times the rows that a group should have: a bucket above it is split
_NO_BUCKET = -1  # of entity rows that match nothing
_FEWEST_BUCKETS, _MOST_BUCKETS = 1024, 2**16
_BYTES_PER_BUCKET, _ROWS_PER_GROUP = 2**18, 1_000_000  # a million rows are 5 to 50 MB: groups of 20 buckets at least
_QUANTILES = 4  # for each part, as buckets may have fewer parts than the one with most


def planned(joins: Sequence[JoinSides], rows_per_group: int, most_rows: int | None) -> list[Groups]:
    """Count rows by bucket, in one job, and make the groups of each view's join.

    Args:
        joins: What is joined, one view after the other.
        rows_per_group: About how many rows, of both sides together, a group should have.
        most_rows: A bound of the rows of any of the joins, where one is known: few rows are not counted, as no bucket
            can have too many of them.
    """
    if not joins:
        return []
    cores = joins[0].rows.sparkSession.sparkContext.defaultParallelism
    if most_rows is not None and most_rows <= 2 * rows_per_group:
        usual = max(math.ceil(most_rows / rows_per_group), min(cores, math.ceil(most_rows / _FEW_ROWS)), 1)
        return [Groups(sides, _FEWEST_BUCKETS, usual) for sides in joins]
    buckets = _bucket_count(joins, rows_per_group)
    counts = _counted(joins, buckets)
    plans = [_Plan.of(sides, buckets, counts[number], rows_per_group, cores) for number, sides in enumerate(joins)]
    cuts = _cuts(plans)
    return [plan.groups(cuts[number]) for number, plan in enumerate(plans)]


@dataclass(frozen=True)
class _Plan:
    """The groups of one view's join, before it is known where to cut by time.

    Attributes:
        sides: What is joined.
        buckets: How many buckets keys are hashed to.
        usual: How many groups the buckets of usual size are dealt out to.
        by_row: Into how many parts buckets are split by the values of the entity rows.
        by_time: Into how many parts buckets are split by time.
    """

    sides: JoinSides
    buckets: int
    usual: int
    by_row: Mapping[int, int]
    by_time: Mapping[int, int]

    @classmethod
    def of(cls, sides: JoinSides, buckets: int, counts: _Counts, rows_per_group: int, cores: int) -> _Plan:
        """Choose the number of groups by the number of rows, and the buckets to split."""
        rest = sum(counts.entity.values()) + sum(counts.source.values())
        groups = max(1, math.ceil(rest / rows_per_group), min(cores, math.ceil(rest / _FEW_ROWS)))
        share = max(rest / groups, _FEW_ROWS)
        by_row, by_time = {}, {}
        for bucket in (counts.entity | counts.source).keys() - {_NO_BUCKET} if sides.join.keys else ():
            entity, source = counts.entity.get(bucket, 0), counts.source.get(bucket, 0)
            if entity + source <= _FULL * share:
                continue
            if source > share and sides.by_time and sides.has_comparable_times():
                by_time[bucket] = math.ceil((entity + source) / share)
            elif entity > share:
                by_row[bucket] = math.ceil(entity / share)
            if bucket in by_row.keys() | by_time.keys():
                rest -= entity + source
        return cls(sides, buckets, max(1, math.ceil(rest / share)), by_row, by_time)

    def groups(self, cuts: Mapping[int, Sequence[int]]) -> Groups:
        """Give the parts of buckets that are split their groups; cuts at the same time are one part of many groups."""
        splits, first = {}, self.usual
        for bucket in sorted([*self.by_row, *self.by_time]):
            times = Counter(cuts.get(bucket, ()))
            spread = (self.by_row.get(bucket, 1), *(times[time] for time in sorted(times)))
            splits[bucket] = Split(first, tuple(sorted(times)), spread)
            first += splits[bucket].count
        return Groups(self.sides, self.buckets, self.usual, splits)


@dataclass(frozen=True)
class _Counts:
    """How many entity rows and feature rows of one join are in which bucket."""

    entity: dict[int, int] = field(default_factory=dict)
    source: dict[int, int] = field(default_factory=dict)


def _bucket_count(joins: Sequence[JoinSides], rows_per_group: int) -> int:
    """Return a number of buckets that is many times that of the groups; Spark's estimates of sizes are enough."""
    size = max(_estimated_bytes(sides.rows) + _estimated_bytes(sides.source) for sides in joins)
    wanted = size / _BYTES_PER_BUCKET * _ROWS_PER_GROUP / rows_per_group
    return 1 << math.ceil(math.log2(min(max(wanted, _FEWEST_BUCKETS), _MOST_BUCKETS)))


def _estimated_bytes(frame: DataFrame) -> int:
    plan: Any = frame._jdf.queryExecution().optimizedPlan()  # noqa: SLF001 - PySpark does not hand estimates over
    return int(str(plan.stats().sizeInBytes()))


def _counted(joins: Sequence[JoinSides], buckets: int) -> list[_Counts]:
    from pyspark.sql import functions as sf

    numbered = []
    for number, sides in enumerate(joins):
        entity, source = (
            sides.bucket(side, buckets) if sides.join.keys else sf.lit(0) for side in ("entity", "source")
        )
        entity = sf.when(sides.matchable(), entity).otherwise(_NO_BUCKET)
        for side, rows, bucket in (("entity", sides.rows, entity), ("source", sides.source, source)):
            named = (sf.lit(number).alias("join"), sf.lit(side).alias("side"), bucket.alias("bucket"))
            numbered.append(rows.select(*named))
    counts = [_Counts() for _ in joins]
    every = reduce(lambda one, other: one.unionAll(other), numbered)
    for number, side, bucket, count in every.groupBy("join", "side", "bucket").count().collect():
        getattr(counts[number], side)[bucket] = count
    return counts


def _cuts(plans: Sequence[_Plan]) -> list[dict[int, list[int]]]:
    """Return where buckets are cut by time: at quantiles of the times of both sides."""
    from pyspark.sql import functions as sf

    cuts: list[dict[int, list[int]]] = [{} for _ in plans]
    split = [(number, plan) for number, plan in enumerate(plans) if plan.by_time]
    if not split:
        return cuts
    times = [rows for number, plan in split for rows in _times(number, plan)]
    most = _QUANTILES * max(parts for _, plan in split for parts in plan.by_time.values())
    shares = [number / most for number in range(1, most)]
    every = reduce(lambda one, other: one.unionAll(other), times).groupBy("join", "bucket")
    for number, bucket, found in every.agg(sf.percentile_approx("time", shares, 10 * most)).collect():
        parts = plans[number].by_time[bucket]
        cuts[number][bucket] = [found[round(part * most / parts) - 1] for part in range(1, parts)]
    return cuts


def _times(number: int, plan: _Plan) -> Iterator[DataFrame]:
    """Give the event times, in microseconds, of both sides in the buckets that are split by time."""
    from pyspark.sql import functions as sf

    sides = plan.sides
    for side, rows, time in (
        ("entity", sides.rows.where(sides.matchable()), sides.event_time),
        ("source", sides.source, sides.join.event_time),
    ):
        bucket = sides.bucket(side, plan.buckets)
        found = rows.where(bucket.isin(list(plan.by_time)))
        yield found.select(sf.lit(number).alias("join"), bucket.alias("bucket"), microseconds(time).alias("time"))
