"""Memory that is not needed any more, given back."""

import contextlib
import ctypes


def trim_memory() -> None:
    """Let the C library give freed memory back to the system; another one than glibc is left alone."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
