"""What the configuration of an Airflow run may name: files of allowed folders, and URLs. Standard library alone.

The configuration comes from whoever may trigger a DAG, and is read with the rights of the task: what is not allowed is
refused before a task starts. Links are followed where the files are on this machine, which is not so for a container.
"""

import os
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from driver_ranking_airflow.parameters import ParameterError, shown

_CHAIN = "::"  # what fsspec joins file systems by: simplecache::s3://bucket/file
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_LOCAL = ("file", "local")
_PATTERN = re.compile(r"[*?\[]")
_NEVER = re.compile(r"[\\{}]")  # escapes and alternatives of Spark's patterns: they can spell `..`


@dataclass(frozen=True)
class Places:
    """What may be named.

    Attributes:
        allowed: Folders, relative to the project or absolute; beginnings of URLs, such as ``s3://bucket/requests/`` or,
            for all of a scheme, ``s3://``; chains of them, such as ``simplecache::s3://bucket/``.
        parameters: The parameters that name a file; the text of another one does if it has a slash or ``::``.
        project: The project's folder where its files are on this machine; None where they are in a container.
    """

    allowed: Collection[str]
    parameters: Collection[str]
    project: Path | None

    def check(self, configuration: object) -> None:
        """Refuse a configuration that names what is not allowed.

        Raises:
            ParameterError: It does; the message says what may be named, and nothing of what is there.
        """
        for name, value in configuration.items() if isinstance(configuration, Mapping) else ():
            must_be_place = name.partition(".")[0] in self.parameters
            if isinstance(value, str):
                named = must_be_place or "/" in value or "\\" in value or _CHAIN in value
                if named and not self.admits(value):
                    message = (
                        f"The value of {shown(name)}, {shown(value)}, is not in a place that a DAG's configuration may "
                        f"name: {', '.join(self.allowed) or 'none'}. Such places are allowed_places of airflow.yml."
                    )
                    raise ParameterError(message)
            elif must_be_place:
                message = f"The value of {shown(name)}, {shown(value)}, is not a text that names a file."
                raise ParameterError(message)

    def admits(self, named: str) -> bool:
        """Return whether a path or URL is in one of the allowed places."""
        return any(self._in_place(named, place) for place in self.allowed)

    def _in_place(self, named: str, place: str) -> bool:
        links, allowed = named.split(_CHAIN), place.split(_CHAIN)
        return len(links) == len(allowed) and all(map(self._in_link, links, allowed))

    def _in_link(self, link: str, allowed: str) -> bool:
        if not _SCHEME.match(allowed):
            if _SCHEME.match(link):
                return False
            return link == allowed or self._in_folder(link, allowed)  # equal: `simplecache` of a chain, no folder
        if not _in_url(link, allowed):
            return False
        scheme, _, folder = allowed.partition("://")
        return scheme not in _LOCAL or self._in_folder(link.partition("://")[2], folder or "/")

    def _in_folder(self, path: str, folder: str) -> bool:
        if not path or _NEVER.search(path) or ".." in path.split("/"):
            return False
        if self.project is None:
            return not _PATTERN.search(path) and Path(path).is_relative_to(folder)
        try:
            whole = self.project / path
            with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                whole.stat()  # to find a loop of links: from Python 3.13 on, `resolve` takes one for a file
            # a pattern is one only where no file is called so; what it would find is not known here
            return (not _PATTERN.search(path) or os.path.lexists(whole)) and whole.resolve().is_relative_to(
                (self.project / folder).resolve()
            )
        except (OSError, RuntimeError, ValueError):  # a loop of links, a name that can be none
            return False


def _in_url(url: str, allowed: str) -> bool:
    """Return whether a URL begins with another: the same scheme, host and, to the slash, path."""
    try:
        given, start = urlsplit(url), urlsplit(allowed)
    except ValueError:
        return False
    if given.scheme != start.scheme or not url[len(given.scheme) :].startswith("://") or _NEVER.search(url):
        return False
    if ".." in re.split(r"[/?#]", _unquoted(url)):
        return False
    if not start.netloc and not start.path:
        return True
    path, folder = unquote(given.path), start.path.rstrip("/")
    return given.netloc == start.netloc and (path == folder or path.startswith(f"{folder}/"))


def _unquoted(url: str) -> str:
    """Return a URL without quoting, however often it is quoted."""
    while (once := unquote(url)) != url:
        url = once
    return url
