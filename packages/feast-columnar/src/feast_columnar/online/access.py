"""An online store that Feast has opened: read one at a time, followed to a new file, its errors named."""

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feast_columnar.errors import FeaturesLostError, StoreUnavailableError
from feast_columnar.online.sqlite_file import Gate
from feast_columnar.redaction import without_secrets

if TYPE_CHECKING:
    from feast import RepoConfig
    from feast.infra.online_stores.online_store import OnlineStore

NO_FEATURES = "The online feature store has no features."


@dataclass(frozen=True)
class StoreAccess:
    """What goes around every read of a store.

    Attributes:
        config: The feature repo's configuration.
        online_store: The store.
        gate: Closes its files.
    """

    config: "RepoConfig"
    online_store: "OnlineStore"
    gate: Gate

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Read from whichever file a SQLite store has now.

        Raises:
            StoreUnavailableError: Whatever the store raises.
        """
        with self.naming_errors(), self.gate:
            _follow_file(self.online_store, self.config)
            yield

    @contextlib.contextmanager
    def naming_errors(self) -> Iterator[None]:
        """Turn whatever the store raises into an error that says so.

        Raises:
            FeaturesLostError: Its file or a table of it is not there.
            StoreUnavailableError: Anything else.
        """
        name = type(self.online_store).__name__.removesuffix("OnlineStore") or "online"
        try:
            yield
        except FeaturesLostError as error:
            message = f"{NO_FEATURES} The {name} online store can't be read: {error}"
            raise FeaturesLostError(message) from None
        except Exception as error:
            message = f"The {name} online store can't be read: {without_secrets(str(error)) or type(error).__name__}"
            if isinstance(error, sqlite3.OperationalError) and "no such table" in message:
                message = f"{NO_FEATURES} {message}; materialize"
                raise FeaturesLostError(message) from error
            raise StoreUnavailableError(message) from error


def _follow_file(online_store: Any, config: Any) -> None:  # noqa: ANN401 - any store
    """Open a SQLite store's file again if another one has taken its place: the open one would never change."""
    if not hasattr(online_store, "_get_db_path"):
        return
    path = Path(online_store._get_db_path(config))  # noqa: SLF001 - Feast has no other way
    try:
        inode = path.stat().st_ino
    except FileNotFoundError:
        message = "its file is not there; materialize"  # else SQLite would make an empty one
        raise FeaturesLostError(message) from None
    if online_store._conn and inode != getattr(online_store, "feast_columnar_inode", inode):  # noqa: SLF001
        online_store._conn.close()  # noqa: SLF001 - likewise
        online_store._conn = None  # noqa: SLF001 - the store opens the new file
    online_store.feast_columnar_inode = inode
