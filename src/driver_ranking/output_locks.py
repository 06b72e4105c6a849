"""Outputs that one run at a time may write: each local file that a run makes is locked from its start to its end.

The locks are the operating system's (``flock``), which end with the process that holds them, however it ends. A lock
file stays; what is in it says who holds the lock, or did.
"""

import json
import os
import socket
from collections.abc import Generator, Iterable, Mapping
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline

from driver_ranking.errors import OutputInUseError, OutputPlaceError

_UNKNOWN: Final = {"pid": "unknown", "host": "unknown", "since": "unknown"}


def lock_path(output: Path) -> Path:
    """Return where the lock of an output is: hidden, beside it."""
    return output.with_name(f".{output.name}.lock")


class OutputLocks:
    """Holds the outputs of a run.

    What a run only reads, but while it goes on, is held as well: another run would replace it.
    """

    def __init__(self) -> None:
        """Hold nothing."""
        self._held = ExitStack()

    @hook_impl(wrapper=True, tryfirst=True)  # before anything is checked; what a check refuses, holds nothing
    def before_pipeline_run(
        self, pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]
    ) -> Generator[None, object, object]:
        """Lock what the run writes.

        Raises:
            OutputInUseError: Another run has it; nothing was changed.
        """
        names = {*pipeline.all_outputs(), *(name for name in pipeline.inputs() if _is_made_by_runs(catalog, name))}
        outputs = sorted(_local_outputs(catalog, names))
        made = [folder for output in outputs for folder in (output.parent, *output.parents) if not folder.exists()]
        with ExitStack() as held:
            held.callback(_unmake, made)  # of a run that is refused nothing is left
            for output in outputs:
                held.enter_context(_locked(output))
            result = yield
            self._held = held.pop_all()
        return result

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Let go."""
        self._held.close()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Let go."""
        self._held.close()


def _is_made_by_runs(catalog: CatalogProtocol[Any, Any], name: str) -> bool:
    return bool(getattr(catalog.get(name), "made_by_runs", False))


def _local_outputs(catalog: CatalogProtocol[Any, Any], names: Iterable[str]) -> set[Path]:
    """Return the files and folders of datasets that have such here."""
    found = set()
    for name in names:
        dataset = catalog.get(name)
        path = getattr(dataset, "_filepath", None)
        if path is not None and getattr(dataset, "_protocol", "file") in {"file", ""} and "://" not in str(path):
            found.add(Path(os.path.realpath(path)))
    return found


def _unmake(folders: Iterable[Path]) -> None:
    """Remove folders in which there is nothing but locks."""
    for folder in sorted(set(folders), key=lambda it: -len(it.parts)):
        if folder.is_dir() and all(path.suffix == ".lock" for path in folder.iterdir()):
            for path in folder.iterdir():
                path.unlink(missing_ok=True)
            with suppress(OSError):
                folder.rmdir()


def _locked(output: Path) -> ExitStack:
    try:
        return _acquired(output)
    except OSError as error:  # of a full disk, the command itself says it
        message = (
            f"{output} can't be written: {error.strerror or error}. Let the user of this run write to its folder, or "
            "name another place in the catalog. Nothing was changed."
        )
        raise OutputPlaceError(message) from error


def _acquired(output: Path) -> ExitStack:
    path = lock_path(output)
    path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(FileLock(path, blocking=False, thread_local=False))
        except Timeout:
            holder = _holder(path)
            message = (
                f"{output} is being written by another run: process {holder['pid']} on {holder['host']}, since "
                f"{holder['since']}. Wait for its end, or end it. Nothing was changed."
            )
            raise OutputInUseError(message) from None
        since = datetime.now(tz=UTC).isoformat(timespec="seconds")
        own = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
        path.write_text(json.dumps(own), encoding="utf-8")  # a lock whose holder can't be told is let go
        return stack.pop_all()


def _holder(path: Path) -> Mapping[str, object]:
    """Return who holds a lock; who has just got it may not have said so yet."""
    try:
        return {**_UNKNOWN, **json.loads(path.read_text(encoding="utf-8"))}
    except (OSError, ValueError):
        return _UNKNOWN
