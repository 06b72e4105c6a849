"""A progress bar that counts rows, where there is somebody to see it."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from feast.infra.common.materialization_job import MaterializationTask


class Bar(Protocol):
    """What is used of a progress bar."""

    def update(self, rows: int) -> object:
        """Count rows."""
        ...


class _NoBar:
    def update(self, rows: int) -> None:
        """Nobody is watching."""


def progress_bar(task: MaterializationTask) -> AbstractContextManager[Bar]:
    """Feast's progress bar, counting rows, if there is a terminal to show it on.

    A stream doesn't know its length beforehand: the bar shows the count and the rate.
    """
    if task.tqdm_builder is None or not sys.stderr.isatty():
        return nullcontext(_NoBar())
    bar: Any = task.tqdm_builder(None)  # type: ignore[arg-type] # tqdm's word for unknown
    bar.unit, bar.unit_scale, bar.desc = " rows", True, task.feature_view.name
    built: AbstractContextManager[Bar] = bar
    return built
