"""Parquet files as a table expression: a file, a folder, a glob, a hive-partitioned folder; local or through fsspec."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import fsspec

from feast_columnar.errors import AsofError
from feast_columnar.offline.engine import (
    ROW_NUMBER,
    URL_SCHEME,
    WILDCARD,
    Engine,
    Relation,
    exact_pattern,
)
from feast_columnar.offline.messages import listed
from feast_columnar.offline.rules import literal, quoted
from feast_columnar.offline.schemas import file_schemas, one_table, require_readable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_ROWS_PER_FILE = 2**40
_FILE_NUMBERS = {"file_index", "file_row_number"}  # DuckDB's columns, unless a file has such
_TABLES = {"_delta_log": "Delta", ".hoodie": "Hudi", "metadata/*.metadata.json": "Iceberg"}
_METADATA = "metadata"


def parquet_relation(engine: Engine, path: str, what: str) -> Relation:
    """Read a Parquet file, folder, glob or hive-partitioned folder, local or remote.

    Raises:
        AsofError: There is no file, or the files can't be read exactly as one table.
    """
    engine.mount(path, what)
    path = path.removeprefix("file://")
    if is_file(path):
        # One file is what its columns say, whatever the folders above it are called.
        return parquet_files(engine, [path], what, "hive_partitioning = false")
    base, files = _found(engine, path, what)
    if not files:
        message = f"{what}: no Parquet file at '{path}'"
        raise AsofError(message)
    inner = {_partitions(_parts(file)[len(base) : -1]) for file in files}
    if len(inner) > 1 or inner == {()}:
        return parquet_files(engine, files, what, "union_by_name = true, hive_partitioning = false")
    outer = set(_partitions(base))
    if both := sorted(outer.intersection(*inner)):
        message = f"{what} cannot be read: '{path}' is in a folder that is called like its partitions, {listed(both)}"
        raise AsofError(message)
    return parquet_files(engine, files, what, "union_by_name = true, hive_partitioning = true", outer)


def _partitions(folders: Iterable[str]) -> tuple[str, ...]:
    return tuple(folder.partition("=")[0] for folder in folders if "=" in folder)


def _found(engine: Engine, path: str, what: str) -> tuple[tuple[str, ...], list[str]]:
    """List files, but not those that a writer has not finished or wants hidden; and the folder that they are below."""
    if is_folder(path):
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


def is_file(path: str) -> bool:
    """Tell whether a path or URL is that of a file."""
    if not URL_SCHEME.match(path):
        return Path(path).is_file()
    system, inner = fsspec.core.url_to_fs(path)
    return bool(system.isfile(inner))


def is_folder(path: str) -> bool:
    """Tell whether a path or URL is that of a folder."""
    if not URL_SCHEME.match(path):
        return Path(path).is_dir()
    system, inner = fsspec.core.url_to_fs(path)
    return bool(system.isdir(inner))


def _parts(path: str) -> tuple[str, ...]:
    return PurePosixPath(URL_SCHEME.sub("", path).strip("/")).parts


def parquet_files(
    engine: Engine, files: Sequence[str], what: str, option: str, without: Iterable[str] = ()
) -> Relation:
    """Read some Parquet files as one table.

    Args:
        engine: What reads them.
        files: Their paths or URLs, in the order of their rows.
        what: Names the rows in errors.
        option: Options of DuckDB's reader.
        without: Columns made of the names of folders that are to be left out.

    Raises:
        AsofError: A file can't be read exactly, or they are no one table.
    """
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
