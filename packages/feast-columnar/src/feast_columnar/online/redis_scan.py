"""Keys of a layout that a Redis has, found with a bounded look at it."""

from collections.abc import Callable
from typing import Any

import redis

_SCANS, KEYS_A_SCAN = 20, 1_000  # what a look costs at most, as there may be millions of others' keys
_SPECIAL = b"\\*?[]^-"  # in Redis's patterns

FROM_THE_START = 0


def scan(client: Any, cursor: int, pattern: bytes, take: Callable[[list[bytes]], bool]) -> int | None:  # noqa: ANN401 - redis-py's client
    """Go on with a look at the keys.

    Args:
        client: The client.
        cursor: Where the last look has ended.
        pattern: Of the keys, in Redis's language.
        take: Is given keys as they are found, and tells whether they are enough.

    Returns:
        Where it has ended: `FROM_THE_START` if all keys have been seen. None if the server does not let keys be looked
        for.
    """
    for _ in range(_SCANS):
        try:
            cursor, found = client.scan(cursor, match=pattern, count=KEYS_A_SCAN)
        except redis.ResponseError:  # it may read keys, but not look for them
            return None
        if take(found) or cursor == FROM_THE_START:
            break
    return cursor


def pattern_of(before: bytes, width: int, after: bytes) -> bytes:
    """Return Redis's pattern of all keys with a beginning, some bytes of any value, and an end."""
    return escaped(before) + b"?" * width + escaped(after)


def pattern_between(before: bytes, after: bytes) -> bytes:
    """Return Redis's pattern of all keys with a beginning and an end."""
    return escaped(before) + b"*" + escaped(after)


def escaped(text: bytes) -> bytes:
    """Return the pattern of exactly these bytes."""
    return b"".join(b"\\" + bytes([one]) if one in _SPECIAL else bytes([one]) for one in text)
