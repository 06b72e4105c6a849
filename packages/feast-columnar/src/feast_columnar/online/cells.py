"""What Feast stores of a feature view's rows, decoded by the column; what can't be decoded is told from the rest."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feast_columnar.errors import ColumnarError
from feast_columnar.exactness import EXACT_INTEGERS

CACHED = 65_536  # decoded values that are kept: whole numbers and event times repeat among drivers

_NUMBERS = frozenset({"int32_val", "int64_val", "float_val", "double_val", "bool_val"})
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799  # of the years 1 to 9999, as a timestamp can have
_NANOS = 1_000_000_000
LAST = _LAST_SECOND * 1_000_000  # microseconds since the epoch that a time can have

Cells = Sequence[bytes | None]


class UnreadableError(ValueError):
    """What is stored is nothing that Feast writes, or an integer that a float64 can't hold exactly."""


@dataclass(frozen=True)
class ViewRows:
    """What a store has of some drivers in one feature view.

    Attributes:
        times: int64 ``[n]``, event times in microseconds since the epoch, UTC; 0 for a driver that is not there.
        values: float64 ``[n, k]``, the features in order; NaN for null or a driver that is not there.
        unreadable: bool ``[n]``, where there is something that can't be read, which has no time and no values; None if
            nowhere.
    """

    times: NDArray[np.int64]
    values: NDArray[np.float64]
    unreadable: NDArray[np.bool_] | None = None


@lru_cache(maxsize=CACHED)
def _decoded(cell: bytes | None) -> float:
    """Return the number in a serialized value message; NaN for null."""
    from feast.protos.feast.types.Value_pb2 import Value

    return number(Value.FromString(cell)) if cell else np.nan


def number(value: Any) -> float:  # noqa: ANN401 - a protobuf message
    """Return the number in a value message; NaN for null.

    Raises:
        UnreadableError: It holds something else, or an integer that a batch run refuses too.
    """
    field = value.WhichOneof("val")
    if field in _NUMBERS:
        stored = getattr(value, field)
        if field == "int64_val" and is_inexact(stored):
            raise UnreadableError
        return float(stored)
    if field in {None, "null_val"}:
        return np.nan
    raise UnreadableError


def is_inexact(value: object) -> bool:
    """Tell an integer of which a float64 may stand for its neighbours as well: it is never rounded in silence."""
    return isinstance(value, (int, np.integer)) and abs(int(value)) > EXACT_INTEGERS


def numbers(row: Mapping[str, Any] | None, names: Sequence[str]) -> list[float]:
    """Return the numbers of some features of a row as Feast gives it; NaN for what is not there."""
    if row is None:
        return [np.nan] * len(names)
    return [number(row[name]) if name in row else np.nan for name in names]


@lru_cache(maxsize=CACHED)
def stored_time(cell: bytes | None) -> int:
    """Return the microseconds in a serialized timestamp message; 0 for none.

    Raises:
        UnreadableError: It is no time.
    """
    if not cell:
        return 0
    from google.protobuf.timestamp_pb2 import Timestamp

    time = Timestamp.FromString(cell)
    if not (_FIRST_SECOND <= time.seconds <= _LAST_SECOND and 0 <= time.nanos < _NANOS):
        raise UnreadableError
    return int(time.seconds) * 1_000_000 + int(time.nanos) // 1_000


@dataclass(frozen=True)
class FixedWidth:
    """Float columns: a tag and little-endian bytes in each cell, decoded all at once.

    Attributes:
        tag: The tag, one byte.
        dtype: The numbers' type, ``<f4`` or ``<f8``.
    """

    tag: bytes
    dtype: str

    def decode(self, cells: Cells) -> NDArray[np.float64] | None:
        """Return float64 ``[n]``; None if a cell holds something else."""
        width = 1 + np.dtype(self.dtype).itemsize
        null = self.tag + np.array(np.nan, self.dtype).tobytes()
        filled = [cell or null for cell in cells]
        if set(map(len, filled)) != {width}:  # each of them: one cut short may stand beside one that is too long
            return None
        rows = np.frombuffer(b"".join(filled), dtype=[("tag", "S1"), ("number", self.dtype)])
        if not (rows["tag"] == self.tag).all():
            return None
        return rows["number"].astype(np.float64)


def fixed_width(dtype: object) -> FixedWidth | None:
    """Return how a feature's type is stored if that is of one width."""
    from feast.protos.feast.types.Value_pb2 import Value
    from feast.types import Float32, Float64

    if dtype == Float32:
        return FixedWidth(Value(float_val=1).SerializeToString()[:1], "<f4")
    if dtype == Float64:
        return FixedWidth(Value(double_val=1).SerializeToString()[:1], "<f8")
    return None


def _column(cells: Cells, width: FixedWidth | None) -> NDArray[np.float64]:
    decoded = width.decode(cells) if width and cells else None
    if decoded is None:
        return np.array([_decoded(cell) for cell in cells], dtype=np.float64)
    return decoded


def view_rows(rows: Sequence[Any], widths: Sequence[FixedWidth | None], time_of: Callable[[Any], int]) -> ViewRows:
    """Decode rows.

    Args:
        rows: Each is a cell for each feature, and the cell of the event time; or what is in the place of a row.
        widths: How the features are stored, where that is of one width.
        time_of: Decodes a time to microseconds, 0 where there is none.
    """
    try:
        *columns, times = zip(*rows, strict=True)
        values = [_column(cells, width) for cells, width in zip(columns, widths, strict=True)]
        return ViewRows(np.array([time_of(cell) for cell in times], dtype=np.int64), stacked(values, len(rows)))
    except ColumnarError:
        raise
    except Exception:  # noqa: BLE001 - whatever spoilt cells may lead to; nothing else is done here
        return apart([_one_row(row, widths, time_of) for row in rows], len(widths))


def _one_row(
    row: Any,  # noqa: ANN401 - whatever a store has
    widths: Sequence[FixedWidth | None],
    time_of: Callable[[Any], int],
) -> tuple[int, list[float]] | None:
    try:
        *cells, time = row
        values = [float(_column([cell], width)[0]) for cell, width in zip(cells, widths, strict=True)]
        return int(np.int64(time_of(time))), values
    except Exception:  # noqa: BLE001 - as above
        return None


def apart(rows: Iterable[tuple[int, list[float]] | None], width: int) -> ViewRows:
    """Return rows of times and values; None for those that can't be read."""
    found = list(rows)
    unreadable = np.array([row is None for row in found], dtype=np.bool_)
    times = np.array([0 if row is None else row[0] for row in found], dtype=np.int64)
    values = np.array([[np.nan] * width if row is None else row[1] for row in found], dtype=np.float64)
    return ViewRows(times, values.reshape(len(found), width), unreadable if unreadable.any() else None)


def stacked(columns: Sequence[NDArray[np.float64]], count: int) -> NDArray[np.float64]:
    """Return float64 ``[n, k]`` of k columns, which may be none."""
    return np.column_stack(columns) if columns else np.empty((count, 0))
