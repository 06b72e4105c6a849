"""The prediction log in chunks of whole answers, each of one layout: rows of one model version, of one kind of file."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driver_ranking.errors import PredictionLogError
from driver_ranking.prediction_log.columns import (
    ANSWER,
    DEFAULTED,
    LOG_TIMESTAMP,
    MODEL_VERSION,
    POSITION,
    READ_MICROSECONDS,
    REQUEST_ID,
    RUN_ID,
)
from driver_ranking.prediction_log.schema import LAYOUT, METADATA

ROWS_PER_CHUNK: Final = 500_000


@dataclass(frozen=True)
class Layout:
    """What all rows of a file have in common.

    Attributes:
        text: The file's metadata as it is written.
    """

    text: str

    @cached_property
    def said(self) -> Mapping[str, Any]:
        """Return what it says."""
        found: dict[str, Any] = json.loads(self.text)
        return found

    @property
    def service(self) -> str:
        """Return the feature service."""
        return str(self.said["model"]["feature_service"])

    @property
    def version(self) -> str:
        """Return the version of the model."""
        return str(self.said["model"]["version"])

    @property
    def model_columns(self) -> dict[str, str]:
        """Return the log's column of each column of the model's signature."""
        return {one["name"]: one["column"] for one in self.said["model"]["columns"]}

    @property
    def unseen(self) -> frozenset[str]:
        """Return the columns whose values are not there, or hashed."""
        return frozenset([*self.said.get("omitted", ()), *self.said.get("hashed", ())])

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the keys of requests: what is ranked, then the others."""
        return (str(self.said["candidate"]), *map(str, self.said["keys"]))


@dataclass(frozen=True)
class Chunk:
    """Rows of whole answers.

    Attributes:
        rows: The log's columns.
        layout: What all of them have in common.
    """

    rows: pa.Table
    layout: Layout

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self.rows.num_rows)

    @cached_property
    def request(self) -> NDArray[np.intp]:
        """Return the number of each row's answer among those of the chunk, ascending; intp ``[n]``."""
        starts = _starts(self.rows)
        return np.asarray(np.cumsum(starts) - 1, dtype=np.intp)

    @cached_property
    def position(self) -> NDArray[np.int64]:
        """Return the place of each row in its request."""
        return integers(self.rows, POSITION)

    @cached_property
    def now(self) -> NDArray[np.int64]:
        """Return when each row was read, in microseconds since the epoch, UTC."""
        return micros(self.rows, LOG_TIMESTAMP)

    @cached_property
    def read_for(self) -> NDArray[np.int64]:
        """Return how long the read of each row took, in microseconds."""
        return integers(self.rows, READ_MICROSECONDS)

    @cached_property
    def candidate(self) -> NDArray[np.int64]:
        """Return a number of each row's candidate: equal numbers are one candidate."""
        column = self.rows[self.layout.keys[0]]
        if pa.types.is_int64(column.type) and not column.null_count:
            return np.asarray(column.to_numpy())
        return np.asarray(column.combine_chunks().dictionary_encode().indices.to_numpy(), dtype=np.int64)

    def is_defaulted(self, feature: str) -> NDArray[np.bool_]:
        """Return for each row whether a default stands for a feature of the model's signature."""
        lists = self.rows[DEFAULTED].combine_chunks()
        found = np.zeros(len(self), dtype=np.bool_)
        if len(lists.flatten()):
            named = pc.equal(lists.flatten(), feature)
            rows = pc.list_parent_indices(lists).to_numpy()
            found[rows[np.asarray(named.to_numpy(zero_copy_only=False), dtype=np.bool_)]] = True
        return found

    def described(self, row: int) -> dict[str, Any]:
        """Return what names a row in a report."""
        wanted = [REQUEST_ID, POSITION, MODEL_VERSION, *self.layout.keys]
        said = {name.strip("_"): self.rows[name][row].as_py() for name in wanted if name in self.rows.column_names}
        return {**said, "read_at": self.rows[LOG_TIMESTAMP][row].as_py().isoformat()}


def micros(rows: pa.Table, name: str) -> NDArray[np.int64]:
    """Return a column of times in microseconds since the epoch; the smallest int64 for none."""
    column = rows[name].cast(pa.timestamp("us", "UTC"), safe=False).cast(pa.int64())
    return np.asarray(pc.fill_null(column, np.iinfo(np.int64).min).to_numpy())


def integers(rows: pa.Table, name: str) -> NDArray[np.int64]:
    """Return a column of integers; -1 for none."""
    return np.asarray(pc.fill_null(rows[name].cast(pa.int64()), -1).to_numpy())


def chunks(batches: Iterable[pa.RecordBatch], rows_per_chunk: int = ROWS_PER_CHUNK) -> Iterator[Chunk]:
    """Put record batches of the log together to chunks.

    Args:
        batches: The rows; those of an answer are together.
        rows_per_chunk: About how many a chunk has; one answer is never parted.

    Raises:
        PredictionLogError: Rows are not of a prediction log, or of another layout of it.
    """
    kept: list[pa.RecordBatch] = []
    layout: Layout | None = None
    for batch in batches:
        if not batch.num_rows:
            continue
        found = layout_of(batch.schema)
        if layout is not None and (found != layout or batch.schema != kept[0].schema):
            yield Chunk(pa.Table.from_batches(kept), layout)
            kept = []
        layout, kept = found, [*kept, batch]
        while sum(map(len, kept)) > rows_per_chunk:
            whole, rest = _parted(pa.Table.from_batches(kept), rows_per_chunk)
            kept = rest.to_batches()
            if not whole.num_rows:
                break
            yield Chunk(whole, layout)
    if kept and layout is not None:
        yield Chunk(pa.Table.from_batches(kept), layout)


def layout_of(schema: pa.Schema) -> Layout:
    """Return what the metadata of a file says.

    Raises:
        PredictionLogError: There is none, or it is of another layout.
    """
    text = (schema.metadata or {}).get(METADATA)
    layout = Layout(text.decode()) if text else None
    if layout is None or layout.said.get("layout") != LAYOUT:
        found = "none" if layout is None else f"layout {layout.said.get('layout')}"
        message = (
            f"The rows are not those of a prediction log of layout {LAYOUT}: their metadata says {found}. Name the "
            f"folder that the service writes its log to, and read it with the version that wrote it."
        )
        raise PredictionLogError(message)
    return layout


def _parted(rows: pa.Table, wanted: int) -> tuple[pa.Table, pa.Table]:
    """Part rows before the last answer that begins within as many as are wanted; the first answer is always whole."""
    begins = np.flatnonzero(_starts(rows))
    if begins[-1] == 0:
        return rows.slice(0, 0), rows
    cut = int(begins[max(1, int(np.searchsorted(begins, wanted, side="right")) - 1)])
    return rows.slice(0, cut), rows.slice(cut)


def _starts(rows: pa.Table) -> NDArray[np.bool_]:
    """Return which rows are the first of an answer."""
    answer = integers(rows, ANSWER)
    run = rows[RUN_ID].combine_chunks().dictionary_encode()
    run = run.combine_chunks() if isinstance(run, pa.ChunkedArray) else run
    code = np.asarray(run.indices.to_numpy())
    starts = np.ones(len(answer), dtype=np.bool_)
    starts[1:] = (answer[1:] != answer[:-1]) | (code[1:] != code[:-1])
    return starts
