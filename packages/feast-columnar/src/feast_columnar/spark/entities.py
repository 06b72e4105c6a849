"""Entity rows of every kind as a frame of Spark's, typed as by the local store."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from feast_columnar.errors import AsofError
from feast_columnar.offline.engine import ENTITIES, explained
from feast_columnar.offline.entities import SQL_START, TimeRange
from feast_columnar.offline.messages import listed
from feast_columnar.offline.rows import require_distinct, require_few_columns
from feast_columnar.spark.rows import read_parquet, spark_explained

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyspark.sql import DataFrame, SparkSession


def entity_frame(spark: SparkSession, entities: Any) -> DataFrame:  # noqa: ANN401 - Feast's union, and Spark's frames
    """Return entity rows of any supported kind as a frame.

    Raises:
        AsofError: They can't be read, or the query is wrong.
    """
    from pyspark.sql import DataFrame

    if isinstance(entities, DataFrame):
        return entities
    if isinstance(entities, pd.DataFrame):
        with explained(f"{ENTITIES} cannot be converted to Arrow"):
            entities = pa.Table.from_pandas(entities, preserve_index=False)
    if isinstance(entities, pa.Table):
        require_distinct(entities.column_names, ENTITIES)
        return spark.createDataFrame(_with_known_types(entities))
    if is_sql(entities):
        with spark_explained("Spark could not run the query"):
            return spark.sql(str(entities).rstrip().rstrip(";"))
    return read_parquet(spark, os.fspath(entities), ENTITIES)


def _with_known_types(table: pa.Table) -> pa.Table:
    """Widen Arrow types that Spark lacks: unsigned integers, and times that are not in microseconds."""
    return table.cast(pa.schema([item.with_type(_known_type(item.type)) for item in table.schema]), safe=False)


def _known_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_unsigned_integer(kind):
        return pa.decimal128(20, 0) if kind.bit_width == 64 else pa.int64()  # noqa: PLR2004 - bits
    return pa.timestamp("us", kind.tz) if pa.types.is_timestamp(kind) else kind


def check_entities(entities: object) -> None:
    """Refuse entity rows of a kind that is not supported.

    Raises:
        AsofError: They are of such a kind.
    """
    kinds: list[type] = [pd.DataFrame, pa.Table, str, os.PathLike, TimeRange]
    if not isinstance(entities, tuple(kinds)) and not is_spark_frame(entities):
        message = (
            f"entity rows of type {type(entities).__name__} are not supported; give a Spark or pandas DataFrame, a "
            "pyarrow Table, Spark SQL, or the path or URL of Parquet files"
        )
        raise AsofError(message)


def require_plain(names: Iterable[str], what: str) -> None:
    """Refuse names that PySpark itself can't hand over to Python workers, and more of them than can be joined.

    Raises:
        AsofError: There are some.
    """
    names = list(names)
    require_few_columns(len(names), what)
    unfit = [name for name in names if "." in name or "`" in name or name == "*"]
    if unfit:
        message = (
            f"{what} would have a column {listed(unfit)}; "
            "PySpark takes none with a dot or a backtick, nor '*': rename it"
        )
        raise AsofError(message)


def is_sql(entities: object) -> bool:
    """Tell whether entity rows are given as a query."""
    return isinstance(entities, str) and SQL_START.match(entities) is not None


def is_spark_frame(entities: object) -> bool:
    """Tell whether entity rows are a frame of Spark's, without loading Spark."""
    return type(entities).__module__.startswith("pyspark.sql") and hasattr(entities, "mapInArrow")
