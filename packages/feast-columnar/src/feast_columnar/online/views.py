"""What is read: a feature view's rows as arrays; what can't be decoded is told from the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from feast_columnar.errors import ColumnarError
from feast_columnar.online.keys import KeyBytes
from feast_columnar.online.values import decode_column, fixed_width

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from feast import FeatureView
    from numpy.typing import NDArray

    from feast_columnar.online.values import FixedWidth


@dataclass(frozen=True)
class ViewRead:
    """What is read of one feature view.

    Attributes:
        view: The feature view, projected as the service wants it.
        join_key: Name of its one join key, in the store.
        value_field: The field of Feast's value message that holds a key, ``int64_val`` or ``int32_val``.
        ttl: In microseconds; None for no limit.
        features: Names of the features to read.
        columns: Where each of them goes in the model's columns.
    """

    view: FeatureView
    join_key: str
    value_field: str
    ttl: int | None
    features: tuple[str, ...]
    columns: tuple[int, ...]

    def key_bytes(self) -> KeyBytes:
        """Return the layout of the view's keys."""
        return KeyBytes.of(self.join_key, self.value_field)

    def fixed_widths(self) -> tuple[FixedWidth | None, ...]:
        """Return how each feature is stored, where that is of one width."""
        dtypes = {field.name: field.dtype for field in self.view.features}
        return tuple(fixed_width(dtypes.get(name)) for name in self.features)


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


class Source(Protocol):
    """Reads some feature views of a store."""

    @property
    def views(self) -> Sequence[Any]:
        """Return the views, in the order of what is read."""
        ...

    def read(self, driver_id: NDArray[np.int64]) -> list[ViewRows]:
        """Return the rows of int64 ``[n]`` drivers, view by view; ids must be ones that the views' keys can have."""
        ...


def view_rows(rows: Sequence[Any], widths: Sequence[FixedWidth | None], time_of: Callable[[Any], int]) -> ViewRows:
    """Decode rows.

    Args:
        rows: Each is a cell for each feature, and the cell of the event time; or what is in the place of a row.
        widths: How the features are stored, where that is of one width.
        time_of: Decodes a time to microseconds, 0 where there is none.
    """
    try:
        *columns, times = zip(*rows, strict=True)
        values = [decode_column(cells, width) for cells, width in zip(columns, widths, strict=True)]
        return ViewRows(np.array([time_of(cell) for cell in times], dtype=np.int64), _stacked(values, len(rows)))
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
        values = [float(decode_column([cell], width)[0]) for cell, width in zip(cells, widths, strict=True)]
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


def _stacked(columns: Sequence[NDArray[np.float64]], count: int) -> NDArray[np.float64]:
    """Return float64 ``[n, k]`` of k columns, which may be none."""
    return np.column_stack(columns) if columns else np.empty((count, 0))
