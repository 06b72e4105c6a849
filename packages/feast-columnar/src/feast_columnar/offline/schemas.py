"""What Parquet files say of themselves, before DuckDB or Spark make one table of them.

DuckDB widens the columns of several files to a type that has room for all of them, and for integers beside floating
point that is floating point: whole numbers above 2^53 would become others. It reads decimals of more than 38 digits as
other numbers, and renames columns that differ in case alone. The files' own schemas tell in time.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from feast_columnar.errors import AsofError
from feast_columnar.offline.engine import RESERVED, URL_SCHEME, explained

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

MOST_DIGITS = 38
_READERS = 8
_SMALL, _DOUBLE = 16, 64  # bits


@dataclass(frozen=True)
class FileSchema:
    """The columns of one Parquet file.

    Attributes:
        path: Where it is.
        schema: Its columns.
        row_count: How many rows it has.
    """

    path: str
    schema: pa.Schema
    row_count: int


def file_schemas(paths: Sequence[str], what: str) -> list[FileSchema]:
    """Read the footers of Parquet files, local or at URLs.

    Args:
        paths: The files.
        what: What they are, as an error begins.

    Raises:
        AsofError: One can't be read.
    """
    with ThreadPoolExecutor(_READERS) as pool:
        return list(pool.map(_file_schema, paths, [what] * len(paths)))


def _file_schema(path: str, what: str) -> FileSchema:
    with explained(f"{what} cannot be read: '{path}'"), ExitStack() as stack:
        file = stack.enter_context(fsspec.open(path, "rb")) if URL_SCHEME.match(path) else path
        opened = stack.enter_context(pq.ParquetFile(file))
        return FileSchema(path, opened.schema_arrow, opened.metadata.num_rows)


def require_readable(schema: pa.Schema, what: str) -> None:
    """Refuse columns that would come out as others.

    Args:
        schema: The columns of one file.
        what: Which file it is, as an error begins.

    Raises:
        AsofError: Names differ in case alone or are taken, or a decimal has more than 38 digits.
    """
    require_own_names(schema.names, what)
    for field in schema:
        for kind in _kinds_within(field.type):
            if pa.types.is_struct(kind):
                require_own_names((part.name for part in kind), f"{what}: '{field.name}'")
            if pa.types.is_decimal(kind) and kind.precision > MOST_DIGITS:
                message = f"{what}: column '{field.name}' is {kind}; at most {MOST_DIGITS} digits can be read"
                raise AsofError(message)


def require_own_names(names: Iterable[str], what: str) -> None:
    """Refuse names of columns that can't be told apart, from each other or from those that the store makes up.

    Args:
        names: As the file has them.
        what: Which file it is, as an error begins.

    Raises:
        AsofError: Two are equal but for case, or one begins like the store's own.
    """
    seen: dict[str, str] = {}
    for name in names:
        folded = name.casefold()
        if folded in seen:
            message = (
                f"{what} has columns named '{seen[folded]}' and '{name}', which differ in case at most; rename one"
            )
            raise AsofError(message)
        if folded.startswith(RESERVED):
            message = f"{what}: the name of column '{name}' begins like those of the store's own columns; rename it"
            raise AsofError(message)
        seen[folded] = name


def one_table(files: Sequence[FileSchema], what: str) -> list[str]:
    """Return which files are read as one table, or refuse columns whose types don't go together.

    Files without rows don't count: one whose types don't fit is left out.

    Args:
        files: The files, in order.
        what: What they are, as an error begins.

    Raises:
        AsofError: A value of a column could be lost by giving all of it one type, or its name differs in case.
    """
    full = [file for file in files if file.row_count]
    known: dict[str, list[tuple[pa.Field, str]]] = {}
    for file in full:
        for field in file.schema:
            _add(known.setdefault(field.name.casefold(), []), field, file.path, what)
    if len(full) == len(files):
        return [file.path for file in files]
    return [file.path for file in files if file.row_count or _fits(file.schema, known)] or [files[0].path]


def _add(known: list[tuple[pa.Field, str]], field: pa.Field, path: str, what: str) -> None:
    """Compare a column with each different one of the files before."""
    for other, place in known:
        if other.name != field.name:
            message = (
                f"{what}: a column is named '{other.name}' in '{place}' and '{field.name}' in '{path}'; use one name"
            )
            raise AsofError(message)
        if not go_together(other.type, field.type):
            message = (
                f"{what} cannot be read: the column '{field.name}' is {other.type} in '{place}' and {field.type} in "
                f"'{path}', and values could be lost by making them one; write it with one type"
            )
            raise AsofError(message)
    if all(other.type != field.type for other, _ in known):
        known.append((field, path))


def _fits(schema: pa.Schema, known: dict[str, list[tuple[pa.Field, str]]]) -> bool:
    return all(
        other.name == field.name and go_together(other.type, field.type)
        for field in schema
        for other, _ in known.get(field.name.casefold(), ())
    )


def go_together(first: pa.DataType, second: pa.DataType) -> bool:
    """Return whether a type has room for all values of both, and both mean the same."""
    first, second = _plain(first), _plain(second)
    if first == second or pa.types.is_null(first) or pa.types.is_null(second):
        return True
    if pa.types.is_nested(first) or pa.types.is_nested(second):
        return _nested_together(first, second)
    families = {_family(first), _family(second)}
    if families == {"integer"}:
        widths = {(pa.types.is_signed_integer(kind), kind.bit_width) for kind in (first, second)}
        return (False, _DOUBLE) not in widths or len(widths) == 1
    if families == {"integer", "floating point"}:
        whole, real = sorted((first, second), key=pa.types.is_floating)
        exact = whole.bit_width <= _SMALL or (whole.bit_width == 2 * _SMALL and pa.types.is_signed_integer(whole))
        return bool(exact and real.bit_width == _DOUBLE)
    return len(families) == 1


def _nested_together(first: Any, second: Any) -> bool:  # noqa: ANN401  # the kinds of nested types have little in common
    if pa.types.is_struct(first) and pa.types.is_struct(second):
        same_names = [field.name for field in first] == [field.name for field in second]
        return same_names and all(go_together(one.type, other.type) for one, other in zip(first, second, strict=True))
    both = (first, second)
    if all(pa.types.is_list(kind) or pa.types.is_large_list(kind) for kind in both):
        return go_together(first.value_type, second.value_type)
    return False


def _plain(kind: pa.DataType) -> pa.DataType:
    """Return the type of the values: how they are encoded does not matter."""
    if isinstance(kind, pa.BaseExtensionType):
        return _plain(kind.storage_type)
    return _plain(kind.value_type) if pa.types.is_dictionary(kind) else kind


def _family(kind: pa.DataType) -> str:
    families = {
        "integer": pa.types.is_integer,
        "floating point": pa.types.is_floating,
        "decimal": pa.types.is_decimal,
        "text": lambda it: pa.types.is_string(it) or pa.types.is_large_string(it) or pa.types.is_string_view(it),
        "bytes": lambda it: pa.types.is_binary(it) or pa.types.is_large_binary(it) or pa.types.is_binary_view(it),
        "time": lambda it: pa.types.is_timestamp(it) or pa.types.is_date(it),
    }
    return next((name for name, holds in families.items() if holds(kind)), str(kind))


def _kinds_within(kind: pa.DataType) -> Iterator[pa.DataType]:
    kind = _plain(kind)
    yield kind
    for number in range(kind.num_fields):
        yield from _kinds_within(kind.field(number).type)
