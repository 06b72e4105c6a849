"""The thread that makes frames of answers and appends them to files in the spool.

A file that grows, rather than a Parquet file for each second: what is appended is out of the process at once, and all
that takes longer, the rows of the log and their columns, is made of it in a process of its own, see `filing`.
"""

import itertools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from driver_ranking.prediction_log.places import HOUR, LogPlaces
from driver_ranking.prediction_log.spool import SpoolFile
from driver_ranking.serving.fault_log import faults
from driver_ranking.serving.prediction_log.answer_queue import AnswerQueue
from driver_ranking.serving.prediction_log.compaction import Compaction
from driver_ranking.serving.prediction_log.entries import Frame, LoggedModel
from driver_ranking.serving.prediction_log.metrics import log_metrics

logger = logging.getLogger("mlserver.driver_ranking")

UNWRITTEN: Final = "The prediction log can't be written"
_AT_ONCE: Final = 1024  # answers: making a frame of them holds up the event loop for about a millisecond
_BREATH: Final = 0.001  # seconds for the event loop, between those
_IDLE: Final = 5.0  # seconds between two looks at the age of files
_SETTLED: Final = 10_000_000  # microseconds after the end of an hour: nothing of it comes any more


@dataclass(frozen=True)
class Filed:
    """When rows become a file.

    Attributes:
        seconds: After how many seconds.
        rows: After how many rows.
    """

    seconds: float
    rows: int


class Spools:
    """The files that are open, one for each model and hour. Used from one thread."""

    def __init__(self, places: LogPlaces, run_id: str, filed: Filed, done: Callable[[], None]) -> None:
        """Open none.

        Args:
            places: Where they are.
            run_id: The run of the process, which their names have.
            filed: When they are done.
            done: Called when one is.
        """
        self._places, self._run_id, self._filed, self._done = places, run_id, filed, done
        self._open: dict[tuple[LoggedModel, int], tuple[SpoolFile, float]] = {}
        self._numbers = itertools.count()

    @property
    def any(self) -> bool:
        """Return whether there are some."""
        return bool(self._open)

    def append(self, frame: Frame) -> None:
        """Append a frame to its file.

        Raises:
            OSError: That is not possible; it is as if nothing had been tried.
        """
        key = frame.logged, frame.hour
        if key not in self._open:
            stem = f"{datetime.now(tz=UTC):%Y%m%dT%H%M%S}-{self._run_id}-{next(self._numbers):06d}"
            path = self._places.spooled(frame.logged.model.feature_service, frame.hour, stem)
            self._open[key] = SpoolFile(path), time.monotonic()
        spool, _ = self._open[key]
        try:
            spool.append(frame.content, frame.rows)
        except FileNotFoundError:  # it was removed: there is no going on with it
            self._close(key)
            raise
        if spool.rows >= self._filed.rows:
            self._close(key)

    def close_old(self, now: int) -> None:
        """Be done with files that are old enough, or whose hour has ended.

        Args:
            now: The time, in microseconds since the epoch, UTC.
        """
        for key, (_, opened) in list(self._open.items()):
            _, hour = key
            if time.monotonic() - opened >= self._filed.seconds or now > (hour + 1) * HOUR + _SETTLED:
                self._close(key)

    def close(self) -> None:
        """Be done with all."""
        for key in list(self._open):
            self._close(key)

    def _close(self, key: tuple[LoggedModel, int]) -> None:
        spool, _ = self._open.pop(key)
        spool.close()
        self._done()


class LogWriter:
    """Writes what is in the queue until that is closed."""

    def __init__(self, queue: AnswerQueue, compaction: Compaction, spools: Spools, flush_seconds: float) -> None:
        """Start nothing yet.

        Args:
            queue: The answers.
            compaction: Makes frames of them.
            spools: Takes these.
            flush_seconds: How long an answer may be in memory alone.
        """
        self._queue, self._compaction, self._spools = queue, compaction, spools
        self._gathering = flush_seconds / 2  # the rest is for the writing
        self._unwritten: list[Frame] = []
        self._metrics = log_metrics()
        self.thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)

    def _run(self) -> None:
        while not self._queue.closed:
            self._queue.wait(self._gathering, _IDLE)
            if not self._write() and not self._queue.closed:
                time.sleep(self._gathering)
            self._spools.close_old(time.time_ns() // 1000)
        self._write()
        self._drop(sum(one.rows for one in self._unwritten))
        self._drop(sum(one.rows for one in self._queue.take(self._queue.rows)))
        self._spools.close()

    def _write(self) -> bool:
        """Write all that there is, and return whether that worked."""
        while self._append():
            answers = self._queue.take(_AT_ONCE)
            if not answers:
                return True
            try:
                self._unwritten = self._compaction.frames(answers)
            except Exception as error:  # noqa: BLE001 - whatever it is, what comes after it is to be logged
                self._failed(error)
                self._drop(sum(one.rows for one in answers))
            if not self._queue.closed:
                time.sleep(_BREATH)
        return False

    def _append(self) -> bool:
        """Append the frames that were made, and return whether that worked; those that are left are tried again."""
        if not self._unwritten:
            return True
        while self._unwritten:
            try:
                self._spools.append(self._unwritten[0])
            except OSError as error:
                self._failed(error)
                return False
            self._metrics.rows.inc(self._unwritten.pop(0).rows)
        faults().ended(UNWRITTEN)
        return True

    def _failed(self, error: Exception) -> None:
        self._metrics.errors.inc()
        faults().occurred(UNWRITTEN, f"{type(error).__name__}: {error}")

    def _drop(self, rows: int) -> None:
        if rows:
            self._metrics.dropped.inc(rows)
