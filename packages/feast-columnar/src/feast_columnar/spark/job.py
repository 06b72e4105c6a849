"""What a retrieval on Spark gives: rows that stay on the cluster, or are brought here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
from feast.errors import SavedDatasetLocationAlreadyExists

from feast_columnar.errors import UnsupportedError
from feast_columnar.offline.job import ColumnarJob, LazyMetadata
from feast_columnar.offline.sources import saved_dataset_path
from feast_columnar.spark.folder import ParquetFolder
from feast_columnar.spark.rows import arrow_schema, spark_explained

if TYPE_CHECKING:
    from collections.abc import Iterator

    from feast.saved_dataset import SavedDatasetStorage
    from pyspark.sql import DataFrame

    from feast_columnar.offline.on_demand import OnDemand
    from feast_columnar.spark.plan import SparkRetrieval


class SparkAsofRetrievalJob(ColumnarJob):
    """A query that has not run yet.

    ``to_spark_df`` gives rows that stay on the cluster, in no order; ``to_df`` and ``to_arrow`` bring them here. Event
    times come as ``timestamp[us, tz=UTC]``.
    """

    def __init__(self, query: SparkRetrieval, on_demand: OnDemand) -> None:
        super().__init__(query, LazyMetadata(on_demand.refs, query.facts), on_demand)

    def to_spark_df(self) -> DataFrame:
        """Return the rows as a Spark DataFrame, on-demand features included.

        Nothing is collected but counts of rows, by which the join is spread.

        Raises:
            AsofError: If the sources, the entity rows or the request don't fit.
        """
        frame: DataFrame = self._query.frame(in_order=self._in_order)
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
        folder = ParquetFolder(saved_dataset_path(storage, self._query.retrieval.repo_path))
        frame = self.to_spark_df()
        if not allow_overwrite and folder.exists(frame.sparkSession):
            raise SavedDatasetLocationAlreadyExists(location=storage.file_options.uri)  # type: ignore[attr-defined]  # checked above
        with spark_explained("the features cannot be joined"):
            folder.replace(frame)

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:  # noqa: ARG002 - Feast's signature
        return self._query.collected(in_order=self._in_order)


def _with_on_demand(frame: DataFrame, on_demand: OnDemand) -> DataFrame:
    """Add the on-demand features, record batch by record batch."""
    from pyspark.sql.pandas.types import from_arrow_schema

    schema = on_demand.schema(arrow_schema(frame))

    def computed(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:  # pragma: no cover - on workers
        for batch in batches:
            yield from on_demand.add(pa.Table.from_batches([batch])).cast(schema).to_batches()

    return frame.mapInArrow(computed, from_arrow_schema(schema))
