"""Values that the settings keep out of the log, or in it under another name."""

import hashlib
from collections.abc import Collection
from functools import lru_cache
from typing import Any

import pyarrow as pa

from driver_ranking.errors import SettingError

_KEPT = 2**17  # hashes, of the values that were seen last


class Privacy:
    """Leaves columns empty, or puts keyed hashes in the place of their values.

    Attributes:
        omitted: Columns that are left empty.
        hashed: Columns whose values are hashed.
    """

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

    def require_possible(self, schema: pa.Schema, numbers: Collection[str]) -> None:
        """Refuse to hash what has no hash in its own type.

        Args:
            schema: The columns of a log.
            numbers: Those that are numbers of the model's.

        Raises:
            SettingError: A column that is to be hashed has numbers that are no integers of 64 bits, or are a feature.
        """
        kinds = {field.name: field.type for field in schema if field.name in self.hashed}
        odd = [f"{name!r} ({kind})" for name, kind in kinds.items() if name in numbers or not _has_hash(kind)]
        if odd:
            message = (
                f"prediction_log.hashed names {', '.join(odd)}: of keys and request features that are texts, bytes or "
                f"integers of 64 bits hashes are made, and of features that are texts or bytes. Name it in "
                f"prediction_log.omitted instead."
            )
            raise SettingError(message)

    def hides(self, name: str) -> bool:
        """Return whether the values of a column must not be seen."""
        return name in self.omitted

    def applied(self, name: str, column: pa.Array) -> pa.Array:
        """Return a column as it may be logged, in its type."""
        if name in self.omitted:
            return pa.nulls(len(column), column.type)
        if name not in self.hashed:
            return column
        found = [None if value is None else self._hashed(value, column.type) for value in column.to_pylist()]
        return pa.array(found, column.type)

    def veiled(self, name: str, column: pa.Array) -> pa.Array:
        """Return a column of texts likewise, but of one that is left empty still where there was something."""
        if name not in self.omitted:
            return self.applied(name, column)
        empty = b"" if pa.types.is_binary(column.type) else ""
        return pa.array([None if one is None else empty for one in column.to_pylist()], column.type)

    def _hashed(self, value: Any, kind: pa.DataType) -> Any:  # noqa: ANN401 - a value of the column's type
        digest = self._digest(value)
        if pa.types.is_integer(kind):
            return int.from_bytes(digest[:8], "big", signed=True)
        return digest.hex() if pa.types.is_string(kind) else digest


def _has_hash(kind: pa.DataType) -> bool:
    return bool(pa.types.is_int64(kind) or pa.types.is_string(kind) or pa.types.is_binary(kind))
