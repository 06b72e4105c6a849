"""Which entity rows and feature rows meet in one Python worker.

Rows are hashed by their join keys to many buckets, and the rows of each bucket are counted, for all views in one job.
Buckets of usual size are dealt out to groups of about as many rows as a worker should join at once. A bucket that is
too large alone, as one key has very many rows in it, is split:

- by the entity rows' values, if only these are many; its feature rows go to every part. That is exact, as what an
  entity row gets does not depend on other entity rows.
- else by time, at quantiles of its event times. A part has the rows of its span of time, and of each key the feature
  rows with the latest event time before the span: no older one can win there. That holds without
  ``filter_by_created`` only, where the latest may be out, and for columns of timestamps. Where very many rows have one
  and the same time, the part that begins with it is split by the entity rows' values as well.

Every expression depends on a row's values and on the partition of the input that it is in, never on the order in which
rows arrive: a task that is run again, because a worker was lost, puts each row where it was.
"""

from __future__ import annotations

import math
import operator
from collections import Counter
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING, Any

from feast_columnar.offline.engine import RESERVED
from feast_columnar.spark.rows import column

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pyspark.sql import Column, DataFrame

    from feast_columnar.offline.rules import ViewJoin

_GROUP = f"{RESERVED}group"
_PART = f"{RESERVED}part"
_LATEST = f"{RESERVED}latest time in the part"
_UNTIL = f"{RESERVED}last part that needs it"
_FEW_ROWS = 250_000  # not worth a task of their own
_FULL = 1.5  # times the rows that a group should have: a bucket above it is split
_NO_BUCKET = -1  # of entity rows that match nothing
_FEWEST_BUCKETS, _MOST_BUCKETS = 1024, 2**16
_BYTES_PER_BUCKET, _ROWS_PER_GROUP = 2**18, 1_000_000  # a million rows are 5 to 50 MB: groups of 20 buckets at least
_QUANTILES = 4  # for each part, as buckets may have fewer parts than the one with most


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


@dataclass(frozen=True)
class _Split:
    """A bucket that is split.

    Attributes:
        first: The first of its groups; the others follow.
        cuts: Where its parts after the first begin, in microseconds since 1970.
        spread: Over how many groups the entity rows of each part are spread by their values.
    """

    first: int
    cuts: tuple[int, ...]
    spread: tuple[int, ...]

    @property
    def count(self) -> int:
        """The number of its groups."""
        return sum(self.spread)

    def first_group(self, part: int) -> int:
        """Return the first group of a part; that of the next one begins after its last."""
        return self.first + sum(self.spread[:part])

    def group(self, time: Column, salt: Column) -> Column:
        """Return the group of an entity row."""
        from pyspark.sql import functions as sf

        def within(part: int) -> Column:
            return sf.pmod(salt, sf.lit(self.spread[part])).cast("int") + self.first_group(part)

        return _part_at(time, self.cuts, within)

    def bound(self, part: Column, *, last: bool) -> Column:
        """Return the first or the last group of a part."""
        from pyspark.sql import functions as sf

        numbers = range(len(self.spread))
        bounds = [self.first_group(number + 1) - 1 if last else self.first_group(number) for number in numbers]
        return sf.get(sf.array(*map(sf.lit, bounds)), part)


@dataclass(frozen=True)
class Groups:
    """The groups of one view's join.

    Attributes:
        sides: What is joined.
        buckets: How many buckets keys are hashed to.
        usual: How many groups the buckets of usual size are dealt out to.
        splits: The buckets that are split.
    """

    sides: JoinSides
    buckets: int
    usual: int
    splits: Mapping[int, _Split] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """The number of groups."""
        return self.usual + sum(split.count for split in self.splits.values())

    def entity_rows(self, rows: DataFrame) -> DataFrame:
        """Send entity rows to their groups; those that match nothing are spread evenly.

        Args:
            rows: The entity rows, perhaps with features of other views.
        """
        from pyspark.sql import functions as sf

        hashable = [name for name, kind in rows.dtypes if "map<" not in kind and "variant" not in kind]
        salt = sf.xxhash64(*map(column, hashable)) + sf.spark_partition_id()
        anywhere = sf.pmod(salt, sf.lit(self.usual)).cast("int")
        if not self.sides.join.keys:
            return self._sent(rows, anywhere)
        time, bucket = _microseconds(self.sides.event_time), self._bucket("entity")
        usual = sf.pmod(bucket, sf.lit(self.usual))
        group = self._of_bucket(bucket, usual, lambda split: split.group(time, salt))
        return self._sent(rows, sf.when(self.sides.matchable(), group).otherwise(anywhere))

    def feature_rows(self) -> DataFrame:
        """Send feature rows to the groups that need them; those of a view without keys to all."""
        from pyspark.sql import functions as sf

        source = self.sides.source
        if not self.sides.join.keys:
            return self._sent(source, sf.explode(sf.sequence(sf.lit(0), sf.lit(self.usual - 1))))
        bucket = self._bucket("source")
        usual = sf.pmod(bucket, sf.lit(self.usual)).cast("int")
        if not self.splits:
            return self._sent(source, usual)
        placed = self._with_parts(source)
        part, until = column(_PART), sf.coalesce(column(_UNTIL), column(_PART))
        first = self._of_bucket(bucket, usual, lambda split: split.bound(part, last=False))
        last = self._of_bucket(bucket, usual, lambda split: split.bound(until, last=True))
        return self._sent(placed, sf.explode(sf.sequence(first, last)), source.columns)

    def _with_parts(self, source: DataFrame) -> DataFrame:
        """Add the part of each feature row, and for the latest of a key in its part the last part that needs them."""
        from pyspark.sql import Window
        from pyspark.sql import functions as sf

        time, bucket = _microseconds(self.sides.join.event_time), self._bucket("source")
        by_time = {number: split for number, split in self.splits.items() if split.cuts}
        part = _chosen(bucket, sorted(by_time), lambda number: _part_at(time, by_time[number].cuts, sf.lit), sf.lit(0))
        placed = source.withColumn(_PART, part)
        if not by_time:
            return placed.withColumn(_UNTIL, sf.lit(None).cast("int"))
        ends = _chosen(bucket, sorted(by_time), lambda number: sf.lit(len(by_time[number].cuts)), sf.lit(0))
        keys = list(dict.fromkeys(key.source for key in self.sides.join.keys))
        split = placed.where(bucket.isin(list(by_time))).groupBy(*map(column, [*keys, _PART]))
        latest = split.agg(sf.max(time).alias(_LATEST), sf.max(ends).alias(_UNTIL))
        following = sf.lead(column(_PART)).over(Window.partitionBy(*map(column, keys)).orderBy(column(_PART)))
        latest = latest.withColumn(_UNTIL, sf.coalesce(following, column(_UNTIL)))
        # Names of their own, as both sides come from the same rows. Sent to all: there are few keys in a bucket, and
        # Spark, which can't know that, would shuffle all feature rows once more.
        latest = latest.withColumnsRenamed({name: f"{_LATEST}: {name}" for name in [*keys, _PART]})
        same = [column(name) == column(f"{_LATEST}: {name}") for name in [*keys, _PART]]
        joined = placed.join(sf.broadcast(latest), reduce(operator.and_, same), "left")
        return joined.withColumn(_UNTIL, sf.when(time == column(_LATEST), column(_UNTIL)))

    def _bucket(self, side: str) -> Column:
        return self.sides.bucket(side, self.buckets)

    def _of_bucket(self, bucket: Column, usual: Column, split: Callable[[_Split], Column]) -> Column:
        """Return what holds for a bucket of usual size, or for one that is split."""
        return _chosen(bucket, sorted(self.splits), lambda number: split(self.splits[number]), usual).cast("int")

    def _sent(self, rows: DataFrame, group: Column, names: Sequence[str] | None = None) -> DataFrame:
        sent = rows.select(*map(column, names or rows.columns), group.alias(_GROUP))
        return sent.repartitionById(self.count, column(_GROUP))


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
            splits[bucket] = _Split(first, tuple(sorted(times)), spread)
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
        yield found.select(sf.lit(number).alias("join"), bucket.alias("bucket"), _microseconds(time).alias("time"))


def cogrouped(groups: Groups, rows: DataFrame, join: Callable[..., object], schema: str | object) -> DataFrame:
    """Join each group by a function of two Arrow tables."""
    left, right = groups.entity_rows(rows), groups.feature_rows()
    both = left.groupBy(column(_GROUP)).cogroup(right.groupBy(column(_GROUP)))
    return both.applyInArrow(join, schema)  # type: ignore[arg-type]


def _microseconds(time: str) -> Column:
    from pyspark.sql import functions as sf

    return sf.unix_micros(column(time).cast("timestamp"))


def _part_at(time: Column, cuts: Sequence[int], result: Callable[[int], Column], first: int = 0) -> Column:
    """Return the result for the number of cuts that are not after a time, by bisection."""
    from pyspark.sql import functions as sf

    if not cuts:
        return result(first)
    middle = len(cuts) // 2
    before = _part_at(time, cuts[:middle], result, first)
    after = _part_at(time, cuts[middle + 1 :], result, first + middle + 1)
    return sf.when(time < cuts[middle], before).otherwise(after)


def _chosen(value: Column, keys: Sequence[int], result: Callable[[int], Column], otherwise: Column) -> Column:
    """Return the result of the key that a value equals, or something else; by bisection of the sorted keys."""
    from pyspark.sql import functions as sf

    if not keys:
        return otherwise
    if len(keys) == 1:
        return sf.when(value == keys[0], result(keys[0])).otherwise(otherwise)
    middle = len(keys) // 2
    before = _chosen(value, keys[:middle], result, otherwise)
    return sf.when(value < keys[middle], before).otherwise(_chosen(value, keys[middle:], result, otherwise))
