"""Kedro datasets whose rows stay on Spark: a request, and folders of Parquet files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kedro.io import DatasetError
from kedro_datasets.spark.spark_dataset_v2 import SparkDatasetV2

from driver_ranking import spark
from driver_ranking.datasets import entity_rows as local
from driver_ranking.datasets import row_checks
from driver_ranking.datasets.preview import PreviewsHead
from driver_ranking.datasets.refusal import refusal
from driver_ranking.datasets.spark_requests import (
    REQUEST,
    SparkEntityRows,
    SparkRequest,
    checked_count,
    raw_file,
    read_by,
    require_same_reading,
)
from driver_ranking.datasets.spark_rows import MappedRows, SparkRows, write_extracted
from driver_ranking.feature_store.extraction import ExtractedFeatures
from feast_columnar.errors import AsofError
from feast_columnar.spark.entities import require_plain
from feast_columnar.spark.folder import ParquetFolder
from feast_columnar.spark.rows import arrow_schema, read_parquet

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

    from driver_ranking.datasets.column_rules import Rule

_NOTES_FILE = "_driver_ranking.json"


class SparkParquetDataset(PreviewsHead, SparkDatasetV2):  # type: ignore[misc]  # kedro-datasets has no types
    """A folder of Parquet files on one of Spark's file systems, written by Spark.

    Rows have no order. The folder is written under a temporary name and renamed into place; what is recorded of the
    rows is in a file beside them.
    """

    made_by_runs = True  # see `driver_ranking.output_locks`

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Name the folder."""
        super().__init__(filepath=filepath, metadata=metadata)

    @property
    def _folder(self) -> ParquetFolder:
        return ParquetFolder(self._spark_path, _NOTES_FILE)

    def _load(self) -> SparkRows:
        """Open the folder.

        Raises:
            DatasetError: It is not there.
        """
        session = spark.session()
        if not self._folder.exists(session):
            message = f"There is no folder {self._spark_path}. Run the pipeline that makes it first."
            raise DatasetError(message)
        frame = self._folder.read(session)
        return SparkRows(frame, arrow_schema(frame).with_metadata(self._folder.notes(session)))

    def _save(self, data: ExtractedFeatures | MappedRows) -> None:
        """Write the rows and put them in the place of the last ones."""
        spark.session()
        if isinstance(data, ExtractedFeatures):
            write_extracted(data, self._folder)
        else:
            data.write_folder(self._folder)

    def _exists(self) -> bool:
        return self._folder.exists(spark.session())

    def head(self, rows: int) -> pa.Table:
        """Return some rows."""
        return self._load().frame.limit(rows).toArrow()


class SparkEntityRowsDataset(PreviewsHead, local.EntityRowsDataset):
    """Entity rows in a CSV, TSV or Parquet file, or in a folder of Parquet files, read by Spark.

    The rules are those of ``EntityRowsDataset``: a file is checked by it, in one streamed pass here; a folder is
    checked by the same statements on Spark. What the rows become is worked out by the same SQL on the workers.
    """

    _SINGLE_PROCESS = True  # Kedro's sign that no other process can load it: ParallelRunner says so
    _on_spark: SparkEntityRows | None = None

    def check(self) -> None:
        """Check all rows now, once.

        Raises:
            RequestError: The rows can't be used; the message says which.
        """
        try:
            self._on_spark = self._on_spark or self._read()
        except AsofError as error:
            raise refusal(self._filepath, f"{error}.") from error

    def load(self) -> SparkEntityRows:  # type: ignore[override]  # rows of another kind
        """Return the checked rows; raises as ``check`` does."""
        self.check()
        assert self._on_spark is not None  # noqa: S101 - check() has set it or raised
        return self._on_spark

    def head(self, rows: int) -> pa.Table:
        """Return some rows."""
        return self.load().rows.limit(rows).toArrow()

    def _release(self) -> None:
        super()._release()
        self._on_spark = None

    def _read(self) -> SparkEntityRows:
        if _is_file(self._filepath):
            super().check()
            assert self._checked is not None  # noqa: S101 - check() has set it or raised
            return self._typed(raw_file(self._filepath, str(self._checked.file.path)), self._checked)
        with spark.explained(f"{self._filepath} can't be read"):
            return self._typed(read_parquet(spark.session(), self._filepath, REQUEST), None)

    def _typed(self, raw: DataFrame, checked: local.EntityRows | None) -> SparkEntityRows:
        def rules_of(source: SparkRequest) -> list[Rule]:
            rules = row_checks.rules_of(source, self._timestamp_column, self._key_columns, self._number_columns)
            require_plain(raw.columns, "the rows")
            return rules

        reading = read_by(self._filepath, raw, rules_of)
        source, rules = reading.source, reading.rules
        count = checked.row_count if checked else checked_count(source, raw, rules)
        if checked and checked.digest is not None:
            require_same_reading(source, raw, checked)
        filled = frozenset(rule.column for rule in rules)
        return SparkEntityRows(self._filepath, reading.rows, tuple(raw.columns), count, filled, checked)


def _is_file(path: str) -> bool:
    import fsspec

    system, inner = fsspec.core.url_to_fs(path)
    return not system.isdir(inner)
