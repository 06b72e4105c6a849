"""The thread that makes Parquet files of spooled rows, takes up what other processes left behind, and removes the old."""

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from driver_ranking.prediction_log.parquet import make_whole
from driver_ranking.prediction_log.places import LogPlaces
from driver_ranking.prediction_log.retention import remove_older
from driver_ranking.prediction_log.spool import SpoolFile, left_behind
from driver_ranking.serving.fault_log import faults
from driver_ranking.serving.prediction_log.metrics import log_metrics

UNFILED: Final = "Parquet files of the prediction log can't be written"
UNREMOVED: Final = "Old files of the prediction log can't be removed"
_LOOK_AGAIN: Final = 60.0  # seconds
_NICENESS: Final = 10  # of this thread alone: requests go before


class LogFiling:
    """Files what it is given until it is told to end."""

    def __init__(self, places: LogPlaces, retention_days: int) -> None:
        """Start nothing yet.

        Args:
            places: Where the log is.
            retention_days: How many days are kept; 0 for all.
        """
        self._places, self._days = places, retention_days
        self._queue: queue.SimpleQueue[SpoolFile | None] = queue.SimpleQueue()
        self._failed: list[SpoolFile] = []
        self._metrics = log_metrics()
        self.thread = threading.Thread(target=self._run, name="prediction-log-files", daemon=True)

    def file(self, spool: SpoolFile) -> None:
        """Make a Parquet file of a spooled file, at some time."""
        self._queue.put(spool)

    def end(self) -> None:
        """End once all is filed."""
        self._queue.put(None)

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        self._look_after()
        next_look = time.monotonic() + _LOOK_AGAIN
        while True:
            try:
                spool = self._queue.get(timeout=max(0.0, next_look - time.monotonic()))
            except queue.Empty:
                self._look_after()
                next_look = time.monotonic() + _LOOK_AGAIN
                continue
            if spool is None:
                break
            self._file(spool)
        self._retry()

    def _file(self, spool: SpoolFile) -> None:
        if self._tried(spool.path):
            self._metrics.spooled.dec(spool.rows)
            spool.close()
        else:
            self._failed.append(spool)

    def _tried(self, path: Path) -> bool:
        """Make a file whole, and return whether that worked."""
        def make() -> None:
            make_whole(self._places, path)

        return self._guarded(UNFILED, make)

    def _guarded(self, kind: str, work: Callable[[], object]) -> bool:
        try:
            work()
        except FileNotFoundError as error:  # someone has removed it
            faults().occurred(kind, str(error))
            return True
        except Exception as error:  # noqa: BLE001 - whatever it is, the next file may be another thing
            self._metrics.errors.inc()
            faults().occurred(kind, f"{type(error).__name__}: {error}")
            return False
        faults().ended(kind)
        return True

    def _retry(self) -> None:
        failed, self._failed = self._failed, []
        for spool in failed:
            self._file(spool)

    def _look_after(self) -> None:
        """Try again what failed, take up what is left behind, and remove what is old."""
        self._retry()
        self._guarded(UNFILED, self._take_up)
        if self._days:
            self._guarded(UNREMOVED, lambda: remove_older(self._places.root, self._days, datetime.now(tz=UTC)))

    def _take_up(self) -> None:
        for path in left_behind(self._places.spool):
            self._tried(path)
