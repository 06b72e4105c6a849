"""Some keys that an online store has rows of: by the store's own layout, and never by going through all of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feast_columnar.online.keys import KeyBytes, key_head
from feast_columnar.online.redis import RedisSource
from feast_columnar.online.sqlite import SqliteSource
from feast_columnar.online.view_keys import ViewKey, ViewKeys
from feast_columnar.online.views import Source, ViewRead

_CANDIDATES = 4  # times as many keys are looked at as are wanted: some lack a view

NONE = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Found:
    """Keys that were found.

    Attributes:
        keys: int64 ``[n]``, distinct.
        complete: If these are none: whether the store has none.
    """

    keys: NDArray[np.int64]
    complete: bool


@dataclass
class Sampler:
    """Finds keys in a source, view by view. In a Redis with many keys of others it goes on where it has ended.

    Attributes:
        source: The source.
        key: What requests call the one integer that all views are keyed by; None where they are keyed otherwise.
        cursors: Where the look at each view's keys in a Redis has ended.
    """

    source: Source
    key: str | None
    cursors: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, source: Source, key: str | None) -> "Sampler":
        """Return what finds keys, if all views are keyed by one integer.

        Args:
            source: The source.
            key: The one integer that requests have; None where they have other keys. A view may have no key at all.
        """
        sampler = cls(source, key)
        return sampler if all(one.layout() for one in sampler.keys) else cls(source, None)

    @property
    def reads(self) -> list[ViewRead]:
        """Return what is read of the source's views, in their order."""
        return [view if isinstance(view, ViewRead) else view.read for view in self.source.views]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the source's views, in their order."""
        return tuple(read.view.name for read in self.reads)

    @property
    def keys(self) -> list[ViewKey]:
        """Return how they are keyed, likewise."""
        return [read.key for read in self.reads]

    def there(self, keys: NDArray[np.int64]) -> list[NDArray[np.bool_]]:
        """Tell view by view which of some integer keys have a row, of whatever age."""
        asked = [key.keys_of({str(self.key): keys}) for key in self.keys]
        return self.there_of(asked)

    def there_of(self, keys: Sequence[ViewKeys]) -> list[NDArray[np.bool_]]:
        """Tell likewise of keys of any kind."""
        rows = zip(self.source.read(keys), keys, strict=True)
        return [(found.times != 0) & (True if asked.known is None else asked.known) for found, asked in rows]

    def sample(self, count: int) -> NDArray[np.int64]:
        """Return up to ``count`` distinct keys that the store has rows of, those with most views first."""
        if count < 1 or self.key is None:
            return NONE
        found = [self.of_view(place, _CANDIDATES * count).keys for place in range(len(self.source.views))]
        keys = np.unique(np.concatenate([NONE, *found]))
        if not keys.size:
            return NONE
        views = np.add.reduce([there.astype(np.int64) for there in self.there(keys)])
        order = np.argsort(-views, kind="stable")
        return np.asarray(keys[order[views[order] > 0]][:count], dtype=np.int64)

    def of_view(self, place: int, count: int) -> Found:
        """Find up to ``count`` keys with rows of one view, by its place among the source's views."""
        if isinstance(self.source, RedisSource):
            return self._of_redis(self.source, place, count)
        if isinstance(self.source, SqliteSource):
            return _of_sqlite(self.source, place, count)
        return Found(NONE, complete=False)

    def has_rows(self, place: int) -> bool | None:
        """Tell whether there is any row of a view, keyed in whatever way; None if it can't be told."""
        if isinstance(self.source, RedisSource):
            return _redis_has_rows(self.source, place)
        return self.source.has_rows(place) if isinstance(self.source, SqliteSource) else None

    def _of_redis(self, source: RedisSource, place: int, count: int) -> Found:
        from feast_columnar.online.redis_scan import FROM_THE_START, pattern_of, scan

        layout = _layout(source.views[place].key)
        found: set[int] = set()

        def take(names: list[bytes]) -> bool:
            some = _keys(layout, names)
            present = self.there(some)[place] if some.size else NONE.astype(np.bool_)
            found.update(some[present].tolist())
            return len(found) >= count

        pattern = pattern_of(layout.before, np.dtype(layout.dtype).itemsize, layout.after)
        cursor = scan(source.client, self.cursors.pop(place, FROM_THE_START), pattern, take)
        if cursor is None:
            return Found(NONE, complete=False)
        if cursor and not found:
            self.cursors[place] = cursor  # so that nothing has been found since the beginning
        return Found(np.array(sorted(found)[:count], dtype=np.int64), complete=cursor == FROM_THE_START)


def _of_sqlite(source: SqliteSource, place: int, count: int) -> Found:
    return Found(_keys(_layout(source.views[place].key), source.keys_of(place, count)), complete=True)


def _redis_has_rows(source: RedisSource, place: int) -> bool | None:
    """Tell whether a bounded look at a Redis finds a row of a view; None where it ends before all keys were seen."""
    from feast_columnar.online.redis import having, is_key_of
    from feast_columnar.online.redis_scan import FROM_THE_START, pattern_between, scan

    view, found = source.views[place], False

    def take(names: list[bytes]) -> bool:
        nonlocal found
        written = having(source.client, names, view.fields[-1])
        found = any(is_key_of(view.suffix, name) for name in written)
        return found

    pattern = pattern_between(key_head(view.read.key.stored), view.suffix)
    cursor = scan(source.client, FROM_THE_START, pattern, take)
    return True if found else False if cursor == FROM_THE_START else None


def _layout(layout: KeyBytes | None) -> KeyBytes:
    """Return the layout of keys that are one integer."""
    assert layout is not None  # noqa: S101 - keys are looked for where they are integers only
    return layout


def _keys(layout: KeyBytes, stored: Sequence[Any]) -> NDArray[np.int64]:
    """Return the keys that are stored; those of another layout are left out."""
    before, size = len(layout.before), np.dtype(layout.dtype).itemsize
    length = before + size + len(layout.after)
    numbers = b"".join(
        key[before : before + size]
        for key in stored
        if isinstance(key, bytes)
        and len(key) == length
        and key.startswith(layout.before)
        and key.endswith(layout.after)
    )
    return np.frombuffer(numbers, dtype=layout.dtype).astype(np.int64)
