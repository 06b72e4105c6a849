"""A folder of Parquet files that Spark writes, with notes beside them, replaced as a whole.

Works on every file system that Spark's own connectors know. The rows are written to a hidden folder beside, which then
takes the place of the last one: on a local file system of Linux by one exchange of both; else by two renames, between
which there is a moment without any rows, but never with a part of them. On object stores, which have no rename, that is
a copy and a delete of each file.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import threading
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pyspark.sql import DataFrame, SparkSession

GLOB = re.compile(r"([*?{}\[\]\\])")
_HAS_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_ADDRESS = re.compile(_HAS_SCHEME.pattern + "(//[^/]*)?")
_AT_WORKING_DIRECTORY, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux
_TASKS_END_WITHIN = 10  # seconds
_STALE_AFTER = 7 * 24 * 3600  # seconds
# Spark's default is a type of 96 bits that others read as a time without a zone
_TIMES = ("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")


def exactly(path: str) -> str:
    """Return a pattern of Hadoop's that matches exactly this path."""
    return GLOB.sub(r"\\\1", path)


def as_url(path: str) -> str:
    """Return the URL of a path; one without a scheme is of the local file system, as it is everywhere else."""
    return path if _HAS_SCHEME.match(path) else f"file://{Path(path).absolute()}"


def path_in(url: str) -> str:
    """Return the path in a URL; Spark and Hadoop write those of files with three slashes or with one."""
    address = _ADDRESS.match(url)
    return url[address.end() :] if address else url


def located(spark: SparkSession, path: str) -> tuple[Any, Any]:
    """Return Hadoop's file system of a path, and the path in it; both are Java objects."""
    context = spark.sparkContext
    jvm: Any = context._jvm  # noqa: SLF001 - PySpark has no other way to Hadoop's file systems
    there = jvm.org.apache.hadoop.fs.Path(as_url(path))
    system = there.getFileSystem(context._jsc.hadoopConfiguration())  # noqa: SLF001 - likewise
    return system, system.makeQualified(there)


@dataclass(frozen=True)
class ParquetFolder:
    """A folder of Parquet files.

    Attributes:
        path: A local path, or a URL of one of Spark's file systems.
        notes_file: What the file beside the rows is called; readers of Parquet folders leave out what begins with an
            underscore.
    """

    path: str
    notes_file: str = "_feast_columnar.json"

    def exists(self, spark: SparkSession) -> bool:
        """Tell whether there is anything at the path."""
        system, path = located(spark, self.path)
        return bool(system.exists(path))

    def read(self, spark: SparkSession) -> DataFrame:
        """Return the rows."""
        return spark.read.parquet(exactly(as_url(self.path)))

    def notes(self, spark: SparkSession) -> dict[str, str]:
        """Return what was noted beside the rows; nothing if another program wrote them."""
        system, path = located(spark, f"{self.path}/{self.notes_file}")
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

        Raises:
            OSError: There is a file, the folder can't be renamed, or another run has put one there meanwhile.
        """
        spark = rows.sparkSession
        place = _linked(self.path)
        system, target = located(spark, place)
        if system.exists(target) and not system.getFileStatus(target).isDirectory():
            message = f"There is a file at {self.path}, where a folder is to be. Remove it, or name another place."
            raise FileExistsError(message)
        hidden = f"{target.getParent()}/.{target.getName()}"
        partial = f"{hidden}.{uuid.uuid4().hex}.tmp"
        try:
            with setting(spark, *_TIMES):
                rows.write.parquet(partial)
            _write_text(*located(spark, f"{partial}/{self.notes_file}"), json.dumps(dict(notes or {}), indent=2))
            if check is not None:
                check(spark.read.parquet(exactly(partial)))
            if not _exchanged(partial, place):
                _put_in_place(spark, partial, place)
        except BaseException as error:
            # If this thread was interrupted, its connection to Java may be amid an answer, and PySpark's own attempt to
            # cancel what runs has failed for that.
            interrupted = not isinstance(error, Exception)
            removing = threading.Thread(target=_remove_unfinished, args=(spark, partial, interrupted), daemon=True)
            removing.start()
            removing.join()
            raise
        _remove(spark, partial)
        _remove_stale(spark, f"{exactly(hidden)}.*.tmp")


def _linked(path: str) -> str:
    """Return the URL of what a symbolic link on the local file system leads to, else of the path itself."""
    url = as_url(path)
    return f"file://{os.path.realpath(path_in(url))}" if url.startswith("file:") else url


def _exchanged(partial: str, place: str) -> bool:
    """Exchange both folders, if both are there and the operating system can."""
    if not place.startswith("file:"):
        return False
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    here, there = (os.fsencode(path_in(one)) for one in (partial, place))
    at = _AT_WORKING_DIRECTORY
    return rename is not None and rename(at, here, at, there, _EXCHANGE) == 0


def _put_in_place(spark: SparkSession, partial: str, place: str) -> None:
    """Move what is there aside, and the new folder to its place."""
    old = f"{partial.removesuffix('.tmp')}.old"
    (system, target), (_, previous), (_, written) = (located(spark, one) for one in (place, old, partial))
    replaced = system.exists(target) and system.rename(target, previous)
    # onto a folder that is there, Hadoop would move it into that
    if system.exists(target) or not _moved(system, written, target):
        if replaced and not system.exists(target):
            system.rename(previous, target)
        message = f"The rows can't be put in place at {place}."
        raise OSError(message)
    if replaced:
        _remove(spark, old)


def _remove(spark: SparkSession, path: str) -> None:
    system, there = located(spark, path)
    system.delete(there, True)  # noqa: FBT003 - Hadoop's signature: with what is in it


def _remove_unfinished(spark: SparkSession, path: str, interrupted: bool) -> None:  # noqa: FBT001 - a thread's function
    """Remove a folder once no task runs any more that would make it again."""
    if interrupted:
        spark.sparkContext.cancelAllJobs()
    tracker = spark.sparkContext._jsc.sc().statusTracker()  # noqa: SLF001 - PySpark's has less
    end = time.monotonic() + _TASKS_END_WITHIN
    while any(one.numRunningTasks() for one in tracker.getExecutorInfos()) and time.monotonic() < end:
        time.sleep(0.1)
    _remove(spark, path)


def _remove_stale(spark: SparkSession, pattern: str) -> None:
    """Remove what killed runs left: folders that are too old to be those of a run that still goes on."""
    system, there = located(spark, pattern)
    for found in system.globStatus(there) or ():
        if time.time() - found.getModificationTime() / 1000 > _STALE_AFTER:
            system.delete(found.getPath(), True)  # noqa: FBT003 - Hadoop's signature


def _moved(system: Any, path: Any, target: Any) -> bool:  # noqa: ANN401 - Java objects
    """Rename; some of Hadoop's file systems say no by their answer, some by an error."""
    from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]

    try:
        return bool(system.rename(path, target))
    except Py4JJavaError:
        return False


@contextmanager
def setting(spark: SparkSession, name: str, value: str) -> Iterator[None]:
    """Give one of Spark's settings another value for a while."""
    before = spark.conf.get(name)
    spark.conf.set(name, value)
    try:
        yield
    finally:
        spark.conf.set(name, before or value)


def _write_text(system: Any, path: Any, text: str) -> None:  # noqa: ANN401 - Java objects
    stream = system.create(path)
    try:
        stream.write(bytearray(text.encode()))
    finally:
        stream.close()
