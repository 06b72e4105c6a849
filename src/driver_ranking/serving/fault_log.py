"""What goes wrong, in the log: each fault with its cause when it begins, when it ends, and now and then in between.

A fault that each request meets would fill a disk in an hour, and one that leaves no line can't be found. Here each
kind of fault has one line when it begins, then at most one a second, ever more seldom, with how often it was met.
"""

import logging
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from driver_ranking.errors import DriverRankingError
from feast_columnar.redaction import without_secrets

logger = logging.getLogger("mlserver.driver_ranking")

_SHORTEST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0  # seconds between two lines of one kind
_QUIET = 30.0  # seconds after which a fault that is not met again has ended
_KINDS = 100  # that are kept at once
_LONGEST_CAUSE = 1_000  # characters


@dataclass
class _Fault:
    """A fault that lasts.

    Attributes:
        cause: Why, as it was last.
        began: When it was met first, as are all times here, in seconds of the clock.
        last: When it was met last.
        count: How often it was met.
        written: When there was a line of it last.
        told: How often it had been met by then.
        told_cause: The cause in that line.
        pause: How long the same cause has to wait for its next line.
    """

    cause: str
    began: float
    last: float
    count: int
    written: float
    told: int
    told_cause: str
    pause: float


class FaultLog:
    """Writes faults into the log, few lines for many. Safe from threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Know of no fault yet.

        Args:
            clock: Gives the time, in seconds.
        """
        self._clock = clock
        self._lock = threading.Lock()
        self._faults: dict[str, _Fault] = {}

    def occurred(self, kind: str, cause: str) -> None:
        """Tell of a fault: at once when it begins; while it lasts at most once a second, with a count.

        Args:
            kind: What is at fault; one of few texts, nothing of a request.
            cause: Why; secrets in it are hidden. Nothing of a request's body belongs here.
        """
        now, cause = self._clock(), _printable(cause)
        with self._lock:
            fault = self._faults.get(kind)
            if fault is None:
                self._make_room()
                self._faults[kind] = _Fault(cause, now, now, 1, now, 1, cause, _SHORTEST_PAUSE)
                logger.error("%s: %s", kind, cause)
                return
            fault.count += 1
            fault.last, fault.cause = now, cause
            self._tell(kind, fault, now)

    def ended(self, kind: str) -> None:
        """Tell that a fault has ended; nothing if there was none."""
        if not self._faults:  # the usual case, without the lock
            return
        with self._lock:
            self._end(kind)

    def settle(self) -> None:
        """Tell what was held back, and end what has not been met for a while. To be called now and then."""
        now = self._clock()
        with self._lock:
            for kind, fault in list(self._faults.items()):
                if now - fault.last >= _QUIET:
                    self._end(kind)
                elif fault.count > fault.told:
                    self._tell(kind, fault, now)

    def _tell(self, kind: str, fault: _Fault, now: float) -> None:
        changed = fault.cause != fault.told_cause
        if now - fault.written < (_SHORTEST_PAUSE if changed else fault.pause):
            return
        logger.error("%s: %s (%d times in %.0f s)", kind, fault.cause, fault.count, now - fault.began)
        fault.pause = _SHORTEST_PAUSE if changed else min(2 * fault.pause, _LONGEST_PAUSE)
        fault.written, fault.told, fault.told_cause = now, fault.count, fault.cause

    def _end(self, kind: str) -> None:
        fault = self._faults.pop(kind, None)
        if fault is not None:
            lasted = fault.last - fault.began
            logger.warning("%s: over; %d times in %.1f s, last: %s", kind, fault.count, lasted, fault.cause)

    def _make_room(self) -> None:
        if len(self._faults) >= _KINDS:
            self._end(min(self._faults, key=lambda kind: self._faults[kind].last))


@cache
def faults() -> FaultLog:
    """Return the log of faults that all parts of this process share."""
    return FaultLog()


def log_failure(error: BaseException) -> None:
    """Write down why a request is answered with a 5xx; what is the caller's own fault is not written down."""
    if not isinstance(error, DriverRankingError):
        place = traceback.extract_tb(error.__traceback__)[-1:]
        at = "".join(f" (in {Path(one.filename).name}, line {one.lineno})" for one in place)
        faults().occurred("Requests fail", f"{type(error).__name__}: {error}{at}")
    elif error.status >= 500:  # noqa: PLR2004 - where the server's own errors begin
        faults().occurred(f"Requests are answered {error.status.value}", str(error))


def _printable(text: str) -> str:
    """Return a text without secrets, in one line of bounded length."""
    shown = without_secrets(text[: 10 * _LONGEST_CAUSE])
    escaped = "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in shown)
    return escaped if len(escaped) <= _LONGEST_CAUSE else f"{escaped[:_LONGEST_CAUSE]} ..."
