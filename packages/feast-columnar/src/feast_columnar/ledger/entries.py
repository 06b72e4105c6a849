"""What the ledger knows of one materialization, or of one push: an entry, and its text."""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

FORMAT: Final = 1
"""Of an entry's text. What is added later and may be left out keeps the number; what is read otherwise gets another."""


_Part = TypeVar("_Part")


class Kind(StrEnum):
    """How rows were brought."""

    MATERIALIZATION = "materialization"
    PUSH = "push"


class Outcome(StrEnum):
    """How far it came: what has begun and not ended is going on, or was killed, and may have brought some rows."""

    BEGUN = "begun"
    FINISHED = "finished"
    FAILED = "failed"


class UnreadableEntryError(ValueError):
    """A text is not that of a whole entry."""


class NewerEntryError(ValueError):
    """An entry is of a later format than this version reads."""


@dataclass(frozen=True)
class SourceFile:
    """A file of a source as it was when reading began.

    Attributes:
        path: Its path or URL.
        size: In bytes.
        modified: When it was changed last, if its file system says so.
        digest: SHA-256 of its Parquet footer, or the ETag of an object; None where neither is cheap.
    """

    path: str
    size: int
    modified: datetime | None = None
    digest: str | None = None


@dataclass(frozen=True)
class Source:
    """The data source of a view as it was when reading began.

    Attributes:
        name: Its name in the feature repo.
        path: Its path or URL, as the feature repo has it.
        count: How many files it had; None if they could not be listed.
        size: Their bytes together.
        digest: SHA-256 of the list of its files with their sizes, times and digests.
        files: The files; of very many none.
    """

    name: str
    path: str
    count: int | None = None
    size: int | None = None
    digest: str | None = None
    files: tuple[SourceFile, ...] = ()


@dataclass(frozen=True)
class OnlineStore:
    """Where the rows went.

    Attributes:
        type: The store's type as the configuration names it.
        address: Its path or host, without credentials.
        overwrites: Whether a row takes the place of one that is not older; None if that is not known of the store.
    """

    type: str
    address: str
    overwrites: bool | None = None


@dataclass(frozen=True)
class Actor:
    """Who brought the rows."""

    program: str
    user: str
    host: str
    pid: int


@dataclass(frozen=True)
class Run:
    """What several entries were brought for at once.

    Attributes:
        id: The same in all of its entries.
        mode: `full` for a range, `incremental` for what came since the last time.
        start: The range that was asked for, as it was written; None where it was left open.
        end: Likewise, but not after the run began.
    """

    id: str
    mode: str
    start: str | None
    end: str


@dataclass(frozen=True)
class Brought:
    """What is known of the rows of a view that were brought.

    Attributes:
        rows: Their number; None if it is not known, as the store was written by others' code.
        oldest_event_time: The first of their event times.
        newest_event_time: The last one.
        newest_created: When the latest of them was written, where the source has such a column.
    """

    rows: int | None = None
    oldest_event_time: datetime | None = None
    newest_event_time: datetime | None = None
    newest_created: datetime | None = None


@dataclass(frozen=True)
class Entry:
    """One view that was brought to an online store, or rows of it that were pushed there.

    Attributes:
        id: Its own, for ever.
        kind: How the rows were brought.
        outcome: How far it came.
        project: The Feast project.
        view: The feature view.
        join_keys: The view's join keys, its key space.
        definition: SHA-256 of the view's definition.
        start: The first event time that was asked for; None for a push.
        end: The last one.
        began: When it began, before anything was read.
        ended: When the last row was written; None as long as that is not known.
        store_was_empty: Whether the store had nothing of the view: no row in it is of an earlier entry.
        brought: The rows.
        sources: Where they came from.
        store: Where they went.
        actor: Who brought them.
        run: What they were brought for, if that was said.
        error: Why it failed.
    """

    id: str
    kind: Kind
    outcome: Outcome
    project: str
    view: str
    join_keys: tuple[str, ...]
    definition: str
    start: datetime | None
    end: datetime | None
    began: datetime
    store: OnlineStore
    actor: Actor
    ended: datetime | None = None
    store_was_empty: bool = False
    brought: Brought = Brought()
    sources: tuple[Source, ...] = ()
    run: Run | None = None
    error: str | None = None

    def closed(self, ended: datetime, brought: Brought, error: str | None = None) -> Self:
        """Return the entry as it is at its end."""
        outcome = Outcome.FINISHED if error is None else Outcome.FAILED
        return replace(self, outcome=outcome, ended=ended, brought=brought, error=error)

    @property
    def chain(self) -> str:
        """Return what entries have in common of which the newest is never removed: view, store and kind."""
        return chain_of(self.project, self.store, self.view, self.kind)

    @property
    def has_rows(self) -> bool:
        """Tell whether it brought rows and came to its end; unknown numbers count."""
        return self.outcome is Outcome.FINISHED and self.brought.rows != 0

    def text(self) -> str:
        """Return the entry as JSON: one object, of which no shorter beginning is one."""
        return json.dumps({"format": FORMAT} | asdict(self), default=_text_of, indent=1) + "\n"


def chain_of(project: str, store: OnlineStore, view: str, kind: Kind) -> str:
    """Return what the entries of a view in a store, of one kind, have in common, in a few characters."""
    named = f"{project}\0{store.type}\0{store.address}\0{view}\0{kind}"
    return hashlib.sha256(named.encode()).hexdigest()[:12]


def entry_of(text: str | bytes) -> Entry:
    """Return the entry that a text is of.

    Raises:
        UnreadableEntryError: It is not the text of a whole entry.
        NewerEntryError: It is of a later format.
    """
    with _whole():
        read = json.loads(text)
        is_newer = read["format"] > FORMAT
    if is_newer:
        message = f"format {read['format']}, and this version reads none above {FORMAT}"
        raise NewerEntryError(message)
    with _whole():
        return _entry(read)


@contextmanager
def _whole() -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        message = f"{type(error).__name__}: {error}"
        raise UnreadableEntryError(message) from error


def _text_of(value: object) -> str:
    if not isinstance(value, datetime):
        message = f"{type(value).__name__} has no place in an entry"
        raise TypeError(message)
    return value.astimezone(UTC).isoformat(timespec="microseconds")


def _entry(read: Mapping[str, Any]) -> Entry:
    return Entry(
        id=read["id"],
        project=read["project"],
        view=read["view"],
        definition=read["definition"],
        store_was_empty=read["store_was_empty"],
        error=read["error"],
        start=_time(read["start"]),
        end=_time(read["end"]),
        ended=_time(read["ended"]),
        kind=Kind(read["kind"]),
        outcome=Outcome(read["outcome"]),
        join_keys=tuple(read["join_keys"]),
        began=datetime.fromisoformat(read["began"]),
        brought=_part(Brought, read["brought"], _time_of_brought),
        sources=tuple(_source(one) for one in read["sources"]),
        store=_part(OnlineStore, read["store"]),
        actor=_part(Actor, read["actor"]),
        run=read["run"] and _part(Run, read["run"]),
    )


def _as_it_is(_name: str, value: Any) -> Any:  # noqa: ANN401 - what JSON holds
    return value


def _source(read: Mapping[str, Any]) -> Source:
    files = tuple(_part(SourceFile, one, _time_of_file) for one in read["files"])
    return replace(_part(Source, {**read, "files": ()}), files=files)


def _part(kind: type[_Part], read: Mapping[str, Any], value_of: Callable[[str, Any], Any] = _as_it_is) -> _Part:
    """Make a part of an entry; what a later version has added to it is left out."""
    names = kind.__dataclass_fields__  # type: ignore[attr-defined] # of a dataclass
    known = {name: value for name, value in read.items() if name in names}
    return kind(**{name: value_of(name, value) for name, value in known.items()})


def _time(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


def _time_of_file(name: str, value: Any) -> Any:  # noqa: ANN401 - of any of its fields
    return _time(value) if name == "modified" else value


def _time_of_brought(name: str, value: Any) -> Any:  # noqa: ANN401 - a number or a time
    return value if name == "rows" else _time(value)
