"""What an entry says of a view's definition and of its source, cheaply: no row is read."""

from __future__ import annotations

import hashlib
import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from feast_columnar.ledger.entries import Source, SourceFile
from feast_columnar.redaction import without_credentials

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_FILES: Final = 64  # of more, an entry holds the digest of their list alone, and no footer is read
_PICKLED: Final = "body"
_READABLE: Final = "body_text"
_MAGIC: Final = b"PAR1"
_TIMES: Final = ("mtime", "LastModified", "last_modified", "updated")
_TAGS: Final = ("ETag", "etag", "md5Hash")


def definition_digest(view: Any) -> str:  # noqa: ANN401 - Feast has several kinds of views
    """Return the SHA-256 of what a view is defined as, the same in every process that reads the same definition."""
    spec = view.to_proto().spec
    for name in ("batch_source", "stream_source", "source"):
        if name in spec.DESCRIPTOR.fields_by_name and spec.HasField(name):
            getattr(spec, name).ClearField("meta")  # when it was applied
    _leave_out_pickles(spec)
    return hashlib.sha256(spec.SerializeToString(deterministic=True)).hexdigest()


def _leave_out_pickles(message: Any) -> None:  # noqa: ANN401 - a protobuf message
    """Leave functions their text: they are pickled anew in each process."""
    names = message.DESCRIPTOR.fields_by_name
    if _PICKLED in names and _READABLE in names:
        message.ClearField(_PICKLED)
    for kind, value in message.ListFields():
        if kind.message_type is not None and hasattr(value, "ListFields"):
            _leave_out_pickles(value)


def described_source(source: Any, repo_path: Path | None) -> Source:  # noqa: ANN401 - each kind of source has its own class
    """Return what a source is made of now; of one that has no files its name and kind."""
    path = getattr(source, "path", None)
    if not isinstance(path, str) or not path:
        return Source(str(source.name), type(source).__name__)
    try:
        files = _files(path, repo_path)
    except Exception as error:  # noqa: BLE001 - whatever a file system raises; reading the rows will say it
        return Source(source.name, without_credentials(path), digest=f"not listed: {type(error).__name__}")
    listed = "\n".join(f"{file.path}\0{file.size}\0{file.modified}\0{file.digest}" for file in files)
    return Source(
        name=source.name,
        path=without_credentials(path),
        count=len(files),
        size=sum(file.size for file in files),
        digest=hashlib.sha256(listed.encode()).hexdigest(),
        files=tuple(files) if len(files) <= _MOST_FILES else (),
    )


def _files(path: str, repo_path: Path | None) -> list[SourceFile]:
    from fsspec.core import url_to_fs

    from feast_columnar.offline.sources import located

    system, inner = url_to_fs(located(path, repo_path))
    found = _listed(system, inner)
    is_local = "file" in (system.protocol if isinstance(system.protocol, tuple | list) else (system.protocol,))
    with_footers = is_local and len(found) <= _MOST_FILES
    return [_file(name, found[name], with_footer=with_footers) for name in sorted(found)]


def _listed(system: Any, path: str) -> Mapping[str, Mapping[str, Any]]:  # noqa: ANN401 - fsspec has no types
    if system.isfile(path):
        return {path: system.info(path)}
    found = system.find(path, detail=True) if system.isdir(path) else system.glob(path, detail=True)
    return {
        name: info
        for name, info in found.items()
        if info["type"] == "file" and name.endswith(".parquet") and not Path(name).name.startswith(("_", "."))
    }


def _file(name: str, info: Mapping[str, Any], *, with_footer: bool) -> SourceFile:
    modified = next((info[key] for key in _TIMES if info.get(key)), None)
    if isinstance(modified, int | float):
        modified = datetime.fromtimestamp(modified, tz=UTC)
    tag = next((str(info[key]).strip('"') for key in _TAGS if info.get(key)), None)
    digest = _footer_digest(Path(name)) if with_footer else tag
    return SourceFile(
        without_credentials(name), int(info["size"] or 0), modified if isinstance(modified, datetime) else None, digest
    )


def _footer_digest(file: Path) -> str | None:
    """Return the SHA-256 of a Parquet footer: it has the places, sizes and statistics of all that the file holds."""
    with file.open("rb") as opened:
        opened.seek(0, 2)
        end = opened.tell()
        opened.seek(max(0, end - 8))
        length = opened.read(8)
        if length[4:] != _MAGIC:
            return None
        (size,) = struct.unpack("<I", length[:4])
        opened.seek(max(0, end - 8 - size))
        return hashlib.sha256(opened.read(size)).hexdigest()
