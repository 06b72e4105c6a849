"""Keys of any kind that an online store has rows of, found with a bounded look at it: what can be asked for."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from feast.infra.key_encoding_utils import deserialize_entity_key

from feast_columnar.online.keys import KEY_VERSION, key_head
from feast_columnar.online.redis import RedisSource
from feast_columnar.online.sqlite import SqliteSource

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from feast_columnar.online.view_keys import ViewKey
    from feast_columnar.online.views import Source

_LOOKED_AT: Final = 400  # keys of each view


def example_keys(source: Source, keys: Sequence[ViewKey], candidate: str, count: int) -> dict[str, list[Any]] | None:
    """Find keys that a store has rows of, such that one request can ask for all of them.

    Args:
        source: What is read.
        keys: How each of its views is keyed.
        candidate: The key of which several are wanted.
        count: How many at most.

    Returns:
        By name: several of the candidate, one of each other. Nothing of the candidate if no row is found; None where
        the store is of a kind of which it can't be told.
    """
    if not isinstance(source, RedisSource | SqliteSource):
        return None
    asked = {name for key in keys for name in key.asked}
    found = [_named(key, _stored(source, place)) for place, key in enumerate(keys) if key.asked]
    example = _together([rows for rows in found if rows], candidate, count)
    return example if example.keys() == asked else {candidate: []}


def _together(views: Sequence[list[dict[str, Any]]], candidate: str, count: int) -> dict[str, list[Any]]:
    """Return keys with rows in as many views as possible: where a view has several keys, those of one row each."""
    fixed: dict[str, Any] = {}
    candidates: list[Any] = []
    for rows in sorted(views, key=lambda rows: (candidate not in rows[0], -len(rows[0]))):
        others = [name for name in rows[0] if name != candidate]
        fitting = [row for row in rows if all(fixed.get(name, row[name]) == row[name] for name in others)]
        if not fitting:
            continue
        usual = Counter(tuple(row[name] for name in others) for row in fitting).most_common(1)[0][0]
        fixed |= dict(zip(others, usual, strict=True))
        if candidate in rows[0]:
            here = [row[candidate] for row in fitting if tuple(row[name] for name in others) == usual]
            candidates = [one for one in candidates if one in set(here)] or candidates or here
    return ({candidate: candidates[:count]} if candidates else {}) | {name: [value] for name, value in fixed.items()}


def _stored(source: RedisSource | SqliteSource, place: int) -> list[bytes]:
    """Return some entity keys of a view, as they are stored."""
    if isinstance(source, SqliteSource):
        return source.keys_of(place, _LOOKED_AT)
    return _of_redis(source, place)


def _of_redis(source: RedisSource, place: int) -> list[bytes]:
    from feast_columnar.online.redis import having, is_key_of
    from feast_columnar.online.redis_scan import FROM_THE_START, pattern_between, scan

    view, found = source.views[place], set[bytes]()

    def take(names: list[bytes]) -> bool:
        written = having(source.client, names, view.fields[-1])
        found.update(name.removesuffix(view.suffix) for name in written if is_key_of(view.suffix, name))
        return len(found) >= _LOOKED_AT

    scan(source.client, FROM_THE_START, pattern_between(key_head(view.read.key.stored), view.suffix), take)
    return sorted(found)


def _named(key: ViewKey, stored: Sequence[bytes]) -> list[dict[str, Any]]:
    """Return stored keys by the names that requests have for them; those of another layout are left out."""
    asked: Mapping[str, str] = {column.stored: column.asked for column in key.columns}
    rows = []
    for one in stored:
        with suppress(Exception):  # whatever Feast makes of bytes that are no key
            message = deserialize_entity_key(one, KEY_VERSION)
            values = [getattr(value, str(value.WhichOneof("val"))) for value in message.entity_values]
            rows.append({asked[name]: value for name, value in zip(message.join_keys, values, strict=True)})
    return rows
