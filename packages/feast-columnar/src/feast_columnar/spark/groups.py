"""Which entity rows and feature rows meet in one Python worker: how each row is sent to its group.

Rows are hashed by their join keys to many buckets, and the rows of each bucket are counted (``planning``).
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

import operator
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING

from feast_columnar.offline.engine import RESERVED
from feast_columnar.spark.rows import column

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pyspark.sql import Column, DataFrame

    from feast_columnar.spark.sides import JoinSides

_GROUP = f"{RESERVED}group"
_PART = f"{RESERVED}part"
_LATEST = f"{RESERVED}latest time in the part"
_UNTIL = f"{RESERVED}last part that needs it"


@dataclass(frozen=True)
class Split:
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
    splits: Mapping[int, Split] = field(default_factory=dict)

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
        time, bucket = microseconds(self.sides.event_time), self._bucket("entity")
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

        time, bucket = microseconds(self.sides.join.event_time), self._bucket("source")
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

    def _of_bucket(self, bucket: Column, usual: Column, split: Callable[[Split], Column]) -> Column:
        """Return what holds for a bucket of usual size, or for one that is split."""
        return _chosen(bucket, sorted(self.splits), lambda number: split(self.splits[number]), usual).cast("int")

    def _sent(self, rows: DataFrame, group: Column, names: Sequence[str] | None = None) -> DataFrame:
        sent = rows.select(*map(column, names or rows.columns), group.alias(_GROUP))
        return sent.repartitionById(self.count, column(_GROUP))


def cogrouped(groups: Groups, rows: DataFrame, join: Callable[..., object], schema: str | object) -> DataFrame:
    """Join each group by a function of two Arrow tables."""
    left, right = groups.entity_rows(rows), groups.feature_rows()
    both = left.groupBy(column(_GROUP)).cogroup(right.groupBy(column(_GROUP)))
    return both.applyInArrow(join, schema)  # type: ignore[arg-type]


def microseconds(time: str) -> Column:
    """Return the microseconds since 1970 of a column of times."""
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
