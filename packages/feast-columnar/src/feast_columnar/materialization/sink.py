"""Where the rows of a feature view go, batch by batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from feast.utils import _convert_arrow_to_proto

from feast_columnar.online.batches import Layout, encode_batch
from feast_columnar.online.stores import bulk_writer

if TYPE_CHECKING:
    import pyarrow as pa
    from feast.feature_view import FeatureView
    from feast.infra.compute_engines.dag.context import ColumnInfo
    from feast.infra.online_stores.online_store import OnlineStore
    from feast.repo_config import RepoConfig

    from feast_columnar.online.batches import BulkWriter

PROTO_ROWS: Final = 10_000
"""Rows per call of a store's own `online_write_batch`, which takes some kilobytes of Python objects per row."""


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
