"""A folder of Parquet files that Spark writes, with notes beside them, replaced as a whole.

Works on every file system that Spark's own connectors know. The rows are written to a hidden folder beside and renamed
into place; on object stores, which have no rename, that is a copy and a delete of each file.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pyspark.sql import DataFrame, SparkSession

_NOTES = "_driver_ranking.json"  # readers of Parquet folders leave out what begins with an underscore


@dataclass(frozen=True)
class ParquetFolder:
    """A folder of Parquet files.

    Attributes:
        path: A path or a URL of one of Spark's file systems; relative ones are those of Spark's default file system.
    """

    path: str

    def exists(self, spark: SparkSession) -> bool:
        """Tell whether there is anything at the path."""
        system, path = self._located(spark, self.path)
        return bool(system.exists(path))

    def read(self, spark: SparkSession) -> DataFrame:
        """Return the rows."""
        return spark.read.parquet(self.path)

    def notes(self, spark: SparkSession) -> dict[str, str]:
        """Return what was noted beside the rows; nothing if another program wrote them."""
        system, path = self._located(spark, f"{self.path}/{_NOTES}")
        if not system.exists(path):
            return {}
        stream = system.open(path)
        try:
            notes: dict[str, str] = json.loads(bytes(stream.readAllBytes()).decode())
        finally:
            stream.close()
        return notes

    def replace(
        self,
        rows: DataFrame,
        notes: Mapping[str, str] | None = None,
        check: Callable[[DataFrame], None] | None = None,
    ) -> None:
        """Write rows and put them in the place of the last ones.

        Args:
            rows: The rows.
            notes: Texts to keep beside them.
            check: Is given the rows as written, before they take the place of the last ones; may refuse by an error.
        """
        spark = rows.sparkSession
        system, target = self._located(spark, self.path)
        partial = f"{target.getParent()}/.{target.getName()}.{uuid.uuid4().hex}.tmp"
        try:
            rows.write.parquet(partial)
            _write_text(*self._located(spark, f"{partial}/{_NOTES}"), json.dumps(dict(notes or {}), indent=2))
            if check is not None:
                check(spark.read.parquet(partial))
            self._put_in_place(spark, system, partial)
        finally:
            system.delete(self._located(spark, partial)[1], True)  # noqa: FBT003 - Hadoop's signature: with what is in it

    def _put_in_place(self, spark: SparkSession, system: Any, partial: str) -> None:  # noqa: ANN401 - a Java object
        """Rename; between the two renames there is a moment without any rows, but never one with a part of them."""
        old = f"{partial.removesuffix('.tmp')}.old"
        target, previous = self._located(spark, self.path)[1], self._located(spark, old)[1]
        replaced = system.exists(target) and system.rename(target, previous)
        if not system.rename(self._located(spark, partial)[1], target):
            if replaced:
                system.rename(previous, target)
            message = f"The rows can't be put in place at {self.path}."
            raise OSError(message)
        if replaced:
            system.delete(previous, True)  # noqa: FBT003 - Hadoop's signature

    @staticmethod
    def _located(spark: SparkSession, path: str) -> tuple[Any, Any]:
        """Return Hadoop's file system of a path, and the path in it."""
        context = spark.sparkContext
        jvm: Any = context._jvm  # noqa: SLF001 - PySpark has no other way to Hadoop's file systems
        located = jvm.org.apache.hadoop.fs.Path(path)
        system = located.getFileSystem(context._jsc.hadoopConfiguration())  # noqa: SLF001 - likewise
        return system, system.makeQualified(located)


def _write_text(system: Any, path: Any, text: str) -> None:  # noqa: ANN401 - Java objects
    stream = system.create(path)
    try:
        stream.write(bytearray(text.encode()))
    finally:
        stream.close()
