"""What is written: record batches of a feature view, encoded by the column, and what writes them.

What ends up in a store is plain: a `Value` message is a tag followed by a payload, an entity key a few fixed headers
around the key's bytes. `encode_batch` makes these bytes, column by column, and a `BulkWriter` hands them to the store's
own connection:

    record batch -> EncodedBatch: keys and values as Arrow binary columns
        -> SQLite: executemany, one transaction per batch
        -> Redis: HSET commands framed by Arrow, pipelined

What is stored equals what Feast stores, byte for byte, and Feast's stores read it as their own; so it is with our own
subclass of the SQLite store and its times.

Beyond Feast: where Feast's route through pandas turns integers with nulls into doubles, they stay exact here (above
2**53 Feast loses digits); a null `created` timestamp, which Feast's SQLite store rejects, is stored as NULL; empty
bytes stay empty bytes, also where a whole column is empty and Feast takes it for nulls; a feature declared as double
takes integers and floats of any width, of which Feast refuses some.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from feast_columnar.online.keys import encode_keys
from feast_columnar.online.values import encode_column

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from feast import FeatureView
    from feast.value_type import ValueType
    from numpy.typing import NDArray

    from feast_columnar.online.values import Column


@dataclass(frozen=True)
class EncodedBatch:
    """Rows ready to be stored: `n` keys, `n` values per feature, `n` event times, and `n` created times if any.

    Times are UTC, `datetime64[us]`; a created time may be NaT.
    """

    keys: pa.BinaryArray
    columns: Mapping[str, Column]
    event_times: NDArray[np.datetime64]
    created_times: NDArray[np.datetime64] | None


@dataclass(frozen=True)
class Layout:
    """Which columns of a record batch mean what, in the names of the feature view.

    Attributes:
        features: Declared type of each feature, in the view's order.
        join_keys: Declared type of each join key.
        event_time: The column of event timestamps.
        created_time: The column of created timestamps, if the source has one.
    """

    features: Mapping[str, ValueType]
    join_keys: Mapping[str, ValueType]
    event_time: str
    created_time: str | None

    @classmethod
    def of(cls, view: FeatureView, event_time: str, created_time: str | None) -> Layout:
        """The layout of a feature view whose timestamps are in these columns."""
        return cls(
            features={field.name: field.dtype.to_value_type() for field in view.features},
            join_keys={field.name: field.dtype.to_value_type() for field in view.entity_columns},
            event_time=event_time,
            created_time=created_time or None,  # Feast says "" as well
        )


class BulkWriter(Protocol):
    """Writes encoded batches to one feature view of an online store."""

    def write(self, batch: EncodedBatch) -> None:
        """Store the rows; writing them again changes nothing."""
        ...


def _times(batch: pa.RecordBatch, name: str) -> NDArray[np.datetime64]:
    times: NDArray[np.datetime64] = batch.column(name).to_numpy(zero_copy_only=False).astype("datetime64[us]")
    return times


def _has_plain_times(batch: pa.RecordBatch, layout: Layout) -> bool:
    names = [name for name in (layout.event_time, layout.created_time) if name is not None]
    plain = all(pa.types.is_timestamp(batch.column(name).type) for name in names)
    return plain and not batch.column(layout.event_time).null_count


def encode_batch(batch: pa.RecordBatch, layout: Layout) -> EncodedBatch | None:
    """A record batch, ready to be stored.

    Args:
        batch: Any number of rows; has every column that the layout names.
        layout: What its columns mean.

    Returns:
        The encoded rows, or None if keys or times are such that only Feast's own code may judge them.

    Raises:
        AssertionError, TypeError, ValueError: From Feast, if feature values don't fit the declared type.
    """
    keys = encode_keys(batch, layout.join_keys) if _has_plain_times(batch, layout) else None
    if keys is None:
        return None
    return EncodedBatch(
        keys=keys,
        columns={name: encode_column(batch.column(name), kind) for name, kind in layout.features.items()},
        event_times=_times(batch, layout.event_time),
        created_times=_times(batch, layout.created_time) if layout.created_time else None,
    )
