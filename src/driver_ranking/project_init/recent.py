"""Sources whose last row is of now: what was written for a demonstration years ago is too old for its own ttl."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from driver_ranking.atomic_file import replacing
from driver_ranking.errors import ProjectInitError
from driver_ranking.project_init.repo_copy import matches

if TYPE_CHECKING:
    from feast.repo_contents import RepoContents


def move_to(now: datetime, definitions: "RepoContents", copy: Path) -> None:
    """Move all times of a project's own copies of its sources forward, by as much that the last event is of now.

    Args:
        now: The time.
        definitions: What the copy of a repo defines.
        copy: The copy, a folder in the project.

    Raises:
        ProjectInitError: A source was not copied, or has times that are no timestamps.
    """
    files: dict[Path, tuple[str, set[str]]] = {}
    for view in [*definitions.feature_views, *definitions.stream_feature_views]:
        source: Any = view.batch_source
        times = {name for name in (source.timestamp_field, source.created_timestamp_column) if name}
        for file in _files(source, copy, view.name):
            files.setdefault(file, (source.timestamp_field, set()))[1].update(times)
    lasts = [last for last in (_last(file, time) for file, (time, _) in files.items()) if last is not None]
    if lasts and max(lasts) < now:
        for file, (_, times) in files.items():
            _move(file, times, now - max(lasts))


def _files(source: Any, copy: Path, view: str) -> Iterator[Path]:  # noqa: ANN401 - Feast has no types
    path = source.path.removeprefix("file://")
    place = Path(os.path.normpath(copy / path))
    if "://" in path or not place.is_relative_to(copy.parent):
        message = (
            f"The source of the feature view {view!r} stays at {path}, so that its times can't be moved together with "
            f"those of copies. Leave out --recent."
        )
        raise ProjectInitError(message)
    for found in matches(place):
        yield from sorted(found.rglob("*.parquet")) if found.is_dir() else [found]


def _last(file: Path, time: str) -> datetime | None:
    column = pq.read_table(file, columns=[time]).column(time)
    if not pa.types.is_timestamp(column.type):
        message = f"{file.name}: {time!r} is {column.type}, no timestamp: its times can't be moved. Leave out --recent."
        raise ProjectInitError(message)
    last: datetime | None = pc.max(column.cast(pa.timestamp("us", column.type.tz), safe=False)).as_py()
    return last if last is None or last.tzinfo else last.replace(tzinfo=UTC)


def _move(file: Path, times: set[str], by: timedelta) -> None:
    with replacing(file) as moved, pq.ParquetFile(file) as rows, pq.ParquetWriter(moved, rows.schema_arrow) as writer:
        for batch in rows.iter_batches():
            writer.write_batch(_moved(batch, times, by))


def _moved(batch: pa.RecordBatch, times: set[str], by: timedelta) -> pa.RecordBatch:
    columns = []
    for field, column in zip(batch.schema, batch.columns, strict=True):
        duration = pa.duration(field.type.unit) if pa.types.is_timestamp(field.type) else None
        is_moved = field.name in times and duration is not None
        columns.append(pc.add(column, pa.scalar(by, pa.duration("us")).cast(duration)) if is_moved else column)
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)
