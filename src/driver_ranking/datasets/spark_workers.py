"""What runs in Spark's Python workers. It imports little: every worker pays for it."""

from __future__ import annotations

import io
import tarfile
import tempfile
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
from pyspark import SparkFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from driver_ranking.scoring import BatchScorer

_OPENED: dict[str, Callable[[pa.RecordBatch], pa.RecordBatch]] = {}


def packed(folder: str) -> bytes:
    """Return a folder as an archive."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        tar.add(folder, arcname=".")
    return archive.getvalue()


def mapper(
    mapping: BatchScorer,
    files: Any,  # noqa: ANN401 - Spark's broadcast variable
    schema: pa.Schema,
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Return what a Python worker does with the record batches of a task."""

    def mapped(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        function = opened(mapping, files)
        for batch in batches:
            if batch.num_rows:
                yield function(batch).cast(schema)

    return mapped


def opened(mapping: BatchScorer, files: Any) -> Callable[[pa.RecordBatch], pa.RecordBatch]:  # noqa: ANN401 - likewise
    """Open a mapping, once in the life of a worker; tasks follow one another in it."""
    if mapping.key not in _OPENED:
        # in a folder that Spark removes, even if the worker is killed
        with tempfile.TemporaryDirectory(prefix="driver-ranking-", dir=SparkFiles.getRootDirectory()) as folder:
            with tarfile.open(fileobj=io.BytesIO(files.value)) as tar:
                tar.extractall(folder, filter="data")
            _OPENED[mapping.key] = mapping.open(folder)
    return _OPENED[mapping.key]


def selector(
    sql: str, relation: str, schema: pa.Schema
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Return what runs a DuckDB statement over each record batch of a task, which has a name in it."""

    def selected(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with duckdb.connect(config={"threads": 1}) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            for batch in batches:
                connection.register(relation, pa.Table.from_batches([batch]))
                yield from connection.execute(sql).to_arrow_table().cast(schema).to_batches()

    return selected
