"""A copy of a feature repo, with the files of its sources at the same places beside it."""

import glob
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from driver_ranking.errors import ProjectInitError
from feast_columnar.errors import AsofError

if TYPE_CHECKING:
    from feast.infra.offline_stores.file_source import FileSource
    from feast.repo_contents import RepoContents

_LEFT_OUT: Final = shutil.ignore_patterns(
    *(".[!.]*", "__pycache__", "venv", "*.pyc", "*.ipynb"),  # hidden ones may be secrets
    *("*.parquet", "*.db", "*.db-shm", "*.db-wal", "*.sqlite", "*.duckdb"),  # what sources name is copied by them
)


def copy_repo(repo: Path, target: Path) -> None:
    """Copy what defines the features; no data, and nothing that is hidden."""

    def left_out(folder: str, names: list[str]) -> set[str]:
        return _LEFT_OUT(folder, names) - {".feastignore"}

    shutil.copytree(repo, target, ignore=left_out, ignore_dangling_symlinks=True)


def place_sources(definitions: "RepoContents", repo: Path, copy: Path) -> None:
    """Copy the files of a repo's sources to where its copy looks for them; others stay where they are.

    Args:
        definitions: What the copy defines.
        repo: The repo.
        copy: Its copy, a folder in the project.

    Raises:
        ProjectInitError: A source can't be read, or its file is not there, or the copy would look for it outside of
            the project.
    """
    for source, owner in _file_sources(definitions):
        path = source.path.removeprefix("file://")
        if "://" in path:
            continue
        place = Path(os.path.normpath(copy / path))
        if place.is_relative_to(copy.parent):
            _copy_matches(Path(os.path.normpath(repo / os.path.relpath(place, copy))), place, owner)
        elif not os.path.isabs(path):  # noqa: PTH117 - a text of the user's
            message = (
                f"{owner} is at {path}, too far above the feature repo to be copied into the project. Name it by an "
                f"absolute path, or put it beside the feature repo."
            )
            raise ProjectInitError(message)
        elif not matches(Path(path)):
            raise ProjectInitError(_missing(owner, Path(path)))


def _file_sources(definitions: "RepoContents") -> "Iterator[tuple[FileSource, str]]":
    """Yield the sources of all views with how messages name them; refuse those that can't be read."""
    from feast_columnar.offline.sources import checked_source

    for view in _views(definitions):
        if getattr(view, "source_views", None):
            continue
        owner = f"feature view {view.name!r}"
        try:
            source = checked_source(view.batch_source, owner)
        except AsofError as error:
            message = f"{str(error)[0].upper()}{str(error)[1:]}. Export it to Parquet, and define it as a FileSource."
            raise ProjectInitError(message) from error
        yield source, f"The source {source.name!r} of the {owner}"


def _views(definitions: "RepoContents") -> Iterable[Any]:
    views = [*definitions.feature_views, *definitions.stream_feature_views]
    return [*views, *getattr(definitions, "label_views", [])]


def _copy_matches(original: Path, place: Path, owner: str) -> None:
    """Copy a file, a folder or all that a pattern names."""
    found = matches(original)
    if not found:
        raise ProjectInitError(_missing(owner, original))
    for one in found:
        target = place if one == original else _counterpart(one, original, place)
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if one.is_dir() else shutil.copyfile)(one, target)


def matches(path: Path) -> list[Path]:
    """Return what is at a path, or what a pattern names."""
    if path.exists():
        return [path]
    fixed = next((parent for parent in path.parents if not glob.has_magic(str(parent))), path)
    return sorted(fixed.glob(str(path.relative_to(fixed)))) if glob.has_magic(str(path)) else []


def _counterpart(found: Path, pattern: Path, place: Path) -> Path:
    """Return where a file that a pattern has found belongs: below the folder that both patterns begin with."""
    fixed = next(parent for parent in pattern.parents if not glob.has_magic(str(parent)))
    depth = len(pattern.parts) - len(fixed.parts)
    return place.parents[depth - 1] / found.relative_to(fixed)


def _missing(owner: str, path: Path) -> str:
    return f"{owner}: there is nothing at {path}. If the repo has a program that makes its data, run that first."
