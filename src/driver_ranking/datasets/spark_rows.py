"""Rows on Spark: as they are read, as they get columns, and as they are written to a folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from driver_ranking import spark
from driver_ranking.datasets.spark_workers import mapper, packed
from driver_ranking.errors import FeatureStoreError, RequestError, SparkError
from driver_ranking.feature_store.extraction import ExtractedFeatures, completed
from feast_columnar.errors import AsofError
from feast_columnar.spark.rows import column

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import DataFrame

    from driver_ranking.scoring import BatchScorer, WrittenRows
    from feast_columnar.spark.folder import ParquetFolder


@dataclass(frozen=True)
class SparkRows:
    """The rows of a folder, on Spark.

    Attributes:
        frame: The rows.
        schema: Their columns, with what was recorded of the rows.
    """

    frame: DataFrame
    schema: pa.Schema

    def map_batches(
        self, mapping: BatchScorer, added: tuple[pa.Field, ...], report: Callable[[WrittenRows], None]
    ) -> MappedRows:
        """Return the rows with columns added, to be computed when they are written."""
        return MappedRows(self, mapping, added, report)

    def query(self, name: str, sql: str) -> list[tuple[Any, ...]]:
        """Return what a query gives, in which the rows have a name."""
        return [
            tuple(row)
            for row in self.frame.sparkSession.sql(
                f"WITH {name} AS (SELECT * FROM {{rows}}) {sql}", rows=self.frame
            ).collect()
        ]


@dataclass(frozen=True)
class MappedRows:
    """Rows that get columns on Spark's workers, not computed yet.

    Attributes:
        rows: The rows.
        mapping: What computes the columns.
        added: The columns.
        report: Is told the rows when they are written, before they take the place of the last ones.
    """

    rows: SparkRows
    mapping: BatchScorer
    added: tuple[pa.Field, ...]
    report: Callable[[WrittenRows], None]

    def write_folder(self, folder: ParquetFolder) -> None:
        """Compute and write the rows.

        Raises:
            ModelError: The model fails on a worker.
            SparkError: Spark fails, or other than all rows came back.
        """
        from pyspark.sql.pandas.types import from_arrow_schema

        frame = self.rows.frame
        files = frame.sparkSession.sparkContext.broadcast(packed(self.mapping.folder))
        schema = pa.schema([*self.rows.schema, *self.added])
        with spark.explained("The rows can't be scored"):
            mapped = frame.mapInArrow(mapper(self.mapping, files, schema), from_arrow_schema(schema))
            notes = {key.decode(): value.decode() for key, value in (self.rows.schema.metadata or {}).items()}
            try:
                folder.replace(mapped, notes, self._check)
            finally:
                files.destroy()

    def _check(self, written: DataFrame) -> None:
        expected, count = self.rows.frame.count(), written.count()
        if count != expected:
            message = f"Of {expected} rows, {count} came back from the workers. The last output stays."
            raise SparkError(message)
        self.report(SparkWritten(written))


@dataclass(frozen=True)
class SparkWritten:
    """Rows that have been written by Spark.

    Attributes:
        frame: The rows.
    """

    frame: DataFrame

    def counts(self, name: str) -> dict[str, int]:
        """Return how many rows have which value."""
        return {str(row[0]): int(row[1]) for row in self.frame.groupBy(column(name)).count().collect()}

    def best(self, name: str, count: int) -> list[dict[str, Any]]:
        """Return the rows with the highest values; of equal ones any."""
        ordered = self.frame.where(column(name).isNotNull()).orderBy(column(name).desc()).limit(count)
        rows: list[dict[str, Any]] = ordered.toArrow().to_pylist()
        return rows


def write_extracted(extracted: ExtractedFeatures, folder: ParquetFolder) -> None:
    """Run a retrieval job on Spark, which writes its rows, in no order, as the files of a folder.

    Raises:
        FeatureStoreError: The offline store is not on Spark, or refuses the request.
        RequestError: There are other than as many rows as were checked.
        SparkError: Spark fails.
    """
    job: Any = extracted.job
    if not hasattr(job, "to_spark_df"):
        message = (
            "The rows of this dataset are on Spark, the offline store is not. Name a feature_store.yaml whose "
            "offline_store is feast_columnar.SparkAsofOfflineStore."
        )
        raise FeatureStoreError(message)

    def require_all(written: DataFrame) -> None:
        count = written.count()
        if extracted.row_count not in {None, count}:
            message = f"Spark read {count} entity rows of {extracted.row_count}. Are there line breaks within quotes?"
            raise RequestError(message)

    with spark.explained("The features can't be extracted"):
        try:
            folder.replace(completed(job).to_spark_df(), extracted.metadata, require_all)
        except AsofError as error:
            message = f"The features can't be extracted: {error}"
            raise FeatureStoreError(message) from error
