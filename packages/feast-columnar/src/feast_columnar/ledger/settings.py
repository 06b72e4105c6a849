"""The ledger that feature_store.yaml names, if it names one.

    batch_engine:
      type: feast_columnar.StreamingComputeEngine
      ledger: data/ledger      # or, with what is kept of it:
      ledger: {path: s3://bucket/ledger, keep_days: 90, keep_entries: 10000, pushes: false}

It stands with the engine, as pushes alone say nothing of where most rows come from; the online stores look for it
there.
"""

from __future__ import annotations

import re
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feast.repo_config import FeastConfigBaseModel
from pydantic import PositiveFloat, PositiveInt, StrictBool, StrictStr, ValidationError

from feast_columnar.errors import RepoError
from feast_columnar.ledger.books import Ledger, Retention
from feast_columnar.ledger.entries import OnlineStore
from feast_columnar.ledger.files import files_at
from feast_columnar.redaction import without_credentials, without_secrets

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.repo_config import RepoConfig

_NAMED_BY = ("path", "host", "port", "database", "region")
_ADDRESS = re.compile(r"[^:@=,]+:\d+|db=\d+")  # of a connection string; what else it has may let somebody in


class LedgerConfig(FeastConfigBaseModel):
    """The `ledger` of the `batch_engine` section of feature_store.yaml; a text alone is its path.

    Attributes:
        path: A folder, relative to the repo's, or any URL that fsspec opens.
        keep_days: For how long entries are kept; without it for ever. Of each view, the newest always is.
        keep_entries: How many entries are kept; without it all. Likewise.
        pushes: Whether pushes are recorded as well, a small file each.
    """

    path: StrictStr
    keep_days: PositiveFloat | None = None
    keep_entries: PositiveInt | None = None
    pushes: StrictBool = True


def ledger_of(config: RepoConfig) -> Ledger | None:
    """Return the ledger of a feature repo; None if it has none.

    Raises:
        RepoError: It can't be used as it is configured.
    """
    engine: Any = config.batch_engine_config
    given = engine.get("ledger") if isinstance(engine, dict) else None
    if given is None:
        return None
    try:
        settings = LedgerConfig.model_validate(given if isinstance(given, dict) else {"path": given})
        return _opened(settings.model_dump_json(), str(config.repo_path or ""), config.project, store_of(config))
    except (ValidationError, ValueError, ImportError) as error:
        message = f"The ledger of materializations can't be used as `batch_engine` configures it: {error}"
        raise RepoError(without_secrets(message)) from None


@lru_cache(maxsize=16)  # pushes ask each time; what is remembered of the last removal is in it
def _opened(given: str, repo_path: str, project: str, store: OnlineStore) -> Ledger:
    settings = LedgerConfig.model_validate_json(given)
    place = settings.path if "://" in settings.path else str(Path(repo_path, settings.path).resolve())
    age = None if settings.keep_days is None else timedelta(days=settings.keep_days)
    retention = Retention(age, settings.keep_entries)
    return Ledger(without_secrets(place), files_at(place), project, store, retention, settings.pushes)


def open_ledger(store: FeatureStore) -> Ledger:
    """Return the ledger of materializations of a feature store, to ask it where an online row came from.

    Args:
        store: Feast's feature store, whose `batch_engine` names a ledger.

    Raises:
        RepoError: None is configured, or it can't be used as it is.
    """
    ledger = ledger_of(store.config)
    if ledger is None:
        message = (
            "The feature repo keeps no ledger of materializations: give batch_engine the type "
            "feast_columnar.StreamingComputeEngine and `ledger: PATH` in feature_store.yaml."
        )
        raise RepoError(message)
    return ledger


def store_of(config: RepoConfig) -> OnlineStore:
    """Return what the ledger says of the configured online store; nothing that lets anybody in."""
    options: Any = config.online_store
    if options is None:
        return OnlineStore("none", "")
    string = str(getattr(options, "connection_string", None) or "")
    hosts = [part for part in string.split(",") if _ADDRESS.fullmatch(part)]
    values = (getattr(options, name, None) for name in _NAMED_BY)
    named = [str(value) for value in values if isinstance(value, str | int | Path)]
    return OnlineStore(str(options.type), without_credentials(",".join([*hosts, *named])), _overwrites(options))


def _overwrites(options: Any) -> bool | None:  # noqa: ANN401 - each store's own
    """Tell whether a store lets a row take the place of one that is not older; Feast's Redis does not by default."""
    kinds = {kind.__qualname__ for kind in type(options).__mro__}
    if "RedisOnlineStoreConfig" in kinds:
        return bool(options.skip_dedup)
    return True if "SqliteOnlineStoreConfig" in kinds else None
