"""Kedro datasets whose rows stay on Spark: a request, and folders of Parquet files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
from kedro.io import DatasetError
from kedro_datasets.spark.spark_dataset_v2 import SparkDatasetV2

from driver_ranking import spark
from driver_ranking.datasets import entity_rows as local
from driver_ranking.datasets.preview import PreviewsHead
from driver_ranking.datasets.request_files import FileSource, RequestSource
from driver_ranking.datasets.spark_workers import mapper, packed, selector
from driver_ranking.errors import FeatureStoreError, RequestError, SparkError
from driver_ranking.feature_store.extraction import ExtractedFeatures, completed
from feast_columnar.errors import AsofError
from feast_columnar.offline.rules import quoted
from feast_columnar.spark.folder import ParquetFolder, as_url, exactly
from feast_columnar.spark.rows import (
    arrow_schema,
    column,
    read_parquet,
    require_plain,
    require_visible,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyspark.sql import DataFrame

    from driver_ranking.scoring import BatchScorer, WrittenRows

_NOTES_FILE = "_driver_ranking.json"
_REQUEST = "the request"
_SHOWN = 5
_MALFORMED = "MALFORMED_RECORD"  # how Spark calls a line that does not fit the columns


# ---- Parquet folders -----------------------------------------------------------------------------------------------


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
            "offline_store is feast_columnar.spark.store.SparkAsofOfflineStore."
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


# ---- Requests ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SparkEntityRows:
    """Checked entity rows on Spark.

    Attributes:
        filepath: The file or folder they come from, as the user wrote it.
        rows: The rows: the event time in UTC, keys as 64-bit integers, other columns as they are.
        columns: The names of the columns.
        row_count: The number of rows.
    """

    filepath: str
    rows: DataFrame
    columns: tuple[str, ...]
    row_count: int


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
            message = f"{self._filepath}: {error}. Nothing was written."
            raise RequestError(message) from error

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
            return self._typed(_raw_file(self._filepath, str(self._checked.file.path)), self._checked)
        with spark.explained(f"{self._filepath} can't be read"):
            return self._typed(read_parquet(spark.session(), self._filepath, _REQUEST), None)

    def _typed(self, raw: DataFrame, checked: local.EntityRows | None) -> SparkEntityRows:
        """Apply the rules for the types that the rows have; they are worked out on no rows, and run on the workers."""
        from pyspark.sql.pandas.types import from_arrow_schema

        with local.connected() as connection:
            connection.register(_REQUEST, arrow_schema(raw).empty_table())
            source = _Frame(self._filepath, connection)
            rules = local.rules_of(source, self._timestamp_column, self._key_columns, self._number_columns)
            statement = local.select_typed(source, rules)
            schema = connection.execute(statement).to_arrow_table().schema
        require_plain(raw.columns, "the rows")
        count = checked.row_count if checked else _checked_count(source, raw, rules)
        if checked and checked.digest is not None:
            _require_same_reading(source, raw, checked)
        typed = raw
        if any(rule.value != quoted(rule.column) for rule in rules):
            typed = raw.mapInArrow(selector(statement, _REQUEST, schema), from_arrow_schema(schema))
        return SparkEntityRows(self._filepath, typed, tuple(raw.columns), count)


class _Frame(RequestSource):
    """Rows on Spark, as what the rules are worked out for: a name in DuckDB with their types."""

    is_parquet = True
    scan = quoted(_REQUEST)

    def __init__(self, filepath: str, connection: duckdb.DuckDBPyConnection) -> None:
        self.filepath = filepath
        described = connection.execute(f"DESCRIBE SELECT * FROM {self.scan}").fetchall()
        # Spark has 64-bit integers without a sign as decimals
        self.types = {str(name): str(kind).replace("DECIMAL(20,0)", "UBIGINT") for name, kind, *_ in described}


def _is_file(path: str) -> bool:
    import fsspec

    system, inner = fsspec.core.url_to_fs(path)
    return not system.isdir(inner)


def _raw_file(path: str, copy: str) -> DataFrame:
    """Read a checked file as its rules expect it: text, if it is CSV or TSV; `copy` is where it was checked."""
    from pyspark.sql import functions as sf

    session = spark.session()
    name = as_url(path)
    with duckdb.connect() as connection:
        source = FileSource(path, copy, connection)
    if source.is_parquet:
        return read_parquet(session, name, _REQUEST)
    require_visible(name, _REQUEST)
    text = ", ".join(f"`{column.replace('`', '``')}` string" for column in source.types)
    options: dict[str, bool | str] = {
        "header": True,
        "sep": source.separator,
        "quote": '"',
        "escape": '"',
        "mode": "FAILFAST",
    }
    frame = session.read.schema(text).options(**options).csv(exactly(name))
    # DuckDB takes quotes around nothing for nothing
    return frame.select(*(sf.nullif(column(one), sf.lit("")).alias(one) for one in frame.columns))


def _checked_count(source: _Frame, raw: DataFrame, rules: list[local.Rule]) -> int:
    """Return the number of rows, or refuse them and show some of those at fault."""
    counts = _summed(source, raw, local.counts_of(rules), 1 + 2 * len(rules))
    if sum(counts[1::2]):
        faults = "\n  ".join(_faulty_values(source, raw, rules))
        source.fail(f"{sum(counts[1::2])} value(s) at fault, some of the rows:\n  {faults}\n")
    return local.row_count_of(source, counts)


def _require_same_reading(source: _Frame, raw: DataFrame, checked: local.EntityRows) -> None:
    """Refuse text that was checked here, and that Spark reads otherwise."""
    with spark.explained(f"{source.filepath} can't be read"):
        try:
            found = _summed(source, raw, f"count(*), {local.digest_of(source.types)}", 2)
        except Exception as error:
            if _MALFORMED not in str(error):
                raise
            found = []
    if found != [checked.row_count, checked.digest]:
        source.fail(
            "Spark reads it otherwise. Line breaks within quotes, blanks before them and separators at the end of "
            "lines do that: use Parquet."
        )


def _summed(source: _Frame, raw: DataFrame, expressions: str, count: int) -> list[int]:
    """Return aggregates of the rows, summed over their batches on Spark."""
    from pyspark.sql import functions as sf

    names = [f"n{index}" for index in range(count)]
    statement = f"SELECT * FROM (SELECT {expressions} FROM {source.scan}) AS counted({', '.join(names)})"
    schema = pa.schema([(name, pa.int64()) for name in names])
    counted = raw.mapInArrow(selector(statement, _REQUEST, schema), ", ".join(f"{name} long" for name in names))
    return [int(total or 0) for total in counted.agg(*(sf.sum(name) for name in names)).collect()[0]]


def _faulty_values(source: _Frame, raw: DataFrame, rules: list[local.Rule]) -> list[str]:
    """Return some rows at fault, each with what is wrong in it."""
    texts = ", ".join(f"CAST({quoted(rule.column)} AS VARCHAR) AS {name}" for name, rule in _named(rules))
    faults = ", ".join(f"{rule.fault} AS fault_{name}" for name, rule in _named(rules))
    any_fault = " OR ".join(rule.fault for rule in rules)
    statement = f"SELECT {texts}, {faults} FROM {source.scan} WHERE {any_fault} LIMIT {_SHOWN}"
    names = [name for name, _ in _named(rules)]
    schema = pa.schema([*((name, pa.string()) for name in names), *((f"fault_{name}", pa.bool_()) for name in names)])
    columns = ", ".join([*(f"{name} string" for name in names), *(f"fault_{name} boolean" for name in names)])
    rows = raw.mapInArrow(selector(statement, _REQUEST, schema), columns).limit(_SHOWN).collect()
    return [_told(row[: len(rules)], row[len(rules) :], rules) for row in rows]


def _named(rules: list[local.Rule]) -> list[tuple[str, local.Rule]]:
    return [(f"value_{number}", rule) for number, rule in enumerate(rules)]


def _told(values: Sequence[str | None], faults: Sequence[bool], rules: list[local.Rule]) -> str:
    """Say what is wrong in a row, and which row it is by the values that are right."""
    read = list(zip(values, faults, rules, strict=True))
    wrong = [local.fault_of(rule, value) for value, at_fault, rule in read if at_fault]
    right = [f"{rule.column}={value}" for value, at_fault, rule in read if not at_fault]
    return "; ".join(wrong) + (f" ({', '.join(right)})" if right else "")
