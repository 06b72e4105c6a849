"""Rows as a store's own ``online_read`` gives them, of which one that is spoilt does not take the others with it.

A store reads many rows at once and fails as a whole if one of them holds what it can't decode. Which one it is, is
found by reading ever fewer of them. What shows that the store itself can't be read is left as it is.
"""

import errno
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey

Row = tuple[datetime | None, dict[str, Any] | None]

_WRONG_TYPE = re.compile(r"(?:^|error: )WRONGTYPE")  # of a command alone, or of one in a pipeline
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def entity_key(join_key: str, value_field: str, driver: int) -> "EntityKey":
    """Return Feast's key of a driver.

    Args:
        join_key: Name of the one join key, in the store.
        value_field: ``int64_val`` or ``int32_val``.
        driver: The driver.
    """
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    value = Value(int64_val=driver) if value_field == "int64_val" else Value(int32_val=driver)
    return EntityKey(join_keys=[join_key], entity_values=[value])


def microseconds(time: datetime | None) -> int:
    """Return microseconds since the epoch; for a driver that is not there 0, as the Redis store has it."""
    return 0 if time is None else (time - _EPOCH) // _MICROSECOND


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
