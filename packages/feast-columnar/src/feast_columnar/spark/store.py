"""The ASOF offline store on Spark: the same SQL, run by DuckDB on the executors, part by part.

Plug it in by its class path, in ``feature_store.yaml``::

    offline_store:
      type: feast_columnar.spark.store.SparkAsofOfflineStore

Entity rows and feature rows are co-grouped by a hash of the join keys, one feature view after the other, and each group
is joined by the statement of ``asof_sql``. That is exact: rows of different keys don't meet in the join, and what one
entity row gets does not depend on the others. So a group whose entity rows are too many is split, and its feature rows
go to each part; and rows with a null in a key or the event time, which match nothing, stay where they are.

What can't be split is the history of one key: it has to fit into the memory of one Python worker.

Materialization and whatever else reads a source alone is that of ``AsofOfflineStore``, on one machine.
"""

from __future__ import annotations

import os
from copy import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.utils import compute_non_entity_date_range
from pydantic import Field, StrictStr

from feast_columnar.errors import AsofError, UnsupportedError
from feast_columnar.offline.engine import ENTITIES, RESERVED, ROW_NUMBER, Engine, Relation, open_engine
from feast_columnar.offline.files import LocalRows
from feast_columnar.offline.on_demand import (
    ComputedJob,
    OnDemand,
    marked,
    requested_views,
    settled_refs,
    used_name,
)
from feast_columnar.offline.rows import (
    TimeRange,
    require_distinct,
)
from feast_columnar.offline.rules import EntityRows, ViewJoin, point_in_time_sql
from feast_columnar.offline.sources import checked_source, located
from feast_columnar.offline.store import (
    AsofOfflineStore,
    AsofOfflineStoreConfig,
    _requests,
    _Retrieval,
)
from feast_columnar.spark.folder import ParquetFolder
from feast_columnar.spark.groups import JoinSides, cogrouped, planned
from feast_columnar.spark.rows import (
    arrow_schema,
    check_entities,
    column,
    entity_frame,
    is_spark_frame,
    is_sql,
    numbered_source,
    require_plain,
    rows_of_files,
    spark_explained,
)
from feast_columnar.spark.workers import joining

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from feast.feature_view import FeatureView
    from feast.infra.offline_stores.file_source import FileSource
    from feast.infra.registry.base_registry import BaseRegistry
    from feast.on_demand_feature_view import OnDemandFeatureView
    from feast.repo_config import RepoConfig
    from feast.saved_dataset import SavedDatasetStorage, ValidationReference
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["SparkAsofOfflineStore", "SparkAsofOfflineStoreConfig", "SparkAsofRetrievalJob"]

_ENTITY_ROWS = f"{RESERVED}entity rows"
_FEATURE_ROWS = f"{RESERVED}feature rows of "


class SparkAsofOfflineStoreConfig(AsofOfflineStoreConfig):
    """Options of the store in ``feature_store.yaml``.

    Attributes:
        type: The class path of the store.
        memory_limit: How much memory DuckDB may take for one group, beside its rows; what is over goes to disk.
        rows_per_group: About how many rows, entity and feature rows together, are joined at once by a Python worker.
        spark_conf: Settings for a Spark session, where there is none yet.
    """

    type: StrictStr = "feast_columnar.spark.store.SparkAsofOfflineStore"
    memory_limit: str | None = "512MB"
    rows_per_group: int = Field(default=1_000_000, gt=0)
    spark_conf: dict[str, str] | None = None


# ---- Spark ---------------------------------------------------------------------------------------------------------


def _session(options: SparkAsofOfflineStoreConfig) -> SparkSession:
    """Return the Spark session in use, or a new one."""
    try:
        from pyspark import SparkContext
        from pyspark.sql import SparkSession
    except ImportError as error:
        message = "The offline store needs pyspark: install the extra 'spark'"
        raise AsofError(message) from error
    running = SparkContext._active_spark_context is not None  # noqa: SLF001 - a session is active in one thread only
    defaults = {"spark.driver.host": "127.0.0.1", "spark.sql.session.timeZone": "UTC"}
    conf: dict[str, Any] = {} if running else {**defaults, **(options.spark_conf or {})}
    session = SparkSession.builder.config(map=conf).getOrCreate()
    zone = session.conf.get("spark.sql.session.timeZone")
    if zone not in {"UTC", "Etc/UTC", "GMT"}:
        message = f"Spark's session has the time zone {zone}; set spark.sql.session.timeZone to UTC, as times here are"
        raise AsofError(message)
    return session


# ---- The plan ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Schemas(_Retrieval):
    """The retrieval on empty tables: DuckDB checks it and tells names and types, without a row."""

    rows: pa.Table = field(default_factory=lambda: pa.table({}))
    sources: Mapping[str, pa.Table] = field(default_factory=dict)

    def _source_rows(self, engine: Engine, source: FileSource) -> Relation:
        name = engine.register(self.sources[source.path], _FEATURE_ROWS + source.path)
        return engine.relation(name, f"source '{source.name}'", (ROW_NUMBER,))

    def _given_rows(self, engine: Engine, *, in_order: bool) -> Relation:
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
class _SparkRetrieval:
    """Entity rows and the feature views to join to them, on Spark."""

    retrieval: _Retrieval
    options: SparkAsofOfflineStoreConfig

    def frame(self, *, in_order: bool) -> DataFrame:
        """Return the joined rows; statistics of the join keys are gathered, rows are not."""
        spark = _session(self.options)
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
            joins = empty._joins(engine)  # noqa: SLF001 - of a class of this store
        keys = sorted({key.entity for join in joins for key in join.keys})
        seen = [_seen_keys(sources[view.source.path], join, span, keys) for view, join in self._with_keys(joins)]
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
            None, asked.views, asked.added, asked.repo_path, asked.filter_by_created, rows=rows, sources=tables
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
        by_time = not self.retrieval.filter_by_created
        sides = [
            JoinSides(step.join, entities, event_time, _needed(sources[step.source], step.join), by_time)
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


# ---- The job -------------------------------------------------------------------------------------------------------


class _SparkMetadata(RetrievalMetadata):
    """Feast's metadata of a retrieval; what needs a look at the entity rows is looked up when it is asked for."""

    def __init__(self, features: Sequence[str], job: SparkAsofRetrievalJob) -> None:
        self.features = list(features)
        self._job = job

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - what Feast declares as plain attributes
        if name not in {"keys", "min_event_timestamp", "max_event_timestamp"}:
            raise AttributeError(name)
        self.keys, self.min_event_timestamp, self.max_event_timestamp = self._job.facts()
        return getattr(self, name)


class SparkAsofRetrievalJob(LocalRows, RetrievalJob):
    """A query that has not run yet.

    ``to_spark_df`` gives rows that stay on the cluster, in no order; ``to_df`` and ``to_arrow`` bring them here. Event
    times come as ``timestamp[us, tz=UTC]``.
    """

    def __init__(
        self,
        query: _SparkRetrieval,
        on_demand: OnDemand,
    ) -> None:
        self._query = query
        self._metadata = _SparkMetadata(on_demand.refs, self)
        self._on_demand = on_demand
        self._in_order = False

    @property
    def full_feature_names(self) -> bool:
        """Whether features are named ``view__feature``."""
        return self._on_demand.full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        """The on-demand feature views that are computed on the joined rows."""
        return list(self._on_demand.views)

    @property
    def metadata(self) -> RetrievalMetadata:
        """The features, entity columns and range of event times."""
        return self._metadata

    def in_request_order(self) -> SparkAsofRetrievalJob:
        """Return a job with the same rows in the order of the entity rows, which costs a sort of all of them."""
        job = copy(self)
        job._in_order = True  # noqa: SLF001 - a job of this very class
        return job

    def transforming_complete_rows(self) -> SparkAsofRetrievalJob:
        """Return a job whose on-demand features are null where a source of theirs has no row.

        Feast hands such rows over to the transformation, with nulls.
        """
        views, present = marked(self._on_demand.views, self._query.retrieval.views)
        job = copy(self)
        job._query = replace(self._query, retrieval=replace(self._query.retrieval, views=views))  # noqa: SLF001 - as above
        job._on_demand = replace(self._on_demand, present=present)  # noqa: SLF001 - likewise
        return job

    def to_arrow(self, validation_reference: ValidationReference | None = None, timeout: int | None = None) -> pa.Table:
        """Return all rows as a table, on-demand features included.

        Args:
            validation_reference: What the rows are validated against.
            timeout: Has no effect.
        """
        if not self._on_demand.views:
            return super().to_arrow(validation_reference, timeout)
        return ComputedJob(self, self._on_demand).to_arrow(validation_reference, timeout)

    def to_spark_df(self) -> DataFrame:
        """Return the rows as a Spark DataFrame, on-demand features included.

        Nothing is collected but counts of rows, by which the join is spread.

        Raises:
            AsofError: If the sources, the entity rows or the request don't fit.
        """
        frame = self._query.frame(in_order=self._in_order)
        return _with_on_demand(frame, self._on_demand) if self._on_demand.views else frame

    def to_sql(self) -> str:
        """Refuse.

        Raises:
            UnsupportedError: Always.
        """
        message = "to_sql is not supported: the join is no one statement on Spark. Use to_spark_df, and its explain()"
        raise UnsupportedError(message)

    def persist(
        self,
        storage: SavedDatasetStorage,
        allow_overwrite: bool = False,  # noqa: FBT001, FBT002 - Feast's signature
        timeout: int | None = None,  # noqa: ARG002 - Feast's signature
    ) -> None:
        """Write the rows to the place of a saved dataset: a folder of Parquet files, which Spark writes.

        Args:
            storage: A file storage; its path is one of Spark's file systems. Relative ones start at the feature repo.
            allow_overwrite: Whether to replace what is there.
            timeout: Has no effect.

        Raises:
            AsofError: If the storage is not one of Parquet files.
            SavedDatasetLocationAlreadyExists: If something is there and may not be replaced.
        """
        if not isinstance(storage, SavedDatasetFileStorage):
            message = f"cannot persist to a {type(storage).__name__}, only to a SavedDatasetFileStorage"
            raise AsofError(message)
        source = checked_source(storage.to_data_source(), f"the saved dataset at '{storage.file_options.uri}'")
        folder = ParquetFolder(located(source.path, self._query.retrieval.repo_path))
        frame = self.to_spark_df()
        if not allow_overwrite and folder.exists(frame.sparkSession):
            raise SavedDatasetLocationAlreadyExists(location=source.path)
        with spark_explained("the features cannot be joined"):
            folder.replace(frame)

    def facts(self) -> tuple[list[str], datetime | None, datetime | None]:
        """Return the entity rows' columns but the event time, and their first and last event time, in UTC."""
        from pyspark.sql import functions as sf

        query = self._query
        spark = _session(query.options)
        sources = query._sources(spark)  # noqa: SLF001 - of this module
        entities = query.entities(spark, sources)
        event_time, _ = query._steps(entities, sources, in_order=False)  # noqa: SLF001 - of this module
        moment = sf.unix_micros(column(event_time).cast("timestamp"))
        with spark_explained("the entity rows cannot be read"):
            first, last = entities.agg(sf.min(moment), sf.max(moment)).collect()[0]
        bounds = [
            None if one is None else pd.Timestamp(one, unit="us", tz="UTC").to_pydatetime() for one in (first, last)
        ]
        return [name for name in entities.columns if name != event_time], bounds[0], bounds[1]

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:  # noqa: ARG002 - Feast's signature
        return self._query.collected(in_order=self._in_order)

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        frame: pd.DataFrame = self._to_arrow_internal(timeout).to_pandas()
        return frame


def _with_on_demand(frame: DataFrame, on_demand: OnDemand) -> DataFrame:
    """Add the on-demand features, record batch by record batch."""
    from pyspark.sql.pandas.types import from_arrow_schema

    schema = on_demand.schema(arrow_schema(frame))

    def computed(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:  # pragma: no cover - on workers
        for batch in batches:
            yield from on_demand.add(pa.Table.from_batches([batch])).cast(schema).to_batches()

    return frame.mapInArrow(computed, from_arrow_schema(schema))


# ---- The store -----------------------------------------------------------------------------------------------------


class SparkAsofOfflineStore(AsofOfflineStore):
    """Feast's interface to the join on Spark; see the module for how to plug it in."""

    takes_duckdb_sql = False

    @staticmethod
    def get_historical_features(  # type: ignore[override]  # noqa: PLR0913, PLR0917 - Feast's signature; another kind of job
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: Any,  # noqa: ANN401 - more kinds than Feast's signature names
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,  # noqa: FBT001, FBT002 - Feast's signature
        filter_by_created_timestamp: bool = False,  # noqa: FBT001, FBT002 - Feast's signature
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> SparkAsofRetrievalJob:
        """Join each entity row to the feature values that were valid at its event time.

        Args:
            config: The configuration of the feature repo.
            feature_views: The feature views to join.
            feature_refs: The features, as ``view:feature``.
            entity_df: A Spark or pandas DataFrame, a pyarrow Table, Spark SQL, or the path or URL of Parquet files. Its
                event time is ``event_timestamp``, else its only timestamp column; naive times are UTC. None: every
                entity that has a feature row from ``start_date`` to ``end_date``, as of ``end_date``.
            registry: The registry, for the on-demand feature views.
            project: The Feast project.
            full_feature_names: Whether features are named ``view__feature``.
            filter_by_created_timestamp: Whether to leave out feature rows that were written after the event time.
            start_date: Without entity rows, the earliest event time; by default the longest ttl before the end.
            end_date: Without entity rows, the latest event time; by default now.

        Returns:
            A job that has not run; it yields each entity row exactly once.

        Raises:
            AsofError: If a view's source or the kind of the entity rows is not supported.
        """
        if entity_df is None:
            entity_df = TimeRange(*compute_non_entity_date_range(feature_views, start_date, end_date))
        check_entities(entity_df)
        known = [used_name(view) for view in feature_views]
        on_demand = requested_views(feature_refs, known, registry, project)
        feature_refs = settled_refs(feature_refs, on_demand)
        requests, added = _requests(feature_views, on_demand, feature_refs, full_feature_names=full_feature_names)
        asked = _Retrieval(entity_df, tuple(requests), tuple(added), config.repo_path, filter_by_created_timestamp)
        query = _SparkRetrieval(asked, config.offline_store)
        return SparkAsofRetrievalJob(query, OnDemand(tuple(on_demand), tuple(feature_refs), full_feature_names))
