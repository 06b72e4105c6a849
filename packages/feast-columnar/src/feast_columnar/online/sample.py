"""Some drivers that an online store has rows of: by the store's own layout, and never by going through all of it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feast_columnar.online.keys import KeyBytes
from feast_columnar.online.redis import RedisSource
from feast_columnar.online.sqlite import SqliteSource
from feast_columnar.online.views import Source, ViewRead

_SCANS, _KEYS_A_SCAN = 20, 1_000  # what a look at a Redis costs at most, as there may be millions of others' keys
_CANDIDATES = 4  # times as many drivers are looked at as are wanted: some lack a view
_SPECIAL = b"\\*?[]^-"  # in Redis's patterns

NONE = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Found:
    """Drivers that were found.

    Attributes:
        driver_id: int64 ``[n]``, distinct.
        complete: If these are none: whether the store has none.
    """

    driver_id: NDArray[np.int64]
    complete: bool


@dataclass
class Sampler:
    """Finds drivers in a source, view by view. In a Redis with many keys of others it goes on where it has ended.

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
        """Return up to ``count`` distinct ids of drivers that the store has rows of, those with most views first."""
        if count < 1:
            return NONE
        found = [self.of_view(place, _CANDIDATES * count).driver_id for place in range(len(self.source.views))]
        drivers = np.unique(np.concatenate([NONE, *found]))
        if not drivers.size:
            return NONE
        views = sum((rows.times != 0).astype(np.int64) for rows in self.source.read(drivers))
        order = np.argsort(-views, kind="stable")
        return np.asarray(drivers[order[views[order] > 0]][:count], dtype=np.int64)

    def of_view(self, place: int, count: int) -> Found:
        """Find up to ``count`` drivers with rows of one view, by its place among the source's views."""
        if isinstance(self.source, RedisSource):
            return self._of_redis(self.source, place, count)
        if isinstance(self.source, SqliteSource):
            return _of_sqlite(self.source, place, count)
        return Found(NONE, complete=False)

    def _of_redis(self, source: RedisSource, place: int, count: int) -> Found:
        import redis

        key = source.views[place].key
        found: set[bytes] = set()
        cursor = self.cursors.pop(place, 0)
        for _ in range(_SCANS):
            try:
                cursor, names = source.client.scan(cursor, match=_pattern(key), count=_KEYS_A_SCAN)
            except redis.ResponseError:  # it may read keys, but not look for them
                return Found(NONE, complete=False)
            some = _drivers(key, names)
            present = source.read(some)[place].times != 0 if some.size else NONE.astype(np.bool_)
            found.update(some[present].tolist())
            if len(found) >= count or cursor == 0:
                break
        if cursor and not found:
            self.cursors[place] = cursor  # so that nothing has been found since the beginning
        return Found(np.array(sorted(found)[:count], dtype=np.int64), complete=cursor == 0)


def _pattern(key: KeyBytes) -> bytes:
    """Return Redis's pattern of all keys of a layout."""
    return _escaped(key.before) + b"?" * np.dtype(key.dtype).itemsize + _escaped(key.after)


def _escaped(text: bytes) -> bytes:
    return b"".join(b"\\" + bytes([one]) if one in _SPECIAL else bytes([one]) for one in text)


def _of_sqlite(source: SqliteSource, place: int, count: int) -> Found:
    view = source.views[place]
    statement = f"SELECT DISTINCT entity_key FROM {view.table} LIMIT ?"
    keys = source.file.read(lambda connection: connection.execute(statement, (count,)).fetchall())
    drivers = _drivers(view.key, [key for (key,) in keys])
    return Found(drivers, complete=True)


def _drivers(key: KeyBytes, names: list[Any]) -> NDArray[np.int64]:
    """Return the drivers of keys; those of another layout are left out."""
    size = np.dtype(key.dtype).itemsize
    length = len(key.before) + size + len(key.after)
    numbers = b"".join(
        name[len(key.before) : len(key.before) + size]
        for name in names
        if isinstance(name, bytes) and len(name) == length and name.startswith(key.before) and name.endswith(key.after)
    )
    return np.frombuffer(numbers, dtype=key.dtype).astype(np.int64)
