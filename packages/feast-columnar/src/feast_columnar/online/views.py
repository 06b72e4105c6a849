"""What is read: a feature view's rows as arrays; what can't be decoded is told from the rest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from feast_columnar.errors import ColumnarError
from feast_columnar.online.objects import objects
from feast_columnar.online.values import decode_column, fixed_width

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from feast import FeatureView
    from numpy.typing import NDArray

    from feast_columnar.online.objects import ObjectFeature
    from feast_columnar.online.values import FixedWidth
    from feast_columnar.online.view_keys import ViewKey, ViewKeys


@dataclass(frozen=True)
class ViewRead:
    """What is read of one feature view.

    Attributes:
        view: The feature view, projected as the service wants it.
        key: How its rows are keyed.
        ttl: In microseconds; None for no limit.
        features: Names of the features to read that are numbers.
        columns: Where each of them goes in the model's columns.
        others: The features to read that are none.
    """

    view: FeatureView
    key: ViewKey
    ttl: int | None
    features: tuple[str, ...] = ()
    columns: tuple[int, ...] = ()
    others: tuple[ObjectFeature, ...] = ()

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Return the names of all features to read, the numbers first."""
        return (*self.features, *(one.name for one in self.others))

    def fixed_widths(self) -> tuple[FixedWidth | None, ...]:
        """Return how each feature is stored, where that is of one width."""
        dtypes = {field.name: field.dtype for field in self.view.features}
        return tuple(fixed_width(dtypes.get(name)) for name in self.features)


@dataclass(frozen=True)
class ViewRows:
    """What a store has of some keys in one feature view.

    Attributes:
        times: int64 ``[n]``, event times in microseconds since the epoch, UTC; 0 for a key that is not there.
        values: float64 ``[n, k]``, the features in order; NaN for null or a key that is not there.
        unreadable: bool ``[n]``, where there is something that can't be read, which has no time and no values; None if
            nowhere.
        others: The features that are no numbers, in order, as objects ``[n]``; None for null.
    """

    times: NDArray[np.int64]
    values: NDArray[np.float64]
    unreadable: NDArray[np.bool_] | None = None
    others: tuple[NDArray[np.object_], ...] = ()

    def at(self, places: NDArray[np.intp] | None) -> ViewRows:
        """Return some of them, in this order, also repeated; all of them as they are if not given."""
        if places is None:
            return self
        return ViewRows(
            self.times[places],
            self.values[places],
            None if self.unreadable is None else self.unreadable[places],
            tuple(column[places] for column in self.others),
        )


@dataclass(frozen=True)
class DecodedRow:
    """A row of a view.

    Attributes:
        time: Event time in microseconds since the epoch, UTC; 0 for a row that is not there.
        values: The features that are numbers.
        others: Those that are none.
    """

    time: int
    values: Sequence[float]
    others: Sequence[object] = ()


class Source(Protocol):
    """Reads some feature views of a store."""

    @property
    def views(self) -> Sequence[Any]:
        """Return the views, in the order of what is read."""
        ...

    def read(self, keys: Sequence[ViewKeys]) -> list[ViewRows]:
        """Return the rows of some keys of each view, view by view."""
        ...


def view_rows(
    rows: Sequence[Any],
    widths: Sequence[FixedWidth | None],
    time_of: Callable[[Any], int],
    others: Sequence[ObjectFeature] = (),
) -> ViewRows:
    """Decode rows.

    Args:
        rows: Each is a cell for each feature, and the cell of the event time; or what is in the place of a row.
        widths: How the features that are numbers are stored, where that is of one width.
        time_of: Decodes a time to microseconds, 0 where there is none.
        others: The features after them, that are no numbers.
    """
    try:
        *columns, times = zip(*rows, strict=True)
        numbers, texts = columns[: len(widths)], columns[len(widths) :]
        values = [decode_column(cells, width) for cells, width in zip(numbers, widths, strict=True)]
        found = tuple(one.kind.decode(cells) for cells, one in zip(texts, others, strict=True))
        moments = np.array([time_of(cell) for cell in times], dtype=np.int64)
        return ViewRows(moments, _stacked(values, len(rows)), others=found)
    except ColumnarError:
        raise
    except Exception:  # noqa: BLE001 - whatever spoilt cells may lead to; nothing else is done here
        return apart([_one_row(row, widths, time_of, others) for row in rows], len(widths), len(others))


def _one_row(
    row: Any,  # noqa: ANN401 - whatever a store has
    widths: Sequence[FixedWidth | None],
    time_of: Callable[[Any], int],
    others: Sequence[ObjectFeature],
) -> DecodedRow | None:
    try:
        *cells, time = row
        numbers, texts = cells[: len(widths)], cells[len(widths) :]
        values = [float(decode_column([cell], width)[0]) for cell, width in zip(numbers, widths, strict=True)]
        found = [one.kind.decode([cell])[0] for cell, one in zip(texts, others, strict=True)]
        return DecodedRow(int(np.int64(time_of(time))), values, found)
    except Exception:  # noqa: BLE001 - as above
        return None


def apart(rows: Iterable[DecodedRow | None], width: int, others: int = 0) -> ViewRows:
    """Return rows by the column.

    Args:
        rows: The rows; None for those that can't be read.
        width: How many numbers they have.
        others: How many features that are none.
    """
    found = list(rows)
    unreadable = np.array([row is None for row in found], dtype=np.bool_)
    times = np.array([0 if row is None else row.time for row in found], dtype=np.int64)
    values = np.array([[np.nan] * width if row is None else row.values for row in found], dtype=np.float64)
    texts = tuple(objects([None if row is None else row.others[place] for row in found]) for place in range(others))
    return ViewRows(times, values.reshape(len(found), width), unreadable if unreadable.any() else None, texts)


def _stacked(columns: Sequence[NDArray[np.float64]], count: int) -> NDArray[np.float64]:
    """Return float64 ``[n, k]`` of k columns, which may be none."""
    return np.column_stack(columns) if columns else np.empty((count, 0))
