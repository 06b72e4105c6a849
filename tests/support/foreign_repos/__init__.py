"""Feature repos that nobody wrote for this project, each with its data, its model and its requests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from support.foreign_repos.couriers import write_couriers
from support.foreign_repos.project import ForeignRun
from support.foreign_repos.restaurants import write_restaurants
from support.foreign_repos.rides import write_rides
from support.parity import batch_output
from support.projects import copy_project

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.foreign_repos.project import ForeignProject

FOREIGN: dict[str, Callable[[Path, datetime], ForeignProject]] = {
    "restaurants": write_restaurants,
    "rides": write_rides,
    "couriers": write_couriers,
}


def made_foreign(name: str, folder: Path) -> ForeignRun:
    """Make a project with a foreign repo as of this moment, and score its requests by batch."""
    copy_project(folder)
    project = FOREIGN[name](folder, datetime.now(tz=UTC).replace(microsecond=0))
    return ForeignRun(project, batch_output(project))
