"""How a retrieval runs on a cluster: one feature view after the other, each by the local store's statement."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import pandas as pd
import pyarrow as pa

from feast_columnar.errors import AsofError
from feast_columnar.offline.engine import (
    ENTITIES,
    RESERVED,
    ROW_NUMBER,
    Engine,
    Relation,
    open_engine,
)
from feast_columnar.offline.entities import TimeRange
from feast_columnar.offline.query import Retrieval, ViewRequest
from feast_columnar.offline.rows import require_distinct
from feast_columnar.offline.rules import EntityRows, ViewJoin, point_in_time_sql
from feast_columnar.offline.sources import located
from feast_columnar.online.moments import EPOCH, MICROSECOND, aware
from feast_columnar.spark.entities import entity_frame, is_spark_frame, is_sql, require_plain
from feast_columnar.spark.groups import cogrouped, microseconds
from feast_columnar.spark.planning import planned
from feast_columnar.spark.rows import (
    arrow_schema,
    column,
    numbered_source,
    rows_of_files,
    spark_explained,
)
from feast_columnar.spark.session import open_session
from feast_columnar.spark.sides import JoinSides
from feast_columnar.spark.workers import joining

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from feast.infra.offline_stores.file_source import FileSource
    from pyspark.sql import DataFrame, SparkSession

    from feast_columnar.spark.store import SparkAsofOfflineStoreConfig

_ENTITY_ROWS = f"{RESERVED}entity rows"
_FEATURE_ROWS = f"{RESERVED}feature rows of "


@dataclass(frozen=True)
class _Schemas(Retrieval):
    """The retrieval on empty tables: DuckDB checks it and tells names and types, without a row."""

    rows: pa.Table = field(default_factory=lambda: pa.table({}))
    sources: Mapping[str, pa.Table] = field(default_factory=dict)

    def source_rows(self, engine: Engine, source: FileSource) -> Relation:
        name = engine.register(self.sources[source.path], _FEATURE_ROWS + source.path)
        return engine.relation(name, f"source '{source.name}'", (ROW_NUMBER,))

    def given_rows(self, engine: Engine, *, in_order: bool) -> Relation:
        name = engine.register(self.rows, _ENTITY_ROWS)
        return engine.relation(name, ENTITIES, (ROW_NUMBER,) if in_order else ())


@dataclass(frozen=True)
class _ViewStep:
    """How one feature view is joined.

    Attributes:
        join: The join, in the names of the empty tables.
        source: The path of its source.
        sql: The statement that a group runs.
        schema: What it gives.
    """

    join: ViewJoin
    source: str
    sql: str
    schema: pa.Schema


@dataclass(frozen=True)
class SparkRetrieval:
    """Entity rows and the feature views to join to them, on Spark."""

    retrieval: Retrieval
    options: SparkAsofOfflineStoreConfig

    @property
    def views(self) -> tuple[ViewRequest, ...]:
        """What is asked of each feature view."""
        return self.retrieval.views

    def with_views(self, views: tuple[ViewRequest, ...]) -> Self:
        """Return the query with other requests to its feature views."""
        return replace(self, retrieval=self.retrieval.with_views(views))

    def as_known_at(self, moment: datetime) -> Self:
        """Return the query as it would have been answered at a moment.

        Raises:
            AsofError: The source of a view has no column that says when its rows were written.
        """
        return replace(self, retrieval=self.retrieval.as_known_at(moment))

    def frame(self, *, in_order: bool) -> DataFrame:
        """Return the joined rows; statistics of the join keys are gathered, rows are not."""
        spark = open_session(self.options.spark_conf)
        sources = self._sources(spark)
        entities = self.entities(spark, sources)
        require_distinct(entities.columns, ENTITIES)
        require_plain(entities.columns, ENTITIES)
        names = entities.columns
        if in_order:
            entities = self._numbered(spark, entities)
        event_time, steps = self._steps(entities, sources, in_order=in_order)
        joined = self._joined(entities, sources, event_time, steps)
        joined = joined.orderBy(column(ROW_NUMBER)) if in_order else joined
        features = [(item.position, item.output) for step in steps for item in step.join.features]
        return joined.select(*(column(name) for name in [*names, *(name for _, name in sorted(features))]))

    def collected(self, *, in_order: bool) -> pa.Table:
        """Bring the joined rows here, with the types of entity rows that Spark lacks."""
        with spark_explained("the features cannot be joined"):
            table, given = self.frame(in_order=in_order).toArrow(), self.retrieval.entities
        if isinstance(given, pd.DataFrame):
            given = pa.Table.from_pandas(given.head(0), preserve_index=False)
        if not isinstance(given, pa.Table):
            return table
        unsigned = {item.name: item.type for item in given.schema if pa.types.is_unsigned_integer(item.type)}
        return table.cast(pa.schema([item.with_type(unsigned.get(item.name, item.type)) for item in table.schema]))

    def facts(self) -> tuple[list[str], datetime | None, datetime | None]:
        """Return the entity rows' columns but the event time, and their first and last event time, in UTC."""
        from pyspark.sql import functions as sf

        spark = open_session(self.options.spark_conf)
        sources = self._sources(spark)
        entities = self.entities(spark, sources)
        event_time, _ = self._steps(entities, sources, in_order=False)
        moment = sf.unix_micros(column(event_time).cast("timestamp"))
        with spark_explained("the entity rows cannot be read"):
            first, last = entities.agg(sf.min(moment), sf.max(moment)).collect()[0]
        bounds = [
            None if one is None else pd.Timestamp(one, unit="us", tz="UTC").to_pydatetime() for one in (first, last)
        ]
        return [name for name in entities.columns if name != event_time], bounds[0], bounds[1]

    def entities(self, spark: SparkSession, sources: Mapping[str, DataFrame]) -> DataFrame:
        """Return the entity rows."""
        if isinstance(self.retrieval.entities, TimeRange):
            return self._seen_entities(spark, self.retrieval.entities, sources)
        return entity_frame(spark, self.retrieval.entities)

    def _numbered(self, spark: SparkSession, entities: DataFrame) -> DataFrame:
        """Number entity rows in their order, that of files by their names."""
        from pyspark.sql import functions as sf

        given = self.retrieval.entities
        if isinstance(given, os.PathLike) or (isinstance(given, str) and not is_sql(given)):
            return numbered_source(spark, os.fspath(given), ENTITIES)
        return entities.withColumn(ROW_NUMBER, sf.monotonically_increasing_id())

    def _sources(self, spark: SparkSession) -> dict[str, DataFrame]:
        found = {}
        for view in self.retrieval.views:
            source = view.source
            if source.path not in found:
                path = located(source.path, self.retrieval.repo_path)
                found[source.path] = numbered_source(spark, path, f"source '{source.name}'")
        return found

    def _seen_entities(self, spark: SparkSession, span: TimeRange, sources: Mapping[str, DataFrame]) -> DataFrame:
        """Make entity rows of the keys that any of the views has in a range of event times."""
        empty = self._schemas(pa.table({}), sources)
        with open_engine({}) as engine:
            joins = empty.joins(engine)
        keys = sorted({key.entity for join in joins for key in join.keys})
        seen = [
            _seen_keys(self._known(sources[view.source.path], join), join, span, keys)
            for view, join in self._with_keys(joins)
        ]
        frame = spark.range(1).select() if not seen else seen[0]
        for more in seen[1:]:
            frame = frame.union(more)
        from pyspark.sql import functions as sf

        if seen:
            frame = frame.distinct().orderBy(*map(column, frame.columns))
        return frame.withColumn("event_timestamp", sf.lit(span.end).cast("timestamp"))

    def _with_keys(self, joins: Sequence[ViewJoin]) -> list[tuple[Any, ViewJoin]]:
        return [(view, join) for view, join in zip(self.retrieval.views, joins, strict=True) if join.keys]

    def _schemas(self, rows: pa.Table, sources: Mapping[str, DataFrame]) -> _Schemas:
        tables = {name: arrow_schema(frame).empty_table() for name, frame in sources.items()}
        asked = self.retrieval
        return _Schemas(
            None,
            asked.views,
            asked.added,
            asked.repo_path,
            asked.filter_by_created,
            asked.known_at,
            rows=rows,
            sources=tables,
        )

    def _steps(
        self, entities: DataFrame, sources: Mapping[str, DataFrame], *, in_order: bool
    ) -> tuple[str, list[_ViewStep]]:
        """Check the request, and work out for each view the statement and what it gives."""
        table, steps = arrow_schema(entities).empty_table(), []
        with open_engine({}) as engine:
            rows, event_time, joins = self._schemas(table, sources).checked(engine, in_order=in_order)
            for request, join in zip(self.retrieval.views, joins, strict=True):
                entity_rows = EntityRows(rows.sql, tuple(table.column_names), event_time)
                sql = point_in_time_sql(entity_rows, [join], filter_by_created=self.retrieval.filter_by_created)
                table = engine.execute(sql).to_arrow_table()
                engine.register(table, _ENTITY_ROWS)
                steps.append(_ViewStep(join, request.source.path, sql, table.schema))
        return event_time, steps

    def _joined(
        self, entities: DataFrame, sources: Mapping[str, DataFrame], event_time: str, steps: Sequence[_ViewStep]
    ) -> DataFrame:
        from pyspark.sql.pandas.types import from_arrow_schema

        joined = entities
        sides = [
            JoinSides(step.join, entities, event_time, *self._offered(sources[step.source], step.join))
            for step in steps
        ]
        for step in steps:
            require_plain(step.schema.names, "the features")
        most_rows = self._most_rows(entities, sources)
        for step, groups in zip(steps, planned(sides, self.options.rows_per_group, most_rows), strict=True):
            names = (_ENTITY_ROWS, _FEATURE_ROWS + step.source)
            join = joining(step.sql, names, step.schema, self.options.memory_limit)
            joined = cogrouped(groups, joined, join, from_arrow_schema(step.schema))
        return joined

    def _offered(self, source: DataFrame, join: ViewJoin) -> tuple[DataFrame, bool]:
        """Return the rows that may match, and whether the latest before a time are all that matters after it.

        Rows that were not known yet are out by the statement of a group. If Spark can tell them as well, they are out
        before, so that the latest row is not one of them.
        """
        rows, by_time = _needed(source, join), not self.retrieval.filter_by_created
        if self.retrieval.known_at is None:
            return rows, by_time
        kinds = {name.casefold(): kind for name, kind in source.dtypes}
        is_time = kinds[str(join.created).casefold()] in {"timestamp", "timestamp_ntz"}
        return (self._known(rows, join), by_time) if is_time else (rows, False)

    def _known(self, rows: DataFrame, join: ViewJoin) -> DataFrame:
        """Leave out rows that were not known yet; one of which it can't be told goes on to where it is refused."""
        moment = self.retrieval.known_at
        if moment is None or join.created is None:
            return rows
        micros = (aware(moment) - EPOCH) // MICROSECOND
        return rows.where(column(join.created).isNull() | (microseconds(join.created) <= micros))

    def _most_rows(self, entities: DataFrame, sources: Mapping[str, DataFrame]) -> int | None:
        """Return a bound of the rows of any one join, if it is known without a job."""
        given = self.retrieval.entities
        if isinstance(given, TimeRange) or is_spark_frame(given) or is_sql(given):
            return None
        asked = len(given) if isinstance(given, pd.DataFrame | pa.Table) else rows_of_files(entities)
        offered = [rows_of_files(frame) for frame in sources.values()]
        known = [rows for rows in [asked, *offered] if rows is not None]
        return sum(known) if len(known) == 1 + len(offered) else None


def _seen_keys(source: DataFrame, join: ViewJoin, span: TimeRange, keys: Sequence[str]) -> DataFrame:
    from pyspark.sql import functions as sf

    columns = {key.entity: column(key.source) for key in join.keys}
    if sorted(columns) != list(keys):
        message = "without entity rows, all feature views must have the same join keys; give entity rows"
        raise AsofError(message)
    moment = column(join.event_time).cast("timestamp")
    kept = source.where(moment.between(sf.lit(span.start), sf.lit(span.end)))
    for one in columns.values():
        kept = kept.where(one.isNotNull())
    return kept.select(*(columns[key].alias(key) for key in keys)).distinct()


def _needed(source: DataFrame, join: ViewJoin) -> DataFrame:
    """Leave out columns that are not asked for, and rows that match nothing."""
    keys = [key.source for key in join.keys]
    columns = [*keys, join.event_time, *([join.created] if join.created else []), *(f.source for f in join.features)]
    require_plain(columns, "a source")
    kept = source.select(*map(column, dict.fromkeys([*columns, ROW_NUMBER])))
    for name in (*keys, join.event_time):
        kept = kept.where(column(name).isNotNull())
    return kept
