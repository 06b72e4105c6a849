"""Rows of Parquet files that Spark can read, typed and numbered as by the local store."""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from feast_columnar.errors import AsofError
from feast_columnar.offline.engine import RESERVED, ROW_NUMBER
from feast_columnar.offline.messages import reason
from feast_columnar.offline.parquet import MAX_ROWS_PER_FILE, refuse_tables
from feast_columnar.offline.rows import require_distinct
from feast_columnar.spark.folder import GLOB, as_url, exactly, located, path_in, setting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pyarrow as pa
    from pyspark.sql import Column, DataFrame, DataFrameReader, SparkSession
    from pyspark.sql.types import StructType

_FILE, _LISTED, _FIRST = (f"{RESERVED}{what}" for what in ("file", "listed file", "first row"))
_METADATA = "metadata"
_ANY = "any int"  # a schema to list files with: they are not opened
_HIDDEN = re.compile(r"(^|/)[_.]")
_PARTITION = re.compile(r"(?:^|/)([^/=]+)=([^/]*)(?=/)")
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
_KINDS = {"bigint": re.compile(r"-?\d{1,18}"), "date": re.compile(r"\d{4}-\d\d-\d\d")}
_CANNOT_MERGE = "CANNOT_MERGE_SCHEMAS"
_WIDER = (("tinyint", "smallint", "int", "bigint"), ("tinyint", "smallint", "int", "double"), ("float", "double"))
_SLASHES = re.compile(r"^file:/+")
_FEW_FILES = 8
_TIMES = {"true": "timestamp", "false": "timestamp_ntz"}  # by whether they are in UTC
_OWN_ERROR = re.compile(r"AsofError: (.+)")
_NANOSECONDS = re.compile(r"^  \w+ int64 (.+) \(TIMESTAMP\(NANOS,(true|false)\)\)", re.MULTILINE)


def column(name: str) -> Column:
    """Return the column of exactly this name."""
    from pyspark.sql import functions as sf

    return sf.col("`" + name.replace("`", "``") + "`")


@contextmanager
def spark_explained(what: str) -> Iterator[None]:
    """Turn an error of Spark, or of Java, into one that starts with what failed.

    Raises:
        AsofError: For any of them.
    """
    from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        said = str(error.java_exception.toString() if isinstance(error, Py4JJavaError) else error)
        if from_worker := _OWN_ERROR.search(said):
            raise AsofError(from_worker[1]) from error
        message = f"{what}: {' '.join(line.strip() for line in reason(said).splitlines()[:2])}"
        raise AsofError(message) from error


def arrow_schema(frame: DataFrame) -> pa.Schema:
    """Return the Arrow types in which a frame's rows reach Python."""
    from pyspark.sql.pandas.types import to_arrow_schema

    return to_arrow_schema(frame.schema, timezone="UTC")


def _parquet_frame(spark: SparkSession, path: str, what: str) -> DataFrame:
    """Read Parquet files as the local store does: hidden ones are out, columns merged, nanoseconds become integers."""
    if "**" in path:
        message = f"{what} cannot be read: Spark's file systems do not know ** in '{path}'; name the folder"
        raise AsofError(message)
    # else Spark refuses what pandas writes
    with spark_explained(f"{what} cannot be read"), setting(spark, "spark.sql.legacy.parquet.nanosAsLong", "true"):
        frame = _found(spark, as_url(path), what).frame(spark, what)
    require_distinct(frame.columns, what)
    return frame


@dataclass(frozen=True)
class _Files:
    """Parquet files, as Spark's reader takes them.

    Attributes:
        patterns: Where they are.
        options: Options of the reader.
        partitions: Columns that Spark does not find in the names of the folders, made of a file's path.
    """

    patterns: tuple[str, ...]
    options: Mapping[str, str] = field(default_factory=dict)
    partitions: Mapping[str, Callable[[Column], Column]] = field(default_factory=dict)

    def frame(self, spark: SparkSession, what: str) -> DataFrame:
        """Return the rows, with the columns of all files and folders."""
        frame = self._of_files(spark, what)
        return frame.withColumns({name: value(_file_of(frame)) for name, value in self.partitions.items()})

    def _of_files(self, spark: SparkSession, what: str) -> DataFrame:
        from py4j.protocol import Py4JJavaError

        reader = spark.read.options(mergeSchema="true", **self.options)
        try:
            return reader.parquet(*self.patterns)
        except Py4JJavaError as error:
            if _CANNOT_MERGE not in str(error):
                raise
        found = sorted(_listed_files(spark, *self.patterns, **self.options))
        files = [exactly(file) for file in found if _row_count(spark, file)] or list(map(exactly, found))
        schema = _merged_schema(reader, files, what)
        return spark.read.options(**self.options).schema(schema).parquet(*files)


def _found(spark: SparkSession, path: str, what: str) -> _Files:
    system, there = located(spark, path)
    if system.exists(there):
        if not system.getFileStatus(there).isDirectory():
            require_visible(path, what)
            return _Files((exactly(path),))
        refuse_tables(_entries(system, there), path, what)
        base, every = str(there.toString()), _listed_files(spark, exactly(path))
        # of all files: Spark looks for partitions where others are as well
        asked = [file for file in every if file.endswith(".parquet")]
    elif GLOB.search(path):
        base, every = GLOB.split(path)[0].rpartition("/")[0], []  # of a pattern, files are always named
        # folders match as well
        asked = [file for file in _listed_files(spark, path) if path_in(file).count("/") == path_in(path).count("/")]
    else:
        return _Files((exactly(path),))  # Spark says that it is not there
    seen = [file for file in asked if not _HIDDEN.search(_within(file, base))]
    if not seen:
        message = f"{what}: no Parquet file at '{path}'"
        raise AsofError(message)
    return _arranged(seen, base, _Files((exactly(path),) if len(seen) == len(every) else tuple(map(exactly, seen))))


def _entries(system: Any, folder: Any) -> set[str]:  # noqa: ANN401 - Java objects
    """Return what is in a folder, and what is in the folder ``metadata`` in it."""
    paths = {str(status.getPath().getName()): status.getPath() for status in system.listStatus(folder)}
    below = system.listStatus(paths[_METADATA]) if _METADATA in paths else []
    return {*paths, *(f"{_METADATA}/{status.getPath().getName()}" for status in below)}


def _listed_files(spark: SparkSession, *patterns: str, **options: str) -> list[str]:
    """List files in folders at any depth; Spark leaves out most hidden ones."""
    frame = spark.read.options(**{**options, "recursiveFileLookup": "true"}).schema(_ANY).parquet(*patterns)
    return [unquote(file) for file in frame.inputFiles()]


def _within(file: str, base: str) -> str:
    """Return a file's path in its folder."""
    return path_in(file).removeprefix(path_in(base).rstrip("/") + "/")


def require_visible(path: str, what: str) -> None:
    """Refuse a file that Spark takes for hidden, and would find no rows in.

    Raises:
        AsofError: It is one.
    """
    if _HIDDEN.match(path.rpartition("/")[2]):
        message = f"{what} cannot be read: to Spark, a name that begins with _ or a dot is hidden; rename '{path}'"
        raise AsofError(message)


def _arranged(files: Sequence[str], base: str, asked: _Files) -> _Files:
    """Take folders as partitions where all files are in such of the same names.

    That is how DuckDB has it. Spark would leave out files where only some are in partitions, and wants no other folders
    above or between.
    """
    found = [_PARTITION.findall(_within(file, base)) for file in files]
    names = {tuple(name for name, _ in pairs) for pairs in found}
    folders = {part for file in files for part in _within(file, base).split("/")[:-1]}
    known = all("=" in part for part in folders) and all(len(set(one)) == len(one) for one in names)
    if len(names) == 1 and known:
        return replace(asked, options={**asked.options, "basePath": base})
    values = [dict(reversed(pairs)) for pairs in found] if len(names) == 1 else [{}]  # of equal names the outer one
    partitions = {name: _partition(base, name, _kind({one[name] for one in values})) for name in values[0]}
    return replace(asked, options={**asked.options, "recursiveFileLookup": "true"}, partitions=partitions)


def _kind(values: set[str]) -> str:
    values = values - {_NO_VALUE}
    fits = [kind for kind, pattern in _KINDS.items() if values and all(map(pattern.fullmatch, values))]
    return fits[0] if fits else "string"


def _file_of(frame: DataFrame) -> Column:
    """Return the path of a row's file, whatever the columns of the files are called."""
    return frame.metadataColumn("_metadata")["file_path"]


def _partition(base: str, name: str, kind: str) -> Callable[[Column], Column]:
    """Return what finds the value in the name of a file's folder, the first of this name below another folder."""
    from pyspark.sql import functions as sf

    def value(file: Column) -> Column:
        path = sf.url_decode(sf.replace(file, sf.lit("+"), sf.lit("%2B")))  # in a URL, a plus is a plus
        found = sf.regexp_extract(path, f"{re.escape(path_in(base))}/(?:.*?/)??{re.escape(name)}=([^/]*)/", 1)
        return sf.nullif(found, sf.lit(_NO_VALUE)).cast(kind)

    return value


def _row_count(spark: SparkSession, file: str) -> int:
    with _footer(spark, quote(file, safe="/:")) as footer:
        return int(footer.getRecordCount())


def _merged_schema(reader: DataFrameReader, files: Sequence[str], what: str) -> StructType:
    """Merge what Spark does not: columns with numbers of several types. It reads each as the widest of them."""
    from py4j.protocol import Py4JJavaError

    if len(files) == 1:
        return reader.parquet(*files).schema
    with suppress(Py4JJavaError):
        return reader.parquet(*files).schema
    middle = len(files) // 2
    first, second = (_merged_schema(reader, half, what) for half in (files[:middle], files[middle:]))
    return _widest(first, second, what)


def _widest(first: StructType, second: StructType, what: str) -> StructType:
    from pyspark.sql.types import StructType

    merged = {one.name: one for one in second} | {one.name: one for one in first}
    for one in second:
        kinds = [merged[one.name].dataType.simpleString(), one.dataType.simpleString()]
        if kinds[0] != kinds[1]:
            wider = [order for order in _WIDER if set(kinds) <= set(order)]
            if not wider:
                message = (
                    f"{what} cannot be read: the column '{one.name}' has the type {kinds[0]} in some files and "
                    f"{kinds[1]} in others; write it with one type"
                )
                raise AsofError(message)
            merged[one.name] = max(merged[one.name], one, key=lambda it: wider[0].index(it.dataType.simpleString()))
    names = dict.fromkeys([*first.names, *second.names])
    return StructType([merged[name] for name in names])


def _with_microseconds(frame: DataFrame) -> DataFrame:
    """Make times of nanoseconds, which Spark reads as integers, as the footers of files tell."""
    files = frame.inputFiles()
    integers = {name for name, kind in frame.dtypes if kind == "bigint"}
    if not files or not integers:
        return frame
    from pyspark.sql import functions as sf

    kinds = _nanosecond_columns(frame.sparkSession, files, integers)
    # whole microseconds, towards zero as DuckDB has them, in integers: floating point would lose some
    micros = {name: sf.call_function("div", column(name), sf.lit(1000)) for name in kinds}
    return frame.withColumns({name: sf.timestamp_micros(one).cast(kinds[name]) for name, one in micros.items()})


def _nanosecond_columns(spark: SparkSession, files: Sequence[str], integers: set[str]) -> dict[str, str]:
    """Return which columns are times of nanoseconds, and their types in Spark, by the first file that has them each."""
    found: dict[str, str] = {}
    unseen = set(integers)
    for file in files:
        if not unseen:
            break
        with _footer(spark, file) as footer:
            schema = footer.getFileMetaData().getSchema()
            here = {name for name in unseen if schema.containsField(name)}
            times = dict(_NANOSECONDS.findall(schema.toString()))
            found |= {name: _TIMES[times[name]] for name in here & set(times)}
            unseen -= here
    return found


@contextmanager
def _footer(spark: SparkSession, file: str) -> Iterator[Any]:
    """Open a Parquet file's footer, a Java object: Spark hands over neither all types nor the number of rows."""
    context = spark.sparkContext
    jvm: Any = context._jvm  # noqa: SLF001 - PySpark has no other way to Hadoop's file systems
    path = jvm.org.apache.hadoop.fs.Path(jvm.java.net.URI(file))
    conf = context._jsc.hadoopConfiguration()  # noqa: SLF001 - likewise
    opened = jvm.org.apache.parquet.hadoop.util.HadoopInputFile.fromPath(path, conf)
    footer = jvm.org.apache.parquet.hadoop.ParquetFileReader.open(opened)
    try:
        yield footer
    finally:
        footer.close()


def rows_of_files(frame: DataFrame) -> int | None:
    """Return the number of rows in the files of a frame as their footers tell, None if these are many to open."""
    files = frame.inputFiles()
    if len(files) > _FEW_FILES:
        return None
    rows = 0
    for file in files:
        with _footer(frame.sparkSession, file) as footer:
            rows += int(footer.getRecordCount())
    return rows


def read_parquet(spark: SparkSession, path: str, what: str) -> DataFrame:
    """Read a Parquet file, folder or pattern on one of Spark's file systems; `what` names it in errors.

    Raises:
        AsofError: It can't be read.
    """
    return _with_microseconds(_parquet_frame(spark, path, what))


def numbered_source(spark: SparkSession, path: str, what: str) -> DataFrame:
    """Read a source and number its rows like the local store: through the files by their names, then by position."""
    from pyspark.sql import functions as sf

    frame = _parquet_frame(spark, path, what)
    row = frame.metadataColumn("_metadata")["row_index"]
    files = sorted(frame.inputFiles(), key=unquote)
    if len(files) < 2:  # noqa: PLR2004 - there is no order among one
        return _with_microseconds(frame.withColumn(ROW_NUMBER, row))
    firsts = [(_SLASHES.sub("file:/", file), number * MAX_ROWS_PER_FILE) for number, file in enumerate(files)]
    numbers = sf.broadcast(spark.createDataFrame(firsts, f"`{_LISTED}` string, `{_FIRST}` long"))
    file = sf.regexp_replace(_file_of(frame), _SLASHES.pattern, "file:/")
    placed = frame.withColumns({ROW_NUMBER: row, _FILE: file})
    joined = placed.join(numbers, column(_FILE) == column(_LISTED), "left")
    unknown = sf.raise_error(sf.concat(sf.lit("a file that was not listed: "), column(_FILE))).cast("bigint")
    number = sf.coalesce(column(_FIRST), unknown) + column(ROW_NUMBER)
    return _with_microseconds(joined.select(*map(column, frame.columns), number.alias(ROW_NUMBER)))
