"""Feast's materialization as a stream: offline store -> record batches -> online store, in bounded memory.

Plugged in by class path in feature_store.yaml; the stores stay as they are:

    batch_engine:
      type: feast_columnar.materialization.engine.StreamingComputeEngine
      rows_per_batch: 100000   # optional

`FeatureStore.materialize`, `materialize_incremental` and the `feast` command then use it. Where Feast's local engine
pulls the whole history of the interval into pandas, drops all but each entity's latest row and writes the rest in one
call, this engine asks the offline store for the latest rows only, takes them as a stream of record batches if the
retrieval job has `to_record_batches(rows_per_batch)`, and writes each batch by `bulk_write` if that serves the store,
otherwise by the store's own `online_write_batch`. The rows that end up online are the same.

Views that need more than that go through Feast's local engine unchanged: transformations, aggregations, views of other
views, stream sources, `enable_validation`, `offline=True`, `online=False`. (A `ttl` is none of
these: Feast's local engine doesn't look at it when it materializes, nor does this one.)

The module imports nothing else of the project but its errors, `bulk_write` and `sqlite_times`.
"""

from __future__ import annotations

import logging
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

import pyarrow as pa
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL, FeatureView
from feast.infra.common.materialization_job import MaterializationJobStatus, MaterializationTask
from feast.infra.compute_engines.local.compute import LocalComputeEngine
from feast.infra.compute_engines.local.feature_builder import LocalFeatureBuilder
from feast.infra.compute_engines.local.job import LocalMaterializationJob
from feast.repo_config import FeastConfigBaseModel
from feast.utils import _convert_arrow_to_proto
from pydantic import PositiveInt, StrictStr  # noqa: TC002 - pydantic evaluates the annotations

from feast_columnar.errors import RepoError
from feast_columnar.materialization.contents import goes_on, has_features, refill_start
from feast_columnar.online.encoding import BulkWriter, Layout, bulk_writer, encode_batch
from feast_columnar.online.sqlite_times import require_utc_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from feast.data_source import DataSource
    from feast.infra.compute_engines.dag.context import ColumnInfo
    from feast.infra.offline_stores.offline_store import RetrievalJob
    from feast.infra.online_stores.online_store import OnlineStore
    from feast.infra.registry.base_registry import BaseRegistry
    from feast.repo_config import RepoConfig

logger = logging.getLogger(__name__)

ROWS_PER_BATCH: Final = 100_000
"""SQLite rewrites most pages of its indexes in each transaction: 10**6 drivers with three features took 89 s in batches
of 20,000 rows and 25 s in batches of this size, which take some 100 MiB. Redis doesn't mind either way."""

PROTO_ROWS: Final = 10_000
"""Rows per call of a store's own `online_write_batch`, which takes some kilobytes of Python objects per row."""


class StreamingComputeEngineConfig(FeastConfigBaseModel):
    """The `batch_engine` section of feature_store.yaml.

    Attributes:
        type: The class path of the engine.
        rows_per_batch: Rows per record batch and, for SQLite, per transaction. Without it, Feast's own setting
            `materialization: {online_write_batch_size: ...}` holds, and without that `ROWS_PER_BATCH`.
        backend: Handed to Feast's local engine, for the views that go through it.
    """

    type: StrictStr = "feast_columnar.materialization.engine.StreamingComputeEngine"
    rows_per_batch: PositiveInt | None = None
    backend: StrictStr | None = None


class StreamingComputeEngine(LocalComputeEngine):
    """Materializes plain feature views as a stream of record batches, all others as Feast's local engine does.

    Running it twice changes nothing. If it fails on the way, the batches written so far are whole and stay, and the
    error is raised by `FeatureStore.materialize`. On a terminal it shows Feast's progress bar, counting rows.
    """

    def __init__(self, *, rows_per_batch: int | None = None, backend: str | None = None, **kwargs: object) -> None:
        super().__init__(backend=backend, **kwargs)
        try:
            require_utc_for(self.online_store)
        except RepoError as error:  # what Feast's engine would write is written
            logger.warning("%s", error)
        feast_size: int | None = self.repo_config.materialization_config.online_write_batch_size
        self.rows_per_batch = rows_per_batch or feast_size or ROWS_PER_BATCH

    def _materialize_one(
        self, registry: BaseRegistry, task: MaterializationTask, **kwargs: object
    ) -> LocalMaterializationJob:
        job_id = f"{task.feature_view.name}-{task.start_time}-{task.end_time}"
        try:
            task = self._with_what_is_lost(task)
            if task.start_time > task.end_time:  # Feast asks so for what lies before the last materialization's end
                return LocalMaterializationJob(job_id=job_id, status=MaterializationJobStatus.SUCCEEDED)
            source = plain_source(task)
            if source is None:
                return super()._materialize_one(registry, task, **kwargs)
            self._stream(registry, task, source)
        except Exception as error:  # noqa: BLE001 - Feast's contract: the job carries it, the provider raises it
            return LocalMaterializationJob(job_id=job_id, status=MaterializationJobStatus.ERROR, error=error)
        return LocalMaterializationJob(job_id=job_id, status=MaterializationJobStatus.SUCCEEDED)

    def _with_what_is_lost(self, task: MaterializationTask) -> MaterializationTask:
        """The task; from further back if it would go on from where a store was that has nothing of the view now."""
        view = task.feature_view
        if not view.online or has_features(self.online_store, self.repo_config, view) is not False:
            return task
        # what a store keeps rows in may be gone as well, its file for example
        self.online_store.update(self.repo_config, [], [view], [], [], partial=True)
        if not goes_on(view, task.start_time):
            return task
        start = refill_start(view, datetime.now(tz=UTC))
        logger.warning(
            "The online store has no features of %s, though they were materialized up to %s: it is filled from %s on",
            view.name,
            task.start_time.isoformat(timespec="seconds"),
            start.isoformat(timespec="seconds"),
        )
        # up to where it was, though less is asked for: the registry goes on to say that this much has been brought
        return replace(task, start_time=start, end_time=max(task.start_time, task.end_time))

    def _stream(self, registry: BaseRegistry, task: MaterializationTask, source: DataSource) -> None:
        start, rows = time.monotonic(), 0
        backend = self._get_backend(self.get_execution_context(registry, task))
        columns = LocalFeatureBuilder(registry, task, backend=backend).get_column_info(task.feature_view)
        job = self._latest(task, source, columns)
        sink = Sink.of(self.online_store, self.repo_config, task.feature_view, columns)
        with progress_bar(task) as bar:
            for batch in record_batches(job, self.rows_per_batch):
                sink.write(_keyed(_renamed(batch, columns.field_mapping or {}), columns))
                rows += batch.num_rows
                bar.update(batch.num_rows)
        seconds = time.monotonic() - start
        logger.info("Materialized %d rows of feature view %s in %.1f s", rows, task.feature_view.name, seconds)

    def _latest(self, task: MaterializationTask, source: DataSource, columns: ColumnInfo) -> RetrievalJob:
        return self.offline_store.pull_latest_from_table_or_query(
            config=self.repo_config,
            data_source=source,
            join_key_columns=columns.join_keys,
            feature_name_columns=columns.feature_cols,
            timestamp_field=columns.ts_col,
            created_timestamp_column=columns.created_ts_col,
            start_date=task.start_time,
            end_date=task.end_time,
        )


def plain_source(task: MaterializationTask) -> DataSource | None:
    """The source whose latest rows a task writes as they are, which is all that is streamed; None if it does more."""
    view = task.feature_view
    plain = bool(
        type(view) is FeatureView  # batch, stream and other kinds of views add steps
        and view.data_source is view.batch_source  # neither a stream source nor other views
        and task.only_latest
        and view.online
        and view.features
        and not (view.offline or view.enable_validation)
        and not any(getattr(view, step, None) for step in ("feature_transformation", "aggregations", "filter"))
    )
    return view.batch_source if plain else None


class StreamingJob(Protocol):
    """A retrieval job that needn't hold its result in memory."""

    def to_record_batches(self, rows_per_batch: int) -> pa.RecordBatchReader:
        """The result, in batches of about that many rows."""
        ...


def record_batches(job: RetrievalJob | StreamingJob, rows: int) -> Iterator[pa.RecordBatch]:
    """The result of a retrieval job in even batches, none of them empty.

    Args:
        job: Streams if it has `to_record_batches`; otherwise its `to_arrow` is cut.
        rows: Rows of each batch but the last.

    Yields:
        Record batches with the columns of the source.
    """
    source = job.to_record_batches(rows) if hasattr(job, "to_record_batches") else job.to_arrow().to_batches(rows)
    pending: list[pa.RecordBatch] = []
    for batch in source:
        pending.append(batch)
        if sum(part.num_rows for part in pending) >= rows:
            table = pa.Table.from_batches(pending)
            whole = table.num_rows // rows * rows
            yield from _cut(table.slice(0, whole), rows)
            pending = table.slice(whole).to_batches()
    if pending:
        yield from _cut(pa.Table.from_batches(pending), rows)


def _cut(table: pa.Table, rows: int) -> Iterator[pa.RecordBatch]:
    batches = table.combine_chunks().to_batches(rows)  # engines hand over many small chunks, and few rows are slow
    return (batch for batch in batches if batch.num_rows)


def _renamed(batch: pa.RecordBatch, mapping: dict[str, str]) -> pa.RecordBatch:
    return batch.rename_columns([mapping.get(name, name) for name in batch.schema.names])


def _keyed(batch: pa.RecordBatch, columns: ColumnInfo) -> pa.RecordBatch:
    """Add Feast's stand-in for the key of a view without entities, where the offline store has not."""
    if columns.join_keys or DUMMY_ENTITY_ID in batch.schema.names:
        return batch
    return batch.append_column(DUMMY_ENTITY_ID, pa.array([DUMMY_ENTITY_VAL] * batch.num_rows, pa.string()))


class Bar(Protocol):
    """What is used of a progress bar."""

    def update(self, rows: int) -> object:
        """Count rows."""
        ...


class _NoBar:
    def update(self, rows: int) -> None:
        """Nobody is watching."""


def progress_bar(task: MaterializationTask) -> AbstractContextManager[Bar]:
    """Feast's progress bar, counting rows, if there is a terminal to show it on.

    A stream doesn't know its length beforehand: the bar shows the count and the rate.
    """
    if task.tqdm_builder is None or not sys.stderr.isatty():
        return nullcontext(_NoBar())
    bar: Any = task.tqdm_builder(None)  # type: ignore[arg-type] # tqdm's word for unknown
    bar.unit, bar.unit_scale, bar.desc = " rows", True, task.feature_view.name
    built: AbstractContextManager[Bar] = bar
    return built


@dataclass(frozen=True)
class Sink:
    """Where the rows of a feature view go: a bulk writer, or the store's own write, or both by turns.

    Attributes:
        store: The configured online store.
        config: The feature repo's configuration.
        view: The feature view to write.
        layout: Which columns of the batches mean what.
        writer: The fast writer, if there is one for this store.
    """

    store: OnlineStore
    config: RepoConfig
    view: FeatureView
    layout: Layout
    writer: BulkWriter | None

    @classmethod
    def of(cls, store: OnlineStore, config: RepoConfig, view: FeatureView, columns: ColumnInfo) -> Sink:
        """The sink of a feature view whose timestamps have these names."""
        layout = Layout.of(view, columns.timestamp_column, columns.created_timestamp_column)
        return cls(store, config, view, layout, bulk_writer(store, config, view))

    def write(self, batch: pa.RecordBatch) -> None:
        """Store a batch that has the view's column names."""
        encoded = encode_batch(batch, self.layout) if self.writer else None
        if self.writer and encoded:
            self.writer.write(encoded)
            return
        for start in range(0, batch.num_rows, PROTO_ROWS):
            self._write_protos(batch.slice(start, PROTO_ROWS))

    def _write_protos(self, batch: pa.RecordBatch) -> None:
        rows = _convert_arrow_to_proto(batch, self.view, dict(self.layout.join_keys))
        self.store.online_write_batch(config=self.config, table=self.view, data=rows, progress=None)
