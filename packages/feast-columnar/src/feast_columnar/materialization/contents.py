"""What an online store still has of a feature view, and from where an incremental materialization has to start.

Feast takes the registry's word for what a store holds. A store that was flushed, removed, replaced by another or is not
the one that the registry was filled for has none of it, and would be given only what is new since.

The module imports nothing else of the project.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from feast.infra.key_encoding_utils import deserialize_entity_key, serialize_entity_key
from feast.infra.online_stores.redis import RedisOnlineStore, _versioned_fv_name
from feast.infra.online_stores.sqlite import SqliteOnlineStore, _table_id
from redis.exceptions import ResponseError

if TYPE_CHECKING:
    from feast.feature_view import FeatureView
    from feast.infra.online_stores.online_store import OnlineStore
    from feast.repo_config import RepoConfig
    from redis import Redis

_KEYS_A_SCAN: Final = 1_000
_SPECIAL: Final = b"\\*?[]^-"  # in Redis's patterns
_YEAR: Final = timedelta(weeks=52)
"""What Feast goes back where a view has no ttl."""

_LONGEST: Final = timedelta(days=73_000)
"""Further back than two hundred years there is no time that all stores can compare with."""


def has_features(store: OnlineStore, config: RepoConfig, view: FeatureView) -> bool | None:
    """Tell whether an online store has any row of a feature view.

    Of a SQLite store one row is read. A Redis is gone through until a key with the view's features is found: all of it
    if there is none.

    Returns:
        None for a store of which it can't be told.

    Raises:
        Exception: The store can't be read; the store's own.
    """
    if isinstance(store, SqliteOnlineStore):
        return _sqlite_has(Path(store._get_db_path(config)), _table(config, view))  # noqa: SLF001 - Feast has no other way
    if isinstance(store, RedisOnlineStore):
        return _redis_has(store, config, view)
    return None


def refill_start(view: FeatureView, now: datetime) -> datetime:
    """Return from where a store that has lost a view's features is filled again.

    As the first time, from the view's ttl back; from further back if earlier materializations began there, so that
    nothing is missing that was there before.

    Args:
        view: A feature view that has been materialized before.
        now: The time, with a zone.
    """
    back = now - min(view.ttl or _YEAR, _LONGEST)
    return min([back, *(_aware(start) for start, _ in view.materialization_intervals)])


def brought_up_to(view: FeatureView) -> datetime | None:
    """Return up to when a view's rows have been brought, which is where an incremental materialization goes on.

    That is the latest end of the intervals that the registry keeps, but for one: an interval that ends before it begins
    was kept by an incremental run that came before the end of an earlier one, and had to bring its rows by itself.

    Returns:
        None for a view that has not been materialized.
    """
    last: datetime | None = None
    for start, end in view.materialization_intervals:
        last = _aware(end) if last is None or start > end else max(last, _aware(end))
    return last


def goes_on(view: FeatureView, start: datetime) -> bool:
    """Tell whether a materialization with this start goes on from where the view's last one has ended."""
    return brought_up_to(view) == _aware(start)


def _aware(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _table(config: RepoConfig, view: FeatureView) -> str:
    name: str = _table_id(config.project, view, config.registry.enable_online_feature_view_versioning)
    return name


def _sqlite_has(path: Path, table: str) -> bool:
    if not path.exists():
        return False
    quoted = '"' + table.replace('"', '""') + '"'
    with closing(sqlite3.connect(path, timeout=60)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)).fetchone():
            return False
        return connection.execute(f"SELECT 1 FROM {quoted} LIMIT 1").fetchone() is not None


def _redis_has(store: RedisOnlineStore, config: RepoConfig, view: FeatureView) -> bool | None:
    client = store._get_client(config.online_store)  # noqa: SLF001 - Feast has no other way
    project = config.project.encode()
    pattern = b"*" + b"".join(b"\\" + bytes([one]) if one in _SPECIAL else bytes([one]) for one in project)
    written = f"_ts:{_versioned_fv_name(view, config)}"
    try:
        found = client.scan_iter(match=pattern, count=_KEYS_A_SCAN)
        while keys := list(islice(found, _KEYS_A_SCAN)):
            if any(_is_of(config, key) for key in _having(client, keys, written)):
                return True
    except ResponseError:  # this user may read keys, but not look for them
        return None
    return False


def _having(client: Redis, keys: list[bytes], field: str) -> list[bytes]:
    """The keys that are hashes with a field."""
    with client.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.hexists(key, field)  # type: ignore[arg-type] # keys are bytes here
        answers = pipeline.execute(raise_on_error=False)  # a key may be of another type
    return [key for key, answer in zip(keys, answers, strict=True) if answer is True]


def _is_of(config: RepoConfig, key: bytes) -> bool:
    """Whether a key is of this project: that of `old_rides` ends like one of `rides`."""
    entity, version = key.removesuffix(config.project.encode()), config.entity_key_serialization_version
    try:
        return serialize_entity_key(deserialize_entity_key(entity, version), version) == entity
    except Exception:  # noqa: BLE001 - whatever Feast makes of bytes that are no key
        return False
