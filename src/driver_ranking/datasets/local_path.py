"""Paths of what has to lie on this machine."""

from pathlib import Path

from kedro.io import DatasetError
from kedro.io.core import get_protocol_and_path


def local_path(filepath: str, what: str) -> Path:
    """Return a path, or refuse a URL: taken for a path it would be a folder by the name of its scheme.

    Args:
        filepath: What the catalog says.
        what: What it names, as a message begins.

    Raises:
        DatasetError: It is the URL of something elsewhere.
    """
    protocol, path = get_protocol_and_path(filepath)
    if protocol != "file" or "::" in filepath:
        message = f"{what} has to be on this machine, and '{filepath}' is a URL; give a path."
        raise DatasetError(message)
    return Path(path)
