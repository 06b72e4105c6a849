"""Entity rows of every kind as a table expression: frames, tables, data sets, files, SQL.

Nothing here loads rows: they are registered or named, with their columns looked up and the columns that number them.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as pds

from feast_columnar.errors import AsofError
from feast_columnar.offline.engine import (
    ENTITIES,
    ROW_NUMBER,
    Engine,
    Relation,
    exact_pattern,
    explained,
)
from feast_columnar.offline.messages import listed
from feast_columnar.offline.parquet import is_file, is_folder, parquet_files, parquet_relation
from feast_columnar.offline.rows import require_distinct, require_few_columns, require_times
from feast_columnar.offline.rules import literal
from feast_columnar.offline.schemas import require_own_names
from feast_columnar.offline.text_files import TextFileError, header_line, header_names, uneven_ends

if TYPE_CHECKING:
    from datetime import datetime

_EVENT_TIME = "event_timestamp"
SQL_START = re.compile(r"([\s(]|--[^\n]*\n|/\*.*?\*/)*(select|with|from)([\s(\"'*]|--|/\*)", re.IGNORECASE | re.DOTALL)
_CSV_SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
_PARQUET_SUFFIXES = (".parquet", ".pq")
_SEPARATORS = ",\t;|"


@dataclass(frozen=True)
class TimeRange:
    """Instead of entity rows: every entity seen in a range of event times, as of its end."""

    start: datetime
    end: datetime


def check_entities(entities: object) -> None:
    """Refuse entity rows of a kind that can't be read.

    Raises:
        AsofError: They are of such a kind.
    """
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
        return parquet_files(engine, dataset.files, ENTITIES, "hive_partitioning = false")
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
    if name.endswith(_PARQUET_SUFFIXES) or is_folder(path):
        return parquet_relation(engine, path, ENTITIES)
    message = (
        f"{ENTITIES}: '{path}' is neither a Parquet (.parquet) nor a CSV (.csv, .tsv) file, nor DuckDB SQL, "
        "which begins with SELECT, WITH or FROM, or with a comment: -- to the end of a line, or between /* and */"
    )
    raise AsofError(message)


def _csv_scan(engine: Engine, path: str) -> str:
    """Return the call that reads a CSV file, or say what is wrong with the file."""
    what = f"{ENTITIES}: '{path}'"
    if not is_file(path):
        return _sniffed_scan(engine, literal(path), what)
    name = literal(exact_pattern(path))
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
            require_times(engine, text, column)
    return scan.sql


def event_time_column(relation: Relation) -> str:
    """Return the entity rows' event time: `event_timestamp`, else the only timestamp column.

    Raises:
        AsofError: There is no such column.
    """
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
