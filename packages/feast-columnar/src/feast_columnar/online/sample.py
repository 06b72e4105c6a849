"""Some keys that an online store has rows of: by the store's own layout, and never by going through all of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feast_columnar.online.keys import KeyBytes
from feast_columnar.online.redis import RedisSource
from feast_columnar.online.sqlite import SqliteSource
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
        cursors: Where the look at each view's keys in a Redis has ended.
    """

    source: Source
    cursors: dict[int, int] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the source's views, in their order."""
        reads = [view if isinstance(view, ViewRead) else view.read for view in self.source.views]
        return tuple(read.view.name for read in reads)

    def sample(self, count: int) -> NDArray[np.int64]:
        """Return up to ``count`` distinct keys that the store has rows of, those with most views first."""
        if count < 1:
            return NONE
        found = [self.of_view(place, _CANDIDATES * count).keys for place in range(len(self.source.views))]
        keys = np.unique(np.concatenate([NONE, *found]))
        if not keys.size:
            return NONE
        views = sum((rows.times != 0).astype(np.int64) for rows in self.source.read(keys))
        order = np.argsort(-views, kind="stable")
        return np.asarray(keys[order[views[order] > 0]][:count], dtype=np.int64)

    def of_view(self, place: int, count: int) -> Found:
        """Find up to ``count`` keys with rows of one view, by its place among the source's views."""
        if isinstance(self.source, RedisSource):
            return self._of_redis(self.source, place, count)
        if isinstance(self.source, SqliteSource):
            return _of_sqlite(self.source, place, count)
        return Found(NONE, complete=False)

    def _of_redis(self, source: RedisSource, place: int, count: int) -> Found:
        from feast_columnar.online.redis_scan import FROM_THE_START, pattern_of, scan

        layout = source.views[place].key
        found: set[int] = set()

        def take(names: list[bytes]) -> bool:
            some = _keys(layout, names)
            present = source.read(some)[place].times != 0 if some.size else NONE.astype(np.bool_)
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
    view = source.views[place]
    statement = f"SELECT DISTINCT entity_key FROM {view.table} LIMIT ?"
    stored = source.file.read(lambda connection: connection.execute(statement, (count,)).fetchall())
    return Found(_keys(view.key, [key for (key,) in stored]), complete=True)


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
