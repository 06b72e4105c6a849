"""What the engine and the online stores call, so that what they bring is in the ledger.

An entry is written twice, under one name: as begun before the first row is read, and whole when the last one is
written. What is killed between is seen to have begun. A push, which is a few rows at once, is written when it has
ended.

Nothing here ends a materialization: features that are fresh and not recorded are better than none. What can't be
recorded is said by an error in the log, each time, and an entry that was not written at its beginning is written at the
end.
"""

from __future__ import annotations

import contextlib
import getpass
import logging
import os
import socket
import sys
import uuid
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from feast_columnar.ledger.described import definition_digest, described_source
from feast_columnar.ledger.entries import Actor, Entry, Kind, Outcome, Run
from feast_columnar.ledger.settings import ledger_of
from feast_columnar.ledger.tally import Tally
from feast_columnar.online.moments import aware
from feast_columnar.redaction import without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from feast.infra.common.materialization_job import MaterializationTask
    from feast.repo_config import RepoConfig

    from feast_columnar.ledger.books import Ledger

logger = logging.getLogger(__name__)

_LONGEST_ERROR: Final = 500
_counting: ContextVar[Tally | None] = ContextVar("feast_columnar_ledger_tally", default=None)
_running: ContextVar[Run | None] = ContextVar("feast_columnar_ledger_run", default=None)


@contextlib.contextmanager
def one_run(mode: str, start: datetime | None, end: datetime) -> Iterator[Run]:
    """Have the entries of a block say that they are of one run.

    Args:
        mode: `full` or `incremental`.
        start: The range that is asked for.
        end: Likewise.
    """
    run = Run(uuid.uuid4().hex, mode, start.isoformat() if start else None, end.isoformat())
    token = _running.set(run)
    try:
        yield run
    finally:
        _running.reset(token)


@dataclass(frozen=True)
class Recorder:
    """Records one entry; without a ledger it counts, and that is all.

    Attributes:
        ledger: Where to.
        entry: The entry as it begins; None if it could not be made.
        tally: What is brought.
    """

    ledger: Ledger | None
    entry: Entry | None
    tally: Tally

    def begin(self) -> None:
        """Write that it has begun, in no hurry to have it on the disk: its end waits for that."""
        self._put(self.entry, durable=False)

    def end(self, error: BaseException | None = None, *, durable: bool = True) -> None:
        """Write what has been brought, and why it failed if it did."""
        if self.ledger is None or self.entry is None:
            return
        said = None if error is None else without_secrets(str(error) or type(error).__name__)[:_LONGEST_ERROR]
        if self._put(self.entry.closed(datetime.now(tz=UTC), self.tally.brought(), said), durable=durable):
            with _said(self.ledger, "is not freed of old entries"):
                self.ledger.tidy()

    def _put(self, entry: Entry | None, *, durable: bool) -> bool:
        if self.ledger is not None and entry is not None:
            untold = f"the {entry.kind} of {entry.view}, which is {entry.outcome}"
            what = f"can't take {untold}, so that what is served of it can't be traced"
            with _said(self.ledger, what):
                self.ledger.put(entry, durable=durable)
                return True
        return False


@contextlib.contextmanager
def recorded(config: RepoConfig, task: MaterializationTask, *, store_was_empty: bool) -> Iterator[Tally]:
    """Record a materialization of a view, and give what counts its rows; what fails without raising is told to that.

    Args:
        config: The feature repo's configuration.
        task: What is materialized.
        store_was_empty: Whether the store had nothing of the view.
    """
    ledger, tally = ledger_of(config) if task.feature_view.online else None, Tally()
    entry = _entry_of(ledger, task, config.repo_path, store_was_empty=store_was_empty) if ledger else None
    recorder = Recorder(ledger, entry, tally)
    recorder.begin()
    token = _counting.set(tally)
    try:
        yield tally
    except BaseException as error:
        recorder.end(error)
        raise
    else:
        recorder.end(tally.error)
    finally:
        _counting.reset(token)


@contextlib.contextmanager
def written(config: RepoConfig, view: Any, rows: Sequence[Any]) -> Iterator[None]:  # noqa: ANN401 - Feast has several kinds of views
    """Record what an online store is given: a part of a materialization that goes on, or else a push."""
    tally = _counting.get()
    ledger = None if tally else ledger_of(config)
    recorder = _pushing(ledger, config, view) if ledger and ledger.pushes else None
    try:
        yield
    except BaseException as error:
        if recorder:
            recorder.tally.add_rows(rows)
            recorder.end(error, durable=False)
        raise
    if recorder:
        recorder.tally.add_rows(rows)
        recorder.end(durable=False)
    elif tally and not tally.counts_batches:
        tally.add_rows(rows)


def _entry_of(
    ledger: Ledger, task: MaterializationTask, repo_path: Path | None, *, store_was_empty: bool
) -> Entry | None:
    view = task.feature_view
    entry: Entry | None = None
    with _said(ledger, f"can't say what the materialization of {view.name} is"):
        entry = Entry(
            **_common(ledger, view),
            kind=Kind.MATERIALIZATION,
            project=task.project,
            start=aware(task.start_time),
            end=aware(task.end_time),
            store_was_empty=store_was_empty,
            sources=() if view.batch_source is None else (described_source(view.batch_source, repo_path),),
            run=_running.get(),
        )
    return entry  # noqa: RET504 - None, where that was said


def _pushing(ledger: Ledger, config: RepoConfig, view: Any) -> Recorder:  # noqa: ANN401 - as above
    entry = None
    with _said(ledger, f"can't say what the push to {view.name} is"):
        entry = Entry(
            **_common(ledger, view),
            kind=Kind.PUSH,
            project=config.project,
            start=None,
            end=None,
            run=_running.get(),
        )
    return Recorder(ledger, entry, Tally())


def _common(ledger: Ledger, view: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    return {
        "id": uuid.uuid4().hex,
        "outcome": Outcome.BEGUN,
        "view": view.name,
        "join_keys": tuple(getattr(view, "join_keys", ())),
        "definition": definition_digest(view),
        "began": datetime.now(tz=UTC),
        "store": ledger.store,
        "actor": _actor(),
    }


def _actor() -> Actor:
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container whose user has no name
        user = str(os.getuid())
    return Actor(Path(*sys.argv[:1]).name or "python", user, socket.gethostname(), os.getpid())


@contextlib.contextmanager
def _said(ledger: Ledger, what: str) -> Iterator[None]:
    """Say what can't be recorded, and go on."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - nothing of a ledger may end what it records
        logger.error("The ledger of materializations %s %s: %s", ledger.place, what, without_secrets(str(error)))  # noqa: TRY400 - users act on the reason, not on a traceback
