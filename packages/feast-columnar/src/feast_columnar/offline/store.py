"""A Feast offline store on DuckDB's ASOF join: point-in-time features at the engine's speed, in bounded memory.

Plug it in by its class path, in ``feature_store.yaml``::

    offline_store:
      type: feast_columnar.offline.store.AsofOfflineStore
      memory_limit: 500MB

It reads Parquet file sources (a file, a folder, a glob, a hive-partitioned folder; local or through fsspec) and takes
entity rows as a DataFrame, an Arrow table or data set, a Parquet or CSV file, or DuckDB SQL. Results stream. The rules
of the join are stated in ``asof_sql``; the ``asof`` modules need nothing else of this project.
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import closing
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.feature_logging import LOG_TIMESTAMP_FIELD
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalJob, RetrievalMetadata
from feast.repo_config import FeastConfigBaseModel
from feast.utils import _parse_feature_ref, compute_non_entity_date_range
from pydantic import StrictStr  # noqa: TC002  # pydantic looks it up when the class is made

from feast_columnar.errors import AsofError, UnsupportedError
from feast_columnar.offline.engine import ENTITIES, Engine, Relation, explained, open_engine
from feast_columnar.offline.files import LocalRows, add_logs, add_rows, beside, local_path, replacing
from feast_columnar.offline.monitoring import MonitoredStore
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
    check_entities,
    entity_relation,
    event_time_column,
    require_distinct,
    with_instants,
)
from feast_columnar.offline.rules import (
    EntityRows,
    Extract,
    Feature,
    JoinKey,
    ViewJoin,
    all_rows_sql,
    instant,
    latest_rows_sql,
    literal,
    point_in_time_sql,
    quoted,
    within,
)
from feast_columnar.offline.sources import checked_source, joined_source, located, source_relation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime, timedelta

    import pandas as pd
    from feast.data_source import DataSource
    from feast.feature_logging import LoggingConfig, LoggingSource
    from feast.feature_view import FeatureView
    from feast.infra.offline_stores.file_source import FileSource
    from feast.infra.registry.base_registry import BaseRegistry
    from feast.on_demand_feature_view import OnDemandFeatureView
    from feast.repo_config import RepoConfig
    from feast.saved_dataset import SavedDatasetStorage, ValidationReference

__all__ = [
    "AsofError",
    "AsofOfflineStore",
    "AsofOfflineStoreConfig",
    "AsofRetrievalJob",
    "EntityRows",
    "Feature",
    "JoinKey",
    "UnsupportedError",
    "ViewJoin",
    "point_in_time_sql",
]

_NUMBERS = {
    "whole": re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?"),
    "floating point": re.compile("FLOAT|DOUBLE"),
    "decimal": re.compile(r"DECIMAL\(.*\)"),
}
_DUMMY_KEY = ((DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL),)


class AsofOfflineStoreConfig(FeastConfigBaseModel):
    """Options of the store in ``feature_store.yaml``.

    Attributes:
        type: The class path of the store.
        memory_limit: How much memory DuckDB may take, such as ``500MB``; what is over goes to disk. DuckDB's default is
            80% of the machine's.
        threads: How many threads DuckDB may use; its default is one per core.
        temp_directory: The folder DuckDB spills to; by default a temporary one that is removed after each query.
    """

    type: StrictStr = "feast_columnar.offline.store.AsofOfflineStore"
    memory_limit: str | None = None
    threads: int | None = None
    temp_directory: str | None = None

    def settings(self) -> dict[str, Any]:
        """Return the options as DuckDB's settings; None leaves one at its default."""
        return {
            "memory_limit": self.memory_limit,
            "threads": self.threads,
            "temp_directory": self.temp_directory,
        }


# ---- Feature views -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _ViewRequest:
    """What is asked of one feature view, in the names of the view."""

    name: str
    source: FileSource
    keys: tuple[JoinKey, ...]
    features: tuple[Feature, ...]
    ttl: timedelta | None


def _requests(
    views: Sequence[FeatureView],
    on_demand: Sequence[OnDemandFeatureView],
    refs: Sequence[str],
    *,
    full_feature_names: bool,
) -> tuple[list[_ViewRequest], list[str]]:
    """Sort the requested features by view; also name the columns that on-demand views will add."""
    asked: dict[str, list[Feature]] = {used_name(view): [] for view in views}
    computed = {used_name(view) for view in on_demand}
    added = []
    for position, ref in enumerate(refs):
        base, version, name = _parse_feature_ref(ref)
        view = base if version is None else f"{base}@v{version}"
        output = f"{base}__{name}" if full_feature_names else name
        if view in asked:
            asked[view].append(Feature(name, output, position))
        elif view in computed:
            added.append(output)
        else:
            message = f"'{ref}' is of no feature view of the request"
            raise AsofError(message)
    return [_request(view, tuple(asked[used_name(view)])) for view in views], added


def _request(view: FeatureView, features: tuple[Feature, ...]) -> _ViewRequest:
    keys = tuple(
        JoinKey(column.name, view.projection.join_key_map.get(column.name, column.name))
        for column in view.entity_columns
        if column.name != DUMMY_ENTITY_ID
    )
    return _ViewRequest(used_name(view), joined_source(view), keys, features, view.ttl)


def _view_join(engine: Engine, request: _ViewRequest, relation: Relation) -> tuple[ViewJoin, Relation]:
    """Look up what is asked in the source: its columns have the names from before the field mapping."""
    source = request.source
    original = {new: old for old, new in source.field_mapping.items() if old in relation.columns}
    keys = tuple(JoinKey(original.get(key.source, key.source), key.entity) for key in request.keys)
    features = tuple(replace(item, source=original.get(item.source, item.source)) for item in request.features)
    times = [original.get(name, name) for name in (source.timestamp_field, source.created_timestamp_column) if name]
    needed = [*(key.source for key in keys), *times, *(item.source for item in features)]
    relation.require(needed, f"which feature view '{request.name}' needs")
    relation = with_instants(engine, relation, times)
    event_time, created = times[0], times[1] if source.created_timestamp_column else None
    return ViewJoin(relation.sql, keys, event_time, features, relation.order, created, request.ttl), relation


def _comparable(rows: Relation, source: Relation, key: JoinKey) -> JoinKey:
    """Return how a join key is compared, or refuse types that can't be."""
    ours, theirs = rows.columns[key.entity], source.columns[key.source]
    kinds = {name for name, pattern in _NUMBERS.items() for kind in (ours, theirs) if pattern.fullmatch(kind)}
    if _kind(ours) != _kind(theirs) or kinds == {"decimal", "floating point"}:
        message = (
            f"join key '{key.entity}' is {ours} in {rows.what}, but '{key.source}' is {theirs} in {source.what}; "
            "make them one type"
        )
        raise AsofError(message)
    if kinds == {"whole", "floating point"}:
        return replace(key, whole="entity" if _NUMBERS["floating point"].fullmatch(ours) else "source")
    return key


def _kind(duckdb_type: str) -> str:
    if any(pattern.fullmatch(duckdb_type) for pattern in _NUMBERS.values()):
        return "number"
    return "time" if duckdb_type.startswith(("TIMESTAMP", "DATE")) else duckdb_type


# ---- Queries: what a job runs, worked out only when it runs --------------------------------------------------------


class _Query(Protocol):
    def sql(self, engine: Engine, *, in_order: bool) -> str: ...


@dataclass(frozen=True)
class _Extraction:
    """The rows of a source, all or the latest of each entity."""

    source: FileSource
    repo_path: Path | None
    statement: Callable[..., str]
    extract: Extract  # without the relation and the numbers of its rows, which are known later
    features: bool  # whether features are named; else all columns are read

    def sql(self, engine: Engine, *, in_order: bool) -> str:
        relation = source_relation(engine, self.source, self.repo_path)
        columns = self.extract.columns if self.features else tuple(relation.columns)
        relation.require(self.extract.columns, "which is to be read")
        times = [name for name in (self.extract.event_time, self.extract.created) if name]
        relation = with_instants(engine, relation, times)
        extract = replace(self.extract, relation=relation.sql, source_order=relation.order, columns=columns)
        return self.statement(extract, in_order=in_order)


@dataclass(frozen=True)
class _Retrieval:
    """Entity rows and the feature views to join to them."""

    entities: Any
    views: tuple[_ViewRequest, ...]
    added: tuple[str, ...]
    repo_path: Path | None
    filter_by_created: bool

    def sql(self, engine: Engine, *, in_order: bool) -> str:
        rows, event_time, joins = self.checked(engine, in_order=in_order)
        order = rows.order if in_order else ()
        entity_rows = EntityRows(rows.sql, tuple(rows.columns), event_time, order)
        return point_in_time_sql(entity_rows, joins, filter_by_created=self.filter_by_created)

    def checked(self, engine: Engine, *, in_order: bool) -> tuple[Relation, str, list[ViewJoin]]:
        """Return the entity rows, their event time, and the joins, if all of it fits together."""
        joins = [_view_join(engine, request, self._source_rows(engine, request.source)) for request in self.views]
        rows, event_time = self._entity_rows(engine, [join for join, _ in joins], in_order=in_order)
        compared = []
        for request, (join, source) in zip(self.views, joins, strict=True):
            rows.require((key.entity for key in join.keys), f"which feature view '{request.name}' joins on")
            compared.append(replace(join, keys=tuple(_comparable(rows, source, key) for key in join.keys)))
        outputs = [feature.output for join, _ in joins for feature in join.features]
        require_distinct(
            [*rows.columns, *outputs, *self.added], "the result (full_feature_names=True tells views apart)"
        )
        return rows, event_time, compared

    def _source_rows(self, engine: Engine, source: FileSource) -> Relation:
        return source_relation(engine, source, self.repo_path)

    def _given_rows(self, engine: Engine, *, in_order: bool) -> Relation:
        return entity_relation(engine, self.entities, in_order=in_order)

    def _entity_rows(
        self, engine: Engine, joins: Sequence[ViewJoin] | None = None, *, in_order: bool = False
    ) -> tuple[Relation, str]:
        if isinstance(self.entities, TimeRange):
            rows = _seen_entities(engine, self.entities, joins or self._joins(engine))
        else:
            rows = self._given_rows(engine, in_order=in_order)
        event_time = event_time_column(rows)
        return with_instants(engine, rows, [event_time]), event_time

    def _joins(self, engine: Engine) -> list[ViewJoin]:
        return [_view_join(engine, request, self._source_rows(engine, request.source))[0] for request in self.views]

    def facts(self, engine: Engine) -> tuple[list[str], datetime | None, datetime | None]:
        """Return the entity rows' columns but the event time, and their first and last event time, in UTC."""
        rows, event_time = self._entity_rows(engine)
        column = f"make_timestamptz(epoch_us({quoted(event_time)}))"
        bounds = engine.execute(f"SELECT min({column}), max({column}) FROM {rows.sql}").fetchone() or (None, None)
        return [name for name in rows.columns if name != event_time], bounds[0], bounds[1]


def _seen_entities(engine: Engine, span: TimeRange, joins: Sequence[ViewJoin]) -> Relation:
    """Make entity rows of the keys that any of the views has in a range of event times."""
    keys = sorted({key.entity for join in joins for key in join.keys})
    seen = []
    for join in joins:
        sources = {key.entity: key.source for key in join.keys}
        if sources and sorted(sources) != keys:
            message = "without entity rows, all feature views must have the same join keys; give entity rows"
            raise AsofError(message)
        if sources:
            columns = ", ".join(f"{quoted(source)} AS {quoted(key)}" for key, source in sorted(sources.items()))
            present = " AND ".join(f"{quoted(source)} IS NOT NULL" for source in sources.values())
            bounds = within(join.event_time, span.start, span.end)
            seen.append(f"SELECT DISTINCT {columns} FROM {join.relation} WHERE {present} AND {bounds}")
    moment = f"TIMESTAMPTZ {instant(span.end)} AS event_timestamp"
    sql = f"(SELECT *, {moment} FROM ({' UNION '.join(seen)}))" if seen else f"(SELECT {moment})"
    return replace(engine.relation(sql, ENTITIES), order=tuple(keys))


class _Metadata(RetrievalMetadata):
    """Feast's metadata of a retrieval; what needs a look at the entity rows is looked up when it is asked for."""

    def __init__(self, features: Sequence[str], query: _Retrieval, options: AsofOfflineStoreConfig) -> None:
        self.features = list(features)
        self._query = query
        self._options = options

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # what Feast declares as plain attributes
        if name not in {"keys", "min_event_timestamp", "max_event_timestamp"}:
            raise AttributeError(name)
        with open_engine(self._options.settings()) as engine:
            self.keys, self.min_event_timestamp, self.max_event_timestamp = self._query.facts(engine)
        return getattr(self, name)


# ---- The job -------------------------------------------------------------------------------------------------------


class AsofRetrievalJob(LocalRows, RetrievalJob):
    """A query that has not run yet. Each way to get its rows runs it once, on a connection of its own.

    Event times come as ``timestamp[us, tz=UTC]``; the other columns keep their Arrow types.
    """

    def __init__(  # plain values, kept as they are
        self,
        query: _Query,
        options: AsofOfflineStoreConfig,
        repo_path: Path | None,
        *,
        metadata: RetrievalMetadata | None = None,
        on_demand: OnDemand | None = None,
    ) -> None:
        self._query = query
        self._options = options
        self._repo_path = repo_path
        self._metadata = metadata
        self._on_demand = on_demand or OnDemand()
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
    def metadata(self) -> RetrievalMetadata | None:
        """The features, entity columns and range of event times; None for the rows of a source."""
        return self._metadata

    def in_request_order(self) -> AsofRetrievalJob:
        """Return a job with the same rows in the order of the entity rows (of a source: in its order)."""
        job = copy(self)
        job._in_order = True  # noqa: SLF001  # a job of this very class
        return job

    def transforming_complete_rows(self) -> AsofRetrievalJob:
        """Return a job whose on-demand features are null where a source of theirs has no row.

        Feast hands such rows over to the transformation, with nulls.
        """
        if not self._on_demand.views:
            return self
        job = copy(self)
        views, present = marked(self._on_demand.views, self._query.views)  # type: ignore[attr-defined]  # a retrieval
        job._query = replace(self._query, views=views)  # type: ignore[type-var]  # noqa: SLF001  # of this very class
        job._on_demand = replace(self._on_demand, present=present)  # noqa: SLF001  # likewise
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

    def to_sql(self) -> str:
        """Return the DuckDB statement, on-demand features aside. In-memory entity rows appear under a made-up name."""
        with open_engine(self._options.settings()) as engine:
            return self._query.sql(engine, in_order=self._in_order)

    def to_record_batches(self, rows_per_batch: int = 65_536) -> pa.RecordBatchReader:
        """Return the rows as a stream, on-demand features included; memory does not grow with their number.

        Args:
            rows_per_batch: About how many rows a batch has.

        Raises:
            AsofError: If the sources, the entity rows or the request don't fit.
        """
        batches = self._batches(rows_per_batch)
        # The first batch is a promise of the schema; it also starts the generator, so that dropping it closes DuckDB.
        schema = next(batches).schema
        return pa.RecordBatchReader.from_batches(schema, batches)

    def write_parquet(self, path: str | os.PathLike[str], *, metadata: Mapping[str, str] | None = None) -> int:
        """Write the rows to one local Parquet file, which appears when it is complete and not before.

        Args:
            path: Where to; folders are made, a file that is there is replaced.
            metadata: Key-value pairs for the footer of the file.

        Returns:
            The number of rows.

        Raises:
            AsofError: If the path is a URL, or the sources, the entity rows or the request don't fit.
        """
        target = Path(local_path(os.fspath(path)))
        write = self._write_batches if self.on_demand_feature_views else self._copy
        with replacing(target) as partial:
            return write(partial, dict(metadata or {}))

    def persist(
        self,
        storage: SavedDatasetStorage,
        allow_overwrite: bool = False,  # noqa: FBT001, FBT002  # Feast's signature
        timeout: int | None = None,  # noqa: ARG002  # Feast's signature; no local store of Feast has a timeout
    ) -> None:
        """Write the rows to the place of a saved dataset: one Parquet file, or a folder with one.

        Args:
            storage: A file storage with a local path; relative ones are taken from the feature repo.
            allow_overwrite: Whether to replace what is there.
            timeout: Has no effect.

        Raises:
            AsofError: If the storage is not one of local Parquet files.
            SavedDatasetLocationAlreadyExists: If something is there and may not be replaced.
        """
        if not isinstance(storage, SavedDatasetFileStorage):
            message = f"cannot persist to a {type(storage).__name__}, only to a SavedDatasetFileStorage"
            raise AsofError(message)
        source = checked_source(storage.to_data_source(), f"the saved dataset at '{storage.file_options.uri}'")
        target = Path(local_path(located(source.path, self._repo_path)))
        if target.exists() and not allow_overwrite:
            raise SavedDatasetLocationAlreadyExists(location=source.path)
        if target.suffix == ".parquet":
            self.write_parquet(target)
        else:
            self._write_folder(target)

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:  # noqa: ARG002  # Feast's signature
        with open_engine(self._options.settings()) as engine:
            sql = self._query.sql(engine, in_order=self._in_order)
            return engine.execute(sql).to_arrow_table()

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        frame: pd.DataFrame = self._to_arrow_internal(timeout).to_pandas()
        return frame

    def _batches(self, rows_per_batch: int) -> Iterator[pa.RecordBatch]:
        """Yield an empty batch with the schema, then the rows."""
        with open_engine(self._options.settings()) as engine, explained("DuckDB could not run the query"):
            result = engine.execute(self._query.sql(engine, in_order=self._in_order))
            with closing(result.to_arrow_reader(rows_per_batch)) as reader:
                if self.on_demand_feature_views:
                    yield from self._computed(reader)
                else:
                    yield pa.RecordBatch.from_pylist([], schema=reader.schema)
                    yield from reader

    def _computed(self, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        yield pa.RecordBatch.from_pylist([], schema=self._on_demand.schema(reader.schema))
        for batch in reader:
            yield from self._on_demand.add(pa.Table.from_batches([batch])).to_batches()

    def _copy(self, partial: Path, metadata: dict[str, str]) -> int:
        pairs = ", ".join(f"{literal(key)}: {literal(value)}" for key, value in metadata.items())
        options = f"FORMAT parquet, KV_METADATA {{{pairs}}}" if pairs else "FORMAT parquet"
        with open_engine(self._options.settings()) as engine:
            sql = self._query.sql(engine, in_order=self._in_order)
            written = engine.execute(f"COPY ({sql}) TO {literal(str(partial))} ({options})").fetchone()
        return int(written[0]) if written else 0

    def _write_batches(self, partial: Path, metadata: dict[str, str]) -> int:
        rows, reader = 0, self.to_record_batches()
        # As metadata of the schema, which readers find: what is added to the footer later, Arrow's own readers hide.
        with reader, pq.ParquetWriter(partial, reader.schema.with_metadata(metadata)) as writer:
            for batch in reader:
                writer.write_batch(batch)
                rows += batch.num_rows
        return rows

    def _write_folder(self, target: Path) -> None:
        partial, old = beside(target), beside(target)
        try:
            self.write_parquet(partial / "part-0.parquet")
            if target.exists():
                target.rename(old)
            partial.rename(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)


# ---- The store -----------------------------------------------------------------------------------------------------


class AsofOfflineStore(MonitoredStore, OfflineStore):
    """Feast's interface to the join; see the module for how to plug it in."""

    supports_filter_by_created_timestamp = True
    takes_duckdb_sql = True  # as entity rows

    @staticmethod
    def get_historical_features(  # noqa: PLR0913, PLR0917  # Feast's signature
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: Any,  # noqa: ANN401  # more kinds than Feast's signature names
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,  # noqa: FBT001, FBT002  # Feast's signature
        filter_by_created_timestamp: bool = False,  # noqa: FBT001, FBT002  # Feast's signature
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> AsofRetrievalJob:
        """Join each entity row to the feature values that were valid at its event time.

        Args:
            config: The configuration of the feature repo.
            feature_views: The feature views to join.
            feature_refs: The features, as ``view:feature``.
            entity_df: A pandas DataFrame, a pyarrow Table or Dataset, the path or URL of a Parquet or CSV file, or
                DuckDB SQL. Its event time is ``event_timestamp``, else its only timestamp column; naive times are UTC.
                None: every entity that has a feature row from ``start_date`` to ``end_date``, as of ``end_date``.
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
        query = _Retrieval(entity_df, tuple(requests), tuple(added), config.repo_path, filter_by_created_timestamp)
        return AsofRetrievalJob(
            query,
            config.offline_store,
            config.repo_path,
            metadata=_Metadata(feature_refs, query, config.offline_store),
            on_demand=OnDemand(tuple(on_demand), tuple(feature_refs), full_feature_names),
        )

    @staticmethod
    def pull_latest_from_table_or_query(  # noqa: PLR0913, PLR0917  # Feast's signature
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> AsofRetrievalJob:
        """Read the latest row of each entity from ``start_date`` to ``end_date``, both inclusive.

        Ties are broken as in the join. Without join keys it is the latest row of all, with Feast's stand-in for a key.

        Args:
            config: The configuration of the feature repo.
            data_source: A FileSource of Parquet files.
            join_key_columns: The columns that make an entity.
            feature_name_columns: The feature columns to read; none for all columns, as transformations need them.
            timestamp_field: The column with the event time.
            created_timestamp_column: The column that says when a row was written.
            start_date: The earliest event time; a naive one is taken as UTC.
            end_date: The latest event time; a naive one is taken as UTC.

        Raises:
            AsofError: If the source is not supported.
        """
        constants = () if join_key_columns else _DUMMY_KEY
        extract = _extract(join_key_columns, feature_name_columns, timestamp_field, created_timestamp_column)
        extract = replace(extract, start=start_date, end=end_date, constants=constants)
        return _extraction(config, data_source, latest_rows_sql, extract, feature_name_columns)

    @staticmethod
    def pull_all_from_table_or_query(  # noqa: PLR0913, PLR0917  # Feast's signature
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> AsofRetrievalJob:
        """Read all rows from ``start_date`` to ``end_date``, both inclusive and optional.

        Without join keys they come with Feast's stand-in for a key, the latest one last; but not those of a log.

        Args:
            config: The configuration of the feature repo.
            data_source: A FileSource of Parquet files.
            join_key_columns: The columns that make an entity.
            feature_name_columns: The feature columns to read; none for all columns, as transformations need them.
            timestamp_field: The column with the event time.
            created_timestamp_column: The column that says when a row was written.
            start_date: The earliest event time; a naive one is taken as UTC.
            end_date: The latest event time; a naive one is taken as UTC.

        Raises:
            AsofError: If the source is not supported.
        """
        constants = () if join_key_columns or timestamp_field == LOG_TIMESTAMP_FIELD else _DUMMY_KEY
        extract = _extract(join_key_columns, feature_name_columns, timestamp_field, created_timestamp_column)
        extract = replace(extract, start=start_date, end=end_date, constants=constants)
        return _extraction(config, data_source, all_rows_sql, extract, feature_name_columns)

    @staticmethod
    def offline_write_batch(
        config: RepoConfig,
        feature_view: FeatureView,
        table: pa.Table,
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Append rows to the source of a feature view: to its file, which is written anew, or as a file in its folder.

        Args:
            config: The configuration of the feature repo.
            feature_view: The feature view; its source is a local file or a folder without partitions.
            table: Rows with the columns of the source, in its order.
            progress: Is told the number of rows when they are written.

        Raises:
            AsofError: If the source is of another kind, or the columns differ.
        """
        owner = f"feature view '{feature_view.name}'"
        source = checked_source(feature_view.batch_source, owner)
        add_rows(Path(local_path(located(source.path, config.repo_path))), table, owner)
        if progress:
            progress(table.num_rows)

    @staticmethod
    def write_logged_features(
        config: RepoConfig,
        data: pa.Table | Path,
        source: LoggingSource,  # noqa: ARG004  # Feast's signature
        logging_config: LoggingConfig,
        registry: BaseRegistry,  # noqa: ARG004  # Feast's signature
    ) -> None:
        """Add logged features to the folder of a file destination, in files that appear when they are complete.

        Args:
            config: The configuration of the feature repo.
            data: The rows, or the path of Parquet files with them.
            source: Is not needed.
            logging_config: Where to; partitions are written hive style.
            registry: Is not needed.

        Raises:
            AsofError: If the destination is not a local folder.
        """
        add_logs(logging_config.destination, data, config.repo_path)


def _extract(keys: Sequence[str], features: Sequence[str], event_time: str, created: str | None) -> Extract:
    columns = dict.fromkeys([*keys, *features, event_time, *([created] if created else [])])
    return Extract("", tuple(keys), tuple(columns), event_time, (), created or None)


def _extraction(
    config: RepoConfig, source: DataSource, statement: Callable[..., str], extract: Extract, features: Sequence[str]
) -> AsofRetrievalJob:
    checked = checked_source(source, f"source '{source.name}'")
    query = _Extraction(checked, config.repo_path, statement, extract, bool(features))
    return AsofRetrievalJob(query, config.offline_store, config.repo_path)
