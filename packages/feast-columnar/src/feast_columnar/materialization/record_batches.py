"""The result of a retrieval job as record batches in a feature view's names, in bounded memory where it streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pyarrow as pa
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from feast.infra.compute_engines.dag.context import ColumnInfo
    from feast.infra.offline_stores.offline_store import RetrievalJob


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


def renamed(batch: pa.RecordBatch, mapping: dict[str, str]) -> pa.RecordBatch:
    """Name the columns as the feature view does, where its source names them otherwise."""
    return batch.rename_columns([mapping.get(name, name) for name in batch.schema.names])


def keyed(batch: pa.RecordBatch, columns: ColumnInfo) -> pa.RecordBatch:
    """Add Feast's stand-in for the key of a view without entities, where the offline store has not."""
    if columns.join_keys or DUMMY_ENTITY_ID in batch.schema.names:
        return batch
    return batch.append_column(DUMMY_ENTITY_ID, pa.array([DUMMY_ENTITY_VAL] * batch.num_rows, pa.string()))
