"""Files that appear when they are complete, and rows that are added to a source."""

from __future__ import annotations

import shutil
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.dataset as pds
import pyarrow.parquet as pq
from feast.infra.offline_stores.file_source import FileLoggingDestination

from feast_columnar.errors import AsofError, UnsupportedError
from feast_columnar.offline.engine import URL_SCHEME, explained
from feast_columnar.offline.messages import listed
from feast_columnar.offline.sources import located

if TYPE_CHECKING:
    from collections.abc import Iterator


class LocalRows:
    """The part of a retrieval job that Feast offers to those with a staging area in a cloud; this one has none."""

    def to_remote_storage(self) -> list[str]:
        """Refuse.

        Raises:
            UnsupportedError: Always.
        """
        message = "to_remote_storage is not supported: there is no staging area. Use persist with a folder"
        raise UnsupportedError(message)


def local_path(path: str) -> str:
    """Return the path of a local file.

    Raises:
        AsofError: It is elsewhere.
    """
    local = path.removeprefix("file://")
    if URL_SCHEME.match(local):
        message = f"cannot write to '{path}': only local paths are supported"
        raise AsofError(message)
    return local


def beside(path: Path) -> Path:
    """Return a free hidden name in the same folder, so that a rename moves it into place."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a name to write to; what is there takes the target's place if, and only if, nothing fails."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = beside(target)
    try:
        with explained(f"cannot write '{target}'"):
            yield partial
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def append_to_file(path: Path, schema: pa.Schema, table: pa.Table) -> None:
    """Write a file anew with the rows of a table after its own, so that they win full ties."""
    with replacing(path) as partial, pq.ParquetFile(path) as old, pq.ParquetWriter(partial, schema) as writer:
        for batch in old.iter_batches():
            writer.write_batch(batch)
        writer.write_table(table)


def add_rows(path: Path, table: pa.Table, owner: str) -> None:
    """Append rows to a source: to its file, which is written anew, or as a file in its folder.

    Args:
        path: A local file or a folder without partitions.
        table: Rows with the columns of the source, in its order.
        owner: Names the source in errors.

    Raises:
        AsofError: If the source is of another kind, or the columns differ.
    """
    sample = path if path.is_file() else next(iter(sorted(path.glob("*.parquet"))), None)
    if sample is None:
        message = f"{owner}: rows can be added to a Parquet file or a folder of them; '{path}' is neither"
        raise AsofError(message)
    schema = pq.read_schema(sample)
    if schema.names != table.column_names:
        message = f"{owner}: the columns must be {listed(schema.names)}, but are {listed(table.column_names)}"
        raise AsofError(message)
    with explained(f"{owner}: the rows don't fit the source"):
        table = table.cast(schema)
    if path.is_file():
        append_to_file(path, schema, table)
    else:
        with replacing(path / f"{uuid.uuid4().hex}.parquet") as partial:
            pq.write_table(table, partial)


def add_logs(destination: object, data: pa.Table | Path, repo_path: Path | None) -> None:
    """Add logged features to the folder of a file destination.

    Args:
        destination: Where to; partitions are written hive style.
        data: The rows, or the path of Parquet files with them.
        repo_path: Where relative paths start.

    Raises:
        AsofError: If the destination is not a local folder.
    """
    if not isinstance(destination, FileLoggingDestination):
        message = f"cannot log to a {type(destination).__name__}, only to a FileLoggingDestination"
        raise AsofError(message)
    folder = Path(local_path(located(destination.path, repo_path)))
    partial = beside(folder / "log")
    try:
        pds.write_dataset(
            data if isinstance(data, pa.Table) else pds.dataset(data),
            partial,
            basename_template=f"{uuid.uuid4().hex}-{{i}}.parquet",
            partitioning=destination.partition_by or None,
            partitioning_flavor="hive" if destination.partition_by else None,
            format="parquet",
        )
        for file in sorted(partial.rglob("*.parquet")):
            place = folder / file.relative_to(partial)
            place.parent.mkdir(parents=True, exist_ok=True)
            file.replace(place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
