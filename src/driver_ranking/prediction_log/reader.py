"""Reads the log: whole files by their hours, and what is in the spool still."""

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Final

import pyarrow as pa
import pyarrow.compute as pc

from driver_ranking.prediction_log.columns import LOG_TIMESTAMP, MICROSECONDS
from driver_ranking.prediction_log.compact import groups
from driver_ranking.prediction_log.expansion import expanded
from driver_ranking.prediction_log.frames import frames_of, opened
from driver_ranking.prediction_log.places import PARQUET, SPOOLED, LogPlaces, folder_name, partitions

_HOUR: Final = timedelta(hours=1)
_ROWS_AT_ONCE: Final = 65_536


def files(root: Path, service: str, begin: datetime | None = None, end: datetime | None = None) -> list[Path]:
    """Return the Parquet files that may have rows of a span of time, in order of time.

    Args:
        root: The folder of the log.
        service: The feature service.
        begin: The first moment; from the beginning if not given.
        end: The moment after the last; to the end if not given.
    """
    return _files(LogPlaces(root).service(service), PARQUET, begin, end)


def batches(
    root: Path,
    service: str,
    begin: datetime | None = None,
    end: datetime | None = None,
    *,
    columns: Sequence[str] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a span of time; those of an answer are together, those of a process in order of its files.

    Each row comes once, also while the service goes on; what it has not written yet does not come.

    Args:
        root: As for `files`, as are the next three.
        service: As above.
        begin: As above.
        end: As above.
        columns: Which columns; all if not given.

    Yields:
        Record batches with the metadata of their files, see `schema.described`; those of different model versions may
        have different columns.
    """
    places = LogPlaces(root)
    spooled = _files(places.spool / folder_name(service), SPOOLED, begin, end)
    with contextlib.ExitStack() as held:
        unread = {places.whole(file): found for file in spooled if (found := _opened(file, held))}
        whole = files(root, service, begin, end)  # those that have become so since are read as such
        rest = (_of_spool(file) for path, file in unread.items() if path not in whole)
        for batch in itertools.chain(*map(_of_parquet, whole), *rest):
            found = _within(batch, begin, end)
            yield found if columns is None else found.select(columns)


def _files(folder: Path, suffix: str, begin: datetime | None, end: datetime | None) -> list[Path]:
    return [
        file
        for hour, inside in partitions(folder)
        if (begin is None or begin < hour + _HOUR) and (end is None or hour < end)
        for file in sorted(inside.glob(f"*{suffix}"))
    ]


def _opened(file: Path, held: contextlib.ExitStack) -> BinaryIO | None:
    try:
        return held.enter_context(opened(file))
    except FileNotFoundError:  # it has become whole
        return None


def _of_spool(file: BinaryIO) -> Iterator[pa.RecordBatch]:
    for frames in groups(frames_of(file), _ROWS_AT_ONCE):
        yield from _stored(expanded(frames)).to_batches()


def _of_parquet(file: Path) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as parquet:
        yield from parquet.iter_batches()


def _stored(rows: pa.Table) -> pa.Table:
    """Return rows in the types that Parquet has: no dictionaries, and no times in seconds."""
    fields = [field.with_type(_stored_type(field.type)) for field in rows.schema]
    return rows.cast(pa.schema(fields, rows.schema.metadata))


def _stored_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return kind.value_type
    if pa.types.is_list(kind):
        return pa.list_(pa.field("element", kind.value_type))
    return pa.timestamp("ms", kind.tz) if pa.types.is_timestamp(kind) and kind.unit == "s" else kind


def _within(batch: pa.RecordBatch, begin: datetime | None, end: datetime | None) -> pa.RecordBatch:
    moments, keep = batch[LOG_TIMESTAMP], None
    if begin is not None:
        keep = pc.greater_equal(moments, pa.scalar(begin, MICROSECONDS))
    if end is not None:
        before = pc.less(moments, pa.scalar(end, MICROSECONDS))
        keep = before if keep is None else pc.and_(keep, before)
    return batch if keep is None else batch.filter(keep)
