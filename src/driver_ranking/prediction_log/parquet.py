"""The Parquet file of spooled rows: whole in its place, or not there."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pyarrow as pa

from driver_ranking.prediction_log.columns import LOG_TIMESTAMP, REQUEST_ID, is_status
from driver_ranking.prediction_log.compact import groups
from driver_ranking.prediction_log.expansion import expanded
from driver_ranking.prediction_log.frames import read_frames
from driver_ranking.prediction_log.places import PARTIAL, LogPlaces

_ROWS_PER_GROUP: Final = 65_536
_DIFFERENCES: Final = "DELTA_BINARY_PACKED"


def make_whole(places: LogPlaces, spooled: Path) -> Path | None:
    """Write the Parquet file of a spooled file and remove that; what is there already is taken for it.

    Args:
        places: The log's.
        spooled: The spooled file; nobody else may do this to it meanwhile.

    Returns:
        The Parquet file; None if there are no rows.

    Raises:
        OSError: It can't be written; the spooled file stays.
    """
    whole = places.whole(spooled)
    written = whole.exists() or _write(spooled, whole)
    spooled.unlink()
    return whole if written else None


def _write(spooled: Path, whole: Path) -> bool:
    parts = (expanded(frames) for frames in groups(read_frames(spooled), _ROWS_PER_GROUP))
    first = next(parts, None)
    if first is None:
        return False
    partial = spooled.with_suffix(PARTIAL)  # of one that was killed at it, the next one takes the place
    try:
        _write_groups(partial, first, parts)
        _sync(partial)
        whole.parent.mkdir(parents=True, exist_ok=True)
        partial.rename(whole)
    finally:
        partial.unlink(missing_ok=True)
    _sync(whole.parent)
    return True


def _write_groups(file: Path, first: pa.Table, others: Iterable[pa.Table]) -> None:
    import pyarrow.parquet as pq

    integers = [one.name for one in first.schema if pa.types.is_integer(one.type) and not is_status(one.name)]
    floats = [one.name for one in first.schema if pa.types.is_floating(one.type)]
    # compressing floats would gain a tenth of their size
    packed = {name: "none" if name in floats else "zstd" for name in first.schema.names}
    options = {
        "compression": packed,
        "compression_level": {name: 1 for name, codec in packed.items() if codec == "zstd"},
        "use_dictionary": [name for name in packed if name not in {*integers, *floats}],
        "column_encoding": dict.fromkeys(integers, _DIFFERENCES),  # half of what a dictionary takes
        "write_statistics": [LOG_TIMESTAMP, REQUEST_ID],
        "store_schema": False,
    }
    with pq.ParquetWriter(file, first.schema, **options) as writer:
        writer.write_table(first)
        for group in others:
            writer.write_table(group)
        # with the schema, Parquet would also keep which columns were in dictionaries, and readers would have them so
        writer.add_key_value_metadata(first.schema.metadata)


def _sync(path: Path) -> None:
    """Let what a file has, or the names in a folder, outlive the machine."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
