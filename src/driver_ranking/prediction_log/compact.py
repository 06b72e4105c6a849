"""Answers as they are spooled: what was scored together stands once, however many requests have shared it.

A frame is a record batch of one row whose columns are lists, so that what there is one of for a batch, a row of a
batch, an answer, or a candidate of an answer can be side by side. It takes few and cheap steps, as it is made beside
the service; `expansion` makes rows of the log of it, elsewhere.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from driver_ranking.prediction_log.schema import METADATA

SCHEMA: Final = b"driver_ranking.prediction_log.schema"
"""The key of the metadata of a frame that has the schema of the rows, beside that of their description."""

# one for each batch
BATCH_NUMBER, BATCH_NOW, BATCH_READ, BATCH_ROWS = "batch.number", "batch.now", "batch.read_us", "batch.rows"
# one for each row of a batch; NUMBERS has as many as the model has columns that are numbers
NUMBERS, ROW_SCORE, ROW_SCORED, UNREADABLE = "row.numbers", "row.score", "row.scored", "row.unreadable"
TIMES, USABLE, TEXT, INPUT = "row.times.", "row.usable.", "row.text.", "row.input."
# one for each answer
ANSWER_NUMBER, ANSWER_BATCH, ANSWER_ROWS = "answer.number", "answer.batch", "answer.rows"
ANSWER_RANKED, ANSWER_GIVEN, ANSWER_ID, ANSWER_TRACE = "answer.ranked", "answer.given", "answer.id", "answer.trace"
# one for each candidate of an answer: its row in the batch; and the order of those that were ranked
PLACE, ORDER = "place", "order"

Compact = Mapping[str, pa.Array]
"""Columns by these names."""


def frame_of(columns: Compact, schema: pa.Schema) -> pa.RecordBatch:
    """Return a frame.

    Args:
        columns: The columns.
        schema: The schema of the rows, with its metadata.
    """
    lists = [
        pa.LargeListArray.from_arrays(pa.array([0, len(column)], pa.int64()), column) for column in columns.values()
    ]
    metadata = {SCHEMA: schema.remove_metadata().serialize().to_pybytes(), METADATA: schema.metadata[METADATA]}
    fields = [pa.field(name, one.type) for name, one in zip(columns, lists, strict=True)]
    return pa.RecordBatch.from_arrays(lists, schema=pa.schema(fields, metadata))


def schema_of(frame: pa.RecordBatch) -> pa.Schema:
    """Return the schema of the rows of a frame, with its metadata."""
    found = pa.ipc.read_schema(pa.py_buffer(frame.schema.metadata[SCHEMA]))
    schema: pa.Schema = found.with_metadata({METADATA: frame.schema.metadata[METADATA]})
    return schema


def merged(frames: Sequence[pa.RecordBatch]) -> dict[str, pa.Array]:
    """Return the columns of frames of one file, one after the other."""
    found = {name: [frame[name].values for frame in frames] for name in frames[0].schema.names}
    batches = np.cumsum([0, *(len(one) for one in found[BATCH_NUMBER])])
    found[ANSWER_BATCH] = [
        pa.array(one.to_numpy() + np.int32(begin)) for one, begin in zip(found[ANSWER_BATCH], batches, strict=False)
    ]
    return {name: pa.concat_arrays(columns) for name, columns in found.items()}


def groups(frames: Iterable[pa.RecordBatch], rows: int) -> Iterator[list[pa.RecordBatch]]:
    """Yield frames together that have at least so many rows; the last ones may have fewer."""
    held: list[pa.RecordBatch] = []
    count = 0
    for frame in frames:
        held.append(frame)
        count += len(frame[PLACE].values)
        if count >= rows:
            yield held
            held, count = [], 0
    if held:
        yield held
