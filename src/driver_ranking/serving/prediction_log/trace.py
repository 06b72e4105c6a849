"""The trace that a request is part of, by W3C's Trace Context."""

import re
from collections.abc import Mapping
from typing import Final

_HEADER: Final = "traceparent"
_TRACE: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


def trace_id_of(headers: Mapping[str, str] | None) -> str | None:
    """Return the id of a request's trace; None if it names none."""
    found = _TRACE.fullmatch(headers.get(_HEADER, "")) if headers else None
    return found[1] if found else None
