"""Rows of any online store, through its own ``online_read``; one that is spoilt does not take the others with it.

A store reads many rows at once and fails as a whole if one of them holds what it can't decode. Which one it is, is
found by reading ever fewer of them. What shows that the store itself can't be read is left as it is.
"""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from feast_columnar.online.moments import EPOCH, MICROSECOND
from feast_columnar.online.values import numbers
from feast_columnar.online.views import DecodedRow, apart
from feast_columnar.online.wire import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from feast.infra.online_stores.online_store import OnlineStore
    from feast.repo_config import RepoConfig

    from feast_columnar.online.view_keys import ViewKeys
    from feast_columnar.online.views import ViewRead, ViewRows

Row: TypeAlias = tuple[datetime | None, dict[str, Any] | None]

_WRONG_TYPE = re.compile(r"(?:^|error: )WRONGTYPE")  # of a command alone, or of one in a pipeline


@dataclass(frozen=True)
class StockSource:
    """Reads through the store's ``online_read``."""

    config: RepoConfig
    online_store: OnlineStore
    views: tuple[ViewRead, ...]

    def read(self, keys: Sequence[ViewKeys]) -> list[ViewRows]:
        """Read view by view."""
        return [self._read_view(read, asked) for read, asked in zip(self.views, keys, strict=True)]

    def _read_view(self, read: ViewRead, keys: ViewKeys) -> ViewRows:
        def rows_of(some: list[Any]) -> list[Row]:
            # a list of its own each time: the Redis store appends to it
            return self.online_store.online_read(self.config, read.view, some, list(read.names))

        rows = rows_apart(rows_of, keys.messages())
        return apart([_decoded_row(row, read) for row in rows], len(read.features), len(read.others))


def _decoded_row(row: Row | None, read: ViewRead) -> DecodedRow | None:
    """Return the time and the features of a row; None if it can't be read."""
    if row is None:
        return None
    time, stored = row
    try:
        others = [one.kind.of(stored[one.name]) if stored and one.name in stored else None for one in read.others]
        return DecodedRow(microseconds(time), numbers(stored, read.features), others)
    except UnreadableError:
        return None


def microseconds(time: datetime | None) -> int:
    """Return microseconds since the epoch; for a key that is not there 0, as the Redis store has it."""
    return 0 if time is None else (time - EPOCH) // MICROSECOND


def rows_apart(read: Callable[[list[Any]], Sequence[Row]], keys: list[Any]) -> list[Row | None]:
    """Read rows; None for those that can't be decoded.

    Args:
        read: Reads the rows of some keys, in their order.
        keys: The keys.

    Raises:
        Exception: Whatever the store raises where it is the store that can't be read.
    """
    if not keys:
        return []
    try:
        return list(read(keys))
    except Exception as error:
        if not _of_data(error):
            raise
    if len(keys) == 1:
        return [None]
    half = len(keys) // 2
    return rows_apart(read, keys[:half]) + rows_apart(read, keys[half:])


def _of_data(error: Exception) -> bool:
    """Tell whether an error comes from what a row holds, not from the store."""
    from google.protobuf.message import DecodeError

    if isinstance(error, OSError):
        return error.errno == errno.EOVERFLOW  # a time that the system's clock can't have
    if type(error).__module__.partition(".")[0] == "redis":
        return _WRONG_TYPE.search(str(error)) is not None
    return isinstance(error, (DecodeError, ValueError, TypeError, ArithmeticError, LookupError))
