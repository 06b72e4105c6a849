"""The ledger itself: entries are appended and read, and old ones removed."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from feast_columnar.errors import RepoError
from feast_columnar.ledger.entries import Entry, Kind, NewerEntryError, UnreadableEntryError, chain_of, entry_of
from feast_columnar.ledger.history import History

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from feast_columnar.ledger.entries import OnlineStore
    from feast_columnar.ledger.files import LocalFiles, RemoteFiles

logger = logging.getLogger(__name__)

_PRUNED_EVERY: Final = 3600.0  # seconds, in one process
_PRUNED_AFTER: Final = 1000  # entries, likewise


def name_of(entry: Entry) -> str:
    """Return where an entry is kept: by day, in the order of time, with what tells whose it is without a look at it."""
    moment = entry.began.astimezone(UTC)
    return f"{moment:%Y-%m-%d}/{moment:%Y%m%dT%H%M%S%f}Z-{entry.chain}-{entry.id}.json"


@dataclass(frozen=True)
class Retention:
    """What is kept.

    Attributes:
        age: For how long; None: for ever.
        count: How many entries; None: all.
    """

    age: timedelta | None = None
    count: int | None = None

    def beyond(self, names: list[str], now: datetime) -> list[str]:
        """Return the names, which are sorted, of what is too old or too many."""
        many = len(names) - self.count if self.count is not None else 0
        first = "" if self.age is None else f"{now - self.age:%Y-%m-%d/%Y%m%dT%H%M%S%f}Z"
        return [name for number, name in enumerate(names) if number < many or name < first]


@dataclass
class _Pruning:
    """When this process has removed old entries last."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    at: float = -_PRUNED_EVERY
    appended: int = 0

    def is_due(self) -> bool:
        """Count an entry, and tell whether to remove old ones now."""
        with self.lock:
            self.appended += 1
            due = self.appended >= _PRUNED_AFTER or time.monotonic() - self.at >= _PRUNED_EVERY
            if due:
                self.at, self.appended = time.monotonic(), 0
            return due


@dataclass(frozen=True)
class Ledger:
    """The materializations of a feature repo. Threads and processes write and read it side by side.

    Attributes:
        place: Its folder or URL.
        files: What is in it.
        project: The Feast project whose histories are asked for.
        store: The online store whose histories are asked for.
        retention: What is kept.
        pushes: Whether pushes are recorded.
    """

    place: str
    files: LocalFiles | RemoteFiles
    project: str
    store: OnlineStore
    retention: Retention = Retention()
    pushes: bool = True
    _pruning: _Pruning = field(default_factory=_Pruning, repr=False, compare=False)

    def put(self, entry: Entry, *, durable: bool = True) -> None:
        """Append an entry, or have it end.

        Args:
            entry: The entry; one of the same id, which has begun, is replaced.
            durable: Whether to wait until it would survive a loss of power.

        Raises:
            OSError: It can't be written.
        """
        self.files.write(name_of(entry), entry.text().encode(), durable=durable)

    def tidy(self) -> None:
        """Remove what is not to be kept, now and then."""
        if self.retention != Retention() and self._pruning.is_due():
            self.prune(datetime.now(tz=UTC))

    def prune(self, now: datetime) -> list[str]:
        """Remove what is not to be kept, but of each view, store and kind the newest that brought rows.

        Args:
            now: The time.

        Returns:
            The names of what was removed.
        """
        names = self.files.names()
        self.files.remove_unfinished()
        beyond = self.retention.beyond(names, now)
        kept = {self._newest_of(chain, names) for chain in {_chain_in(name) for name in beyond}}
        removed = [name for name in beyond if name not in kept]
        for name in removed:
            self.files.remove(name)
        return removed

    def _newest_of(self, chain: str, names: list[str]) -> str | None:
        """Return the name of the newest entry of a chain that brought rows; its later ones are looked at first."""
        for name in reversed(names):
            if _chain_in(name) == chain:
                entry = self._entry(name)
                if entry is not None and entry.has_rows:
                    return name
        return None

    def entries(self, *, since: datetime | None = None) -> Iterator[Entry]:
        """Yield the entries of all projects, views and stores in the order in which they began.

        Args:
            since: Leave out what began before.

        Raises:
            RepoError: One is of a later format than this version reads.
        """
        first = "" if since is None else f"{since.astimezone(UTC):%Y-%m-%d/%Y%m%dT%H%M%S%f}Z"
        return self._read(name for name in self.files.names() if name >= first)

    def history(self, view: str) -> History:
        """Return the entries of a view in the online store that is configured.

        Raises:
            RepoError: One is of a later format than this version reads.
        """
        chains = {chain_of(self.project, self.store, view, kind) for kind in Kind}
        return History(tuple(self._read(name for name in self.files.names() if _chain_in(name) in chains)))

    def run(self, run_id: str, *, since: datetime | None = None) -> list[Entry]:
        """Return the entries of one run."""
        return [entry for entry in self.entries(since=since) if entry.run and entry.run.id == run_id]

    def _read(self, names: Iterable[str]) -> Iterator[Entry]:
        for name in names:
            entry = self._entry(name)
            if entry is not None:
                yield entry

    def _entry(self, name: str) -> Entry | None:
        try:
            return entry_of(self.files.read(name))
        except FileNotFoundError:  # removed by another process since the names were read
            return None
        except UnreadableEntryError as error:
            logger.warning("%s in the ledger %s is no entry, and left out: %s", name, self.place, error)
            return None
        except NewerEntryError as error:
            message = (
                f"The entry {name} in the ledger {self.place} is of {error}. Read it with the version that wrote it."
            )
            raise RepoError(message) from error


def _chain_in(name: str) -> str:
    return name.split("-")[-2]
