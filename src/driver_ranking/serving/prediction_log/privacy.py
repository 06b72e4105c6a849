"""Values that the settings keep out of the log, or in it under another name."""

import hashlib
from collections.abc import Collection
from functools import lru_cache
from typing import Any

import pyarrow as pa

from driver_ranking.errors import SettingError

_KEPT = 2**17  # hashes, of the values that were seen last


class Privacy:
    """Leaves columns empty, or puts keyed hashes in the place of their values."""

    def __init__(self, omitted: Collection[str], hashed: Collection[str], key: str) -> None:
        """Take the settings.

        Args:
            omitted: Columns that are left empty.
            hashed: Columns whose values are hashed.
            key: The key of the hashes.
        """
        self.omitted, self.hashed = frozenset(omitted), frozenset(hashed) - frozenset(omitted)
        secret = hashlib.blake2b(key.encode()).digest()

        @lru_cache(_KEPT)
        def digest(value: int | str | bytes) -> bytes:
            content = value if isinstance(value, bytes) else str(value).encode()
            return hashlib.blake2b(content, digest_size=16, key=secret).digest()

        self._digest = digest

    def require_possible(self, schema: pa.Schema) -> None:
        """Refuse to hash what has no hash in its own type.

        Raises:
            SettingError: A column that is to be hashed has numbers that are no integers of 64 bits.
        """
        kinds = {field.name: field.type for field in schema if field.name in self.hashed}
        odd = [f"{name!r} ({kind})" for name, kind in kinds.items() if not _has_hash(kind)]
        if odd:
            message = (
                f"prediction_log.hashed names {', '.join(odd)}: hashes are made of texts, bytes and integers of 64 "
                f"bits. Name it in prediction_log.omitted instead."
            )
            raise SettingError(message)

    def applied(self, name: str, column: pa.Array) -> pa.Array:
        """Return a column as it may be logged, in its type."""
        if name in self.omitted:
            return pa.nulls(len(column), column.type)
        if name not in self.hashed:
            return column
        found = [None if value is None else self._hashed(value, column.type) for value in column.to_pylist()]
        return pa.array(found, column.type)

    def _hashed(self, value: Any, kind: pa.DataType) -> Any:  # noqa: ANN401 - a value of the column's type
        digest = self._digest(value)
        if pa.types.is_integer(kind):
            return int.from_bytes(digest[:8], "big", signed=True)
        return digest.hex() if pa.types.is_string(kind) else digest


def _has_hash(kind: pa.DataType) -> bool:
    return bool(pa.types.is_int64(kind) or pa.types.is_string(kind) or pa.types.is_binary(kind))
