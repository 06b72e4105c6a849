"""Feast's materialization as a stream: offline store -> record batches -> online store, in bounded memory.

Plugged in by class path in feature_store.yaml; the stores stay as they are:

    batch_engine:
      type: feast_columnar.StreamingComputeEngine
      rows_per_batch: 100000   # optional
      ledger: data/ledger      # optional: what was brought is recorded there, see feast_columnar.ledger

`FeatureStore.materialize`, `materialize_incremental` and the `feast` command then use it. Where Feast's local engine
pulls the whole history of the interval into pandas, drops all but each entity's latest row and writes the rest in one
call, this engine asks the offline store for the latest rows only, takes them as a stream of record batches if the
retrieval job has `to_record_batches(rows_per_batch)`, and writes each batch by a `bulk_writer` if there is one for the
store, otherwise by the store's own `online_write_batch`. The rows that end up online are the same.

Views that need more than that go through Feast's local engine unchanged: transformations, aggregations, views of other
views, stream sources, `enable_validation`, `offline=True`, `online=False`. (A `ttl` is none of
these: Feast's local engine doesn't look at it when it materializes, nor does this one.)
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from feast.feature_view import FeatureView
from feast.infra.common.materialization_job import MaterializationJobStatus, MaterializationTask
from feast.infra.compute_engines.local.compute import LocalComputeEngine
from feast.infra.compute_engines.local.feature_builder import LocalFeatureBuilder
from feast.infra.compute_engines.local.job import LocalMaterializationJob
from feast.repo_config import FeastConfigBaseModel
from pydantic import PositiveInt, StrictStr  # noqa: TC002 - pydantic evaluates the annotations

from feast_columnar.errors import RepoError
from feast_columnar.ledger.recording import recorded
from feast_columnar.ledger.settings import LedgerConfig, ledger_of
from feast_columnar.materialization.intervals import goes_on, refill_start
from feast_columnar.materialization.progress import progress_bar
from feast_columnar.materialization.record_batches import keyed, record_batches, renamed
from feast_columnar.materialization.sink import Sink
from feast_columnar.online.sqlite_times import require_utc_for
from feast_columnar.online.stores import has_features

if TYPE_CHECKING:
    from feast.data_source import DataSource
    from feast.infra.compute_engines.dag.context import ColumnInfo
    from feast.infra.offline_stores.offline_store import RetrievalJob
    from feast.infra.registry.base_registry import BaseRegistry

    from feast_columnar.ledger.tally import Tally

logger = logging.getLogger(__name__)

ROWS_PER_BATCH: Final = 100_000
"""SQLite rewrites most pages of its indexes in each transaction: 10**6 keys with three features took 89 s in batches
of 20,000 rows and 25 s in batches of this size, which take some 100 MiB. Redis doesn't mind either way."""


class StreamingComputeEngineConfig(FeastConfigBaseModel):
    """The `batch_engine` section of feature_store.yaml.

    Attributes:
        type: The class path of the engine.
        rows_per_batch: Rows per record batch and, for SQLite, per transaction. Without it, Feast's own setting
            `materialization: {online_write_batch_size: ...}` holds, and without that `ROWS_PER_BATCH`.
        backend: Handed to Feast's local engine, for the views that go through it.
        ledger: Where it is recorded what was brought: a path or URL, or one with what is kept of it.
    """

    type: StrictStr = "feast_columnar.StreamingComputeEngine"
    rows_per_batch: PositiveInt | None = None
    backend: StrictStr | None = None
    ledger: StrictStr | LedgerConfig | None = None


@dataclass(frozen=True)
class _Filling:
    """A task, and whether the store has nothing of its view before."""

    task: MaterializationTask
    store_was_empty: bool = False


class StreamingComputeEngine(LocalComputeEngine):
    """Materializes plain feature views as a stream of record batches, all others as Feast's local engine does.

    Running it twice changes nothing. If it fails on the way, the batches written so far are whole and stay, and the
    error is raised by `FeatureStore.materialize`. On a terminal it shows Feast's progress bar, counting rows.
    """

    def __init__(
        self, *, rows_per_batch: int | None = None, backend: str | None = None, ledger: object = None, **kwargs: object
    ) -> None:
        super().__init__(backend=backend, **kwargs)
        if ledger is not None:
            ledger_of(self.repo_config)  # one that can't be is refused before anything is read
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
            filling = self._with_what_is_lost(task)
            with recorded(self.repo_config, filling.task, store_was_empty=filling.store_was_empty) as tally:
                job = self._bring(registry, filling.task, tally, **kwargs)
                tally.error = job.error() if job else None
        except Exception as error:  # noqa: BLE001 - Feast's contract: the job carries it, the provider raises it
            return LocalMaterializationJob(job_id=job_id, status=MaterializationJobStatus.ERROR, error=error)
        return job or LocalMaterializationJob(job_id=job_id, status=MaterializationJobStatus.SUCCEEDED)

    def _bring(
        self, registry: BaseRegistry, task: MaterializationTask, tally: Tally, **kwargs: object
    ) -> LocalMaterializationJob | None:
        """Bring what a task asks for; the job of Feast's own engine where that does it."""
        source = plain_source(task)
        if task.start_time > task.end_time:  # Feast asks so for what lies before the last materialization's end
            tally.add_nothing()
        elif source is None:
            return super()._materialize_one(registry, task, **kwargs)
        else:
            self._stream(registry, task, source, tally)
        return None

    def _with_what_is_lost(self, task: MaterializationTask) -> _Filling:
        """The task; from further back if it would go on from where a store was that has nothing of the view now."""
        view = task.feature_view
        if not view.online or has_features(self.online_store, self.repo_config, view) is not False:
            return _Filling(task)
        # what a store keeps rows in may be gone as well, its file for example
        self.online_store.update(self.repo_config, [], [view], [], [], partial=True)
        if not goes_on(view, task.start_time):
            return _Filling(task, store_was_empty=True)
        start = refill_start(view, datetime.now(tz=UTC))
        logger.warning(
            "The online store has no features of %s, though they were materialized up to %s: it is filled from %s on",
            view.name,
            task.start_time.isoformat(timespec="seconds"),
            start.isoformat(timespec="seconds"),
        )
        # up to where it was, though less is asked for: the registry goes on to say that this much has been brought
        return _Filling(
            replace(task, start_time=start, end_time=max(task.start_time, task.end_time)), store_was_empty=True
        )

    def _stream(self, registry: BaseRegistry, task: MaterializationTask, source: DataSource, tally: Tally) -> None:
        start = time.monotonic()
        tally.expect_batches()
        backend = self._get_backend(self.get_execution_context(registry, task))
        columns = LocalFeatureBuilder(registry, task, backend=backend).get_column_info(task.feature_view)
        job = self._latest(task, source, columns)
        sink = Sink.of(self.online_store, self.repo_config, task.feature_view, columns)
        with progress_bar(task) as bar:
            for batch in record_batches(job, self.rows_per_batch):
                named = keyed(renamed(batch, columns.field_mapping or {}), columns)
                sink.write(named)
                tally.add_batch(named, sink.layout.event_time, sink.layout.created_time)
                bar.update(batch.num_rows)
        seconds = time.monotonic() - start
        logger.info("Materialized %d rows of feature view %s in %.1f s", tally.rows, task.feature_view.name, seconds)

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
