"""Lines that DuckDB's reader of text leaves out without a word: a last one that is longer than its buffer."""

from pathlib import Path

import fsspec

LONGEST_LINE = 30_000_000
"""Bytes; DuckDB refuses lines of more than 2 million by itself, but not a last one of more than 32 MiB."""

_BLOCK = 1 << 22  # bytes


def ends_with_long_line(path: Path) -> bool:
    """Return whether the last line of a text file, compressed or not, is too long to be read.

    Raises:
        OSError: The file can't be read.
    """
    if path.stat().st_size < LONGEST_LINE and path.suffix.lower() in {".csv", ".tsv"}:
        return False
    with fsspec.open(f"file://{path}", "rb", compression="infer") as file:
        if file.seekable() and path.suffix.lower() in {".csv", ".tsv"}:
            file.seek(path.stat().st_size - LONGEST_LINE)
        length = 0
        while block := file.read(_BLOCK):
            # a line break at the very end belongs to the last line
            place = block.rstrip(b"\r\n").rfind(b"\n") if len(block) < _BLOCK else block.rfind(b"\n", 0, -2)
            length = length + len(block) if place < 0 else len(block) - place
            if length >= LONGEST_LINE:
                return True
    return False
