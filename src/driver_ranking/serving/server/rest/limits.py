"""What a client may take of the REST server before it has sent a whole request: bytes, memory, connections, time."""

import contextlib
import resource
from dataclasses import dataclass

from driver_ranking.serving.memory import trim_memory
from driver_ranking.serving.settings import ServerSettings

_MOST_CONNECTIONS = 10_000
_OTHER_FILES = 224  # file handles that are left for the stores, the model, logs, gRPC and metrics
_FEWEST_CONNECTIONS = 16
_WORTH_TRIMMING = 16 * 1024 * 1024  # bytes that bodies held at once, before memory is given back


@dataclass(frozen=True)
class ConnectionLimits:
    """The limits of one listening server.

    Attributes:
        header_bytes: Most bytes of a request that are neither its body nor its end: the line, headers, trailers.
        header_count: Most headers.
        url_bytes: How long a URL may be.
        connections: How many may be open.
        request_seconds: How long a client may take to send a request, or to read an answer.
    """

    header_bytes: int
    header_count: int
    url_bytes: int
    connections: int
    request_seconds: float

    @classmethod
    def of(cls, settings: ServerSettings) -> "ConnectionLimits":
        """Return the limits that the settings say; how many connections follows from the system's limit if need be."""
        return cls(
            header_bytes=settings.max_header_bytes,
            header_count=settings.max_headers,
            url_bytes=settings.max_url_bytes,
            connections=settings.max_connections or _connections_by_files(),
            request_seconds=settings.request_timeout,
        )


def _connections_by_files() -> int:
    """Return how many connections the process can have open, after it has raised its limit as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = max(soft, _MOST_CONNECTIONS + _OTHER_FILES)
    with contextlib.suppress(ValueError, OSError):  # a sandbox may forbid it
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, _MOST_CONNECTIONS + _OTHER_FILES)), hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _MOST_CONNECTIONS
    return max(_FEWEST_CONNECTIONS, min(soft - _OTHER_FILES, _MOST_CONNECTIONS))


class BodyBudget:
    """Counts the bytes of all bodies that are being read. Used from one event loop."""

    def __init__(self, most: int) -> None:
        """Hold nothing yet.

        Args:
            most: How many bytes may be held in all.
        """
        self._most = most
        self._held = 0
        self._peak = 0

    def take(self, size: int) -> bool:
        """Hold more bytes; false, and nothing more is held, where that would be too many."""
        if self._held + size > self._most:
            return False
        self._held += size
        self._peak = max(self._peak, self._held)
        return True

    def give_back(self, size: int) -> None:
        """Hold that many bytes less. After the last of many bodies, the C library gives their memory back."""
        self._held -= size
        if not self._held and self._peak > _WORTH_TRIMMING:
            self._peak = 0
            trim_memory()
