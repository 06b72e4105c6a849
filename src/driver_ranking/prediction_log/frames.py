"""Record batches in a file that only grows, so that each is wholly there or not, whatever ended the writer.

A frame is a head of 16 bytes (a sign, the CRC-32 of what follows, its length) and a stream of Arrow's IPC format with
its schema, padded to 8 bytes. It stands by itself: what is before it, and a torn end, does not matter to it.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, cast

import pyarrow as pa

_SIGN: Final = b"DRPL"
_HEAD: Final = struct.Struct("<4sIQ")
_PADDING: Final = 8


def framed(batch: pa.RecordBatch) -> tuple[bytes | pa.Buffer, ...]:
    """Return a record batch as a frame, in parts."""
    counting = pa.MockOutputStream()
    _write(counting, batch)
    content = pa.allocate_buffer(counting.size())  # one that grows would be copied as it does
    with pa.FixedSizeBufferWriter(content) as sink:
        _write(sink, batch)
    head = _HEAD.pack(_SIGN, zlib.crc32(content), len(content))
    return head, content, bytes(-len(content) % _PADDING)


def _write(sink: pa.NativeFile, batch: pa.RecordBatch) -> None:
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)


def read_frames(path: Path) -> Iterator[pa.RecordBatch]:
    """Yield the record batches of a file up to the first that is not whole.

    Raises:
        FileNotFoundError: There is no such file.
    """
    with opened(path) as file:
        yield from frames_of(file)


def opened(path: Path) -> BinaryIO:
    """Open a file for `frames_of`; what it has then can be read whatever becomes of its name.

    Raises:
        FileNotFoundError: There is no such file.
    """
    return cast("BinaryIO", path.open("rb", buffering=0))


def frames_of(file: BinaryIO) -> Iterator[pa.RecordBatch]:
    """Yield the record batches of an open file up to the first that is not whole."""
    while (content := _content(file)) is not None:
        with pa.ipc.open_stream(content) as stream:
            yield from stream
        file.seek(-len(content) % _PADDING, os.SEEK_CUR)


def _content(file: BinaryIO) -> bytes | None:
    """Return what the next frame has; None if there is none that is whole."""
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    sign, checksum, length = _HEAD.unpack(head)
    if sign != _SIGN or file.tell() + length > os.fstat(file.fileno()).st_size:
        return None
    content = file.read(length)
    return content if len(content) == length and zlib.crc32(content) == checksum else None
