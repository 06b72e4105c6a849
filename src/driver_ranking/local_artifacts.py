"""Where the artifacts of a local MLflow registry are now.

MLflow writes the absolute place of every artifact into its database. Once the folder with both is copied, moved,
restored or mounted elsewhere, these name the old place: nothing is there, or the artifacts of the original, which a
copy must neither read nor write. What counts is where the database is now: the artifacts moved along with it.
"""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

ARTIFACTS = "artifacts"
"""The folder beside the database that training keeps artifacts in."""

_ID = re.compile(r"(m-)?[0-9a-f]{32}")  # of a run or a logged model: no two are the same
_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def database_of(tracking_uri: str) -> Path | None:
    """Return the file of a registry that is a SQLite database; None for any other."""
    prefix, separator, path = tracking_uri.partition(":///")
    if not separator or prefix.partition("+")[0] != "sqlite":
        return None
    return Path(path.partition("?")[0]).absolute()


def local_path(uri: str) -> Path | None:
    """Return the absolute path on this machine that an artifact URI names; None if it names something else."""
    parts = urlsplit(uri)
    if parts.scheme not in {"", "file"} or parts.netloc not in {"", "localhost"}:
        return None
    path = Path(unquote(parts.path) if parts.scheme else uri)
    return path if path.is_absolute() else None


@dataclass(frozen=True)
class LocalArtifacts:
    """The artifacts of a registry that is a SQLite database.

    Attributes:
        database: The file.
        made_in: The folder that the database was in when its experiment was made, or last brought home; None where
            that is not known.
    """

    database: Path
    made_in: Path | None

    @classmethod
    def of(cls, database: Path, experiment: str) -> "LocalArtifacts":
        """Read where a registry was made: the artifacts of its experiment are beside the database.

        Args:
            database: The file.
            experiment: The name of the experiment that training logs to.
        """
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            found = connection.execute("SELECT artifact_location FROM experiments WHERE name = ?", (experiment,))
            place = next((local_path(location) for (location,) in found if location), None)
        return cls(database, place.parent if place is not None and place.name == ARTIFACTS else None)

    def now(self, uri: str) -> str:
        """Return where an artifact is now, in the way that the URI has it.

        What lies in the folder that the registry was made in is in the one where it is now. What lies elsewhere is
        taken from where it would have moved to, if it is there; otherwise it is left alone. So is a run's or a model's
        folder that is there and has no copy: MLflow itself put it there, as it was logged by hand after the folder was
        copied.
        """
        path = local_path(uri)
        if path is None or path.is_relative_to(self.database.parent):
            return uri
        moved = self._moved(path)
        if moved is None or (_has_id(path) and path.exists() and not moved.exists()):
            return uri
        return moved.as_uri() if uri.startswith("file:") else str(moved)

    def bring_home(self) -> None:
        """Write into the database where its artifacts are now, so that what is logged next is kept with them.

        MLflow has no call for it. Rows that are right stay as they are.
        """
        with closing(sqlite3.connect(self.database)) as connection, connection:
            for table, column in _PLACES:
                query = f"SELECT DISTINCT {column} FROM {table} WHERE {column} IS NOT NULL"
                for (uri,) in connection.execute(query).fetchall():
                    moved = self.now(uri)
                    if moved != uri:
                        change = f"UPDATE {table} SET {column} = ? WHERE {column} = ?"
                        connection.execute(change, (moved, uri))

    def _moved(self, path: Path) -> Path | None:
        folder = self.database.parent
        if self.made_in is not None:
            if path.is_relative_to(self.made_in):
                return folder / path.relative_to(self.made_in)
            old, new = _without_what_is_alike(self.made_in, folder)
            if path.is_relative_to(old) and (new / path.relative_to(old)).exists():
                return new / path.relative_to(old)
        return next((place for place in _places_by_id(path, folder) if place.exists()), None)


def _has_id(path: Path) -> bool:
    return any(map(_ID.fullmatch, path.parts))


def _without_what_is_alike(old: Path, new: Path) -> tuple[Path, Path]:
    """Return two folders without the names that both end in: what was moved, from where and to where."""
    while old.name == new.name and old.name:
        old, new = old.parent, new.parent
    return old, new


def _places_by_id(path: Path, folder: Path) -> Iterator[Path]:
    """Give the places around a folder at which a path with an id of MLflow's may be now, the nearest first."""
    named = next((place for place, part in enumerate(path.parts) if _ID.fullmatch(part)), 0)
    for around in (folder, *folder.parents[:-1]):
        for start in range(1, named + 1):
            yield around.joinpath(*path.parts[start:])
