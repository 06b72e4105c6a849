"""Rows that DuckDB can read: Parquet sources and entity rows of every kind, local or through fsspec.

Nothing here loads rows: a source or the entity rows become a table expression, with its columns looked up and the
columns that number its rows.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as pds

from feast_columnar.offline.engine import (
    ENTITIES,
    ROW_NUMBER,
    URL_SCHEME,
    WILDCARD,
    AsofError,
    Engine,
    Relation,
    exact_pattern,
    explained,
)
from feast_columnar.offline.messages import listed, shown
from feast_columnar.offline.rules import ISO_TIME, literal, quoted
from feast_columnar.offline.schemas import file_schemas, one_table, require_own_names, require_readable
from feast_columnar.offline.text_files import TextFileError, header_line, header_names, require_few, uneven_ends

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

_EVENT_TIME = "event_timestamp"
MAX_ROWS_PER_FILE = 2**40
SQL_START = re.compile(r"([\s(]|--[^\n]*\n|/\*.*?\*/)*(select|with|from)([\s(\"'*]|--|/\*)", re.IGNORECASE | re.DOTALL)
_FILE_NUMBERS = {"file_index", "file_row_number"}  # DuckDB's columns, unless a file has such
_TABLES = {"_delta_log": "Delta", ".hoodie": "Hudi", "metadata/*.metadata.json": "Iceberg"}
_METADATA = "metadata"
_CSV_SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
_PARQUET_SUFFIXES = (".parquet", ".pq")
_SEPARATORS = ",\t;|"


def parquet_relation(engine: Engine, path: str, what: str) -> Relation:
    """Read a Parquet file, folder, glob or hive-partitioned folder, local or remote."""
    engine.mount(path, what)
    path = path.removeprefix("file://")
    if _is_file(path):
        # One file is what its columns say, whatever the folders above it are called.
        return _parquet_files(engine, [path], what, "hive_partitioning = false")
    base, files = _found(engine, path, what)
    if not files:
        message = f"{what}: no Parquet file at '{path}'"
        raise AsofError(message)
    inner = {_partitions(_parts(file)[len(base) : -1]) for file in files}
    if len(inner) > 1 or inner == {()}:
        return _parquet_files(engine, files, what, "union_by_name = true, hive_partitioning = false")
    outer = set(_partitions(base))
    if both := sorted(outer.intersection(*inner)):
        message = f"{what} cannot be read: '{path}' is in a folder that is called like its partitions, {listed(both)}"
        raise AsofError(message)
    return _parquet_files(engine, files, what, "union_by_name = true, hive_partitioning = true", outer)


def _partitions(folders: Iterable[str]) -> tuple[str, ...]:
    return tuple(folder.partition("=")[0] for folder in folders if "=" in folder)


def _found(engine: Engine, path: str, what: str) -> tuple[tuple[str, ...], list[str]]:
    """List files, but not those that a writer has not finished or wants hidden; and the folder that they are below."""
    if _is_folder(path):
        refuse_tables(_entries(path), path, what)
        base = _parts(path)
        found = engine.glob(f"{exact_pattern(path.rstrip('/'))}/**/*.parquet", what)
    else:
        base = _parts(WILDCARD.split(path)[0].rpartition("/")[0])
        found = engine.glob(path, what)
    return base, [file for file in found if not any(part.startswith(("_", ".")) for part in _parts(file)[len(base) :])]


def _entries(folder: str) -> set[str]:
    """Return what is in a folder, and what is in the folder ``metadata`` in it."""
    system, path = fsspec.core.url_to_fs(folder)
    names = {PurePosixPath(name).name for name in system.ls(path, detail=False)}
    if _METADATA in names:
        below = system.ls(f"{path.rstrip('/')}/{_METADATA}", detail=False)
        names |= {f"{_METADATA}/{PurePosixPath(name).name}" for name in below}
    return names


def refuse_tables(names: Iterable[str], folder: str, what: str) -> None:
    """Refuse a folder whose files are those of a table format: some of them hold rows that were removed.

    Args:
        names: What is in the folder, and in the folder ``metadata`` in it.
        folder: The folder.
        what: What is read, as an error begins.

    Raises:
        AsofError: It is a Delta, Iceberg or Hudi table.
    """
    kinds = sorted({kind for name in names for sign, kind in _TABLES.items() if fnmatchcase(name, sign)})
    if kinds:
        message = (
            f"{what} cannot be read: '{folder}' is a table of {kinds[0]}, whose Parquet files also hold rows that were "
            "removed; export its current rows to Parquet"
        )
        raise AsofError(message)


def _is_file(path: str) -> bool:
    if not URL_SCHEME.match(path):
        return Path(path).is_file()
    system, inner = fsspec.core.url_to_fs(path)
    return bool(system.isfile(inner))


def _is_folder(path: str) -> bool:
    if not URL_SCHEME.match(path):
        return Path(path).is_dir()
    system, inner = fsspec.core.url_to_fs(path)
    return bool(system.isdir(inner))


def _parts(path: str) -> tuple[str, ...]:
    return PurePosixPath(URL_SCHEME.sub("", path).strip("/")).parts


def _parquet_files(
    engine: Engine, files: Sequence[str], what: str, option: str, without: Iterable[str] = ()
) -> Relation:
    schemas = file_schemas(files, what)
    for one in schemas:
        require_readable(one.schema, f"{what} cannot be read: '{one.path}'")
    listed_files = ", ".join(literal(exact_pattern(file)) for file in one_table(schemas, what))
    left_out = ", ".join(map(quoted, sorted(without)))
    rows = f"* EXCLUDE ({left_out})" if left_out else "*"
    names = {name.casefold() for one in schemas for name in one.schema.names}
    if names & _FILE_NUMBERS or any(
        folder.casefold() in _FILE_NUMBERS for file in files for folder in _partitions(_parts(file))
    ):
        return engine.numbered(f"(SELECT {rows} FROM read_parquet([{listed_files}], {option}))", what)
    # One number that rises through the files: sorting by one column takes less memory than by two.
    number = f"file_index::BIGINT * {MAX_ROWS_PER_FILE} + file_row_number AS {quoted(ROW_NUMBER)}"
    return engine.relation(
        f"(SELECT {rows}, {number} FROM read_parquet([{listed_files}], {option}))", what, (ROW_NUMBER,)
    )


def with_instants(engine: Engine, relation: Relation, names: Iterable[str]) -> Relation:
    """Make timestamps of time columns that are given as text or date."""
    casts = {}
    for name in names:
        kind = relation.columns[name]
        if kind == "VARCHAR":
            _require_times(engine, relation, name)
            casts[name] = "TIMESTAMP WITH TIME ZONE"
        elif kind == "DATE":
            casts[name] = "TIMESTAMP"
        elif not kind.startswith("TIMESTAMP"):
            message = f"{relation.what}: column '{name}' holds {kind}, not a time; make it a timestamp"
            raise AsofError(message)
    if not casts:
        return relation
    replaced = ", ".join(f"CAST({quoted(name)} AS {kind}) AS {quoted(name)}" for name, kind in casts.items())
    sql = f"(SELECT * REPLACE ({replaced}) FROM {relation.sql})"
    return replace(relation, sql=sql, columns=relation.columns | casts)


def _require_times(engine: Engine, relation: Relation, name: str) -> None:
    column = quoted(name)
    iso = f"regexp_full_match({column}, {literal(ISO_TIME)})"
    bad = engine.execute(
        f"SELECT {column} FROM {relation.sql} "
        f"WHERE {column} IS NOT NULL AND (TRY_CAST({column} AS TIMESTAMPTZ) IS NULL OR NOT {iso}) LIMIT 1",
    ).fetchone()
    if bad:
        message = (
            f"{relation.what}: '{shown(bad[0])}' in column '{name}' is not a time; write 2026-01-31T12:00:00+00:00"
        )
        raise AsofError(message)


@dataclass(frozen=True)
class TimeRange:
    """Instead of entity rows: every entity seen in a range of event times, as of its end."""

    start: datetime
    end: datetime


def check_entities(entities: object) -> None:
    """Refuse entity rows of a kind that can't be read."""
    kinds = (pd.DataFrame, pa.Table, pa.RecordBatch, pds.Dataset, str, os.PathLike, TimeRange)
    if not isinstance(entities, kinds):
        message = (
            f"entity rows of type {type(entities).__name__} are not supported; give a pandas DataFrame, a pyarrow "
            "Table or Dataset, the path or URL of a Parquet or CSV file, or DuckDB SQL"
        )
        raise AsofError(message)


def entity_relation(engine: Engine, entities: Any, *, in_order: bool) -> Relation:  # noqa: ANN401  # Feast's union
    """Read entity rows, with numbers for their order if it matters."""
    relation = _entity_rows(engine, entities, in_order=in_order)
    require_few_columns(len(relation.columns), ENTITIES)
    return relation


def _entity_rows(engine: Engine, entities: Any, *, in_order: bool) -> Relation:  # noqa: ANN401  # Feast's union
    if isinstance(entities, pd.DataFrame):
        with explained(f"{ENTITIES} cannot be converted to Arrow"):
            entities = pa.Table.from_pandas(entities, preserve_index=False)
    if isinstance(entities, pa.RecordBatch):
        entities = pa.Table.from_batches([entities])
    if isinstance(entities, pa.Table):
        return _entity_table(engine, entities, in_order=in_order)
    if isinstance(entities, pds.Dataset):
        return _entity_dataset(engine, entities, in_order=in_order)
    if isinstance(entities, str) and SQL_START.match(entities):
        engine.mount(entities, ENTITIES)
        return replace(_rows(engine, f"(\n{entities.rstrip().rstrip(';')}\n)", in_order=in_order), is_text=True)
    return _entity_file(engine, os.fspath(entities), in_order=in_order)


def _rows(engine: Engine, sql: str, *, in_order: bool) -> Relation:
    return engine.numbered(sql, ENTITIES) if in_order else engine.relation(sql, ENTITIES)


def _entity_table(engine: Engine, table: pa.Table, *, in_order: bool) -> Relation:
    require_distinct(table.column_names, ENTITIES)
    if in_order:
        table = table.append_column(ROW_NUMBER, pa.array(np.arange(table.num_rows)))
    return engine.relation(engine.register(table), ENTITIES, (ROW_NUMBER,) if in_order else ())


def _entity_dataset(engine: Engine, dataset: pds.Dataset, *, in_order: bool) -> Relation:
    require_distinct(dataset.schema.names, ENTITIES)
    if _is_plain_parquet(dataset):
        return _parquet_files(engine, dataset.files, ENTITIES, "hive_partitioning = false")
    return _rows(engine, engine.register(dataset), in_order=in_order)


def _is_plain_parquet(dataset: pds.Dataset) -> bool:
    """Say whether DuckDB's own reader, which is faster and knows the rows' numbers, gives the data set's rows."""
    return bool(
        isinstance(dataset, pds.FileSystemDataset)
        and isinstance(dataset.format, pds.ParquetFileFormat)
        and isinstance(dataset.filesystem, pa.fs.LocalFileSystem)
        and dataset.files
        and not dataset._scan_options  # noqa: SLF001  # the only trace of Dataset.filter
        and all(_is_whole(fragment, dataset.schema) for fragment in dataset.get_fragments())
    )


def _is_whole(fragment: pds.ParquetFileFragment, schema: pa.Schema) -> bool:
    """Say whether a part of a data set is a whole file, with the data set's columns."""
    whole = len(fragment.row_groups) == fragment.metadata.num_row_groups
    return bool(whole and fragment.physical_schema.equals(schema))


def _entity_file(engine: Engine, path: str, *, in_order: bool) -> Relation:
    name = path.lower()
    if name.endswith(_CSV_SUFFIXES):
        engine.mount(path, ENTITIES)
        scan = f"(SELECT * FROM {_csv_scan(engine, path)})"
        return replace(_rows(engine, scan, in_order=in_order), is_text=True)
    if name.endswith(_PARQUET_SUFFIXES) or _is_folder(path):
        return parquet_relation(engine, path, ENTITIES)
    message = (
        f"{ENTITIES}: '{path}' is neither a Parquet (.parquet) nor a CSV (.csv, .tsv) file, nor DuckDB SQL, "
        "which begins with SELECT, WITH or FROM, or with a comment: -- to the end of a line, or between /* and */"
    )
    raise AsofError(message)


def _csv_scan(engine: Engine, path: str) -> str:
    """Return the call that reads a CSV file, or say what is wrong with the file."""
    name, what = literal(exact_pattern(path) if _is_file(path) else path), f"{ENTITIES}: '{path}'"
    if not _is_file(path):
        return _sniffed_scan(engine, name, what)
    try:
        header = header_line(path)
        header_names(header, max(_SEPARATORS, key=header.count))
        return _sniffed_scan(engine, name, what)
    except TextFileError as error:
        message = f"{what}: {error}"
        raise AsofError(message) from error
    except AsofError as error:
        if fault := uneven_ends(path, str(error)):
            message = f"{what}: {fault}"
            raise AsofError(message) from error
        raise


def _sniffed_scan(engine: Engine, name: str, what: str) -> str:
    """Return the call, if the names are told apart, and what are times to DuckDB are ISO 8601."""
    sniffed = engine.execute(f"SELECT Delimiter, Quote, Escape, SkipRows, HasHeader FROM sniff_csv({name})").fetchone()
    *marks, skip, header = sniffed or ("", "", "", 0, False)
    if header:
        given = ("" if mark == "(empty)" else str(mark) for mark in marks)
        options = ", ".join(
            f"{mark}={literal(it)}" for mark, it in zip(("delim", "quote", "escape"), given, strict=True)
        )
        first = f"SELECT * FROM read_csv({name}, header=false, all_varchar=true, skip={skip}, {options}) LIMIT 1"
        require_own_names((column for column in engine.execute(first).fetchone() or () if column), what)
    scan = engine.relation(f"read_csv({name})", what)
    times = [column for column, kind in scan.columns.items() if kind.startswith(("TIMESTAMP", "DATE"))]
    if times:
        as_text = ", ".join(f"{literal(column)}: 'VARCHAR'" for column in times)
        text = engine.relation(f"read_csv({name}, types={{{as_text}}})", what)
        for column in times:  # DuckDB guesses which number is the day
            _require_times(engine, text, column)
    return scan.sql


def require_few_columns(count: int, what: str) -> None:
    """Refuse rows of more columns than can be joined."""
    try:
        require_few(count)
    except TextFileError as error:
        message = f"{what}: {error}"
        raise AsofError(message) from None


def require_distinct(names: Iterable[str], what: str) -> None:
    """Refuse two columns of one name."""
    seen: set[str] = set()
    for name in names:
        # DuckDB can't tell apart what differs in case only.
        if name.casefold() in seen:
            message = f"{what} would have two columns named '{name}' (case aside); rename one"
            raise AsofError(message)
        seen.add(name.casefold())


def event_time_column(relation: Relation) -> str:
    """Return the entity rows' event time: `event_timestamp`, else the only timestamp column."""
    if _EVENT_TIME in relation.columns:
        return _EVENT_TIME
    times = [name for name, kind in relation.columns.items() if kind.startswith("TIMESTAMP")]
    if len(times) != 1:
        message = (
            f"{ENTITIES} need a column 'event_timestamp', or exactly one timestamp column; timestamp columns: "
            f"{listed(times)}; they have {relation.shape}"
        )
        raise AsofError(message)
    return times[0]
