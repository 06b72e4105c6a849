"""Starts the process that makes Parquet files of what is spooled, now and then.

It takes up what any process has left behind, so that nothing has to be done after one was killed. A process of its own:
it takes some hundred milliseconds of the processor for each 100,000 rows, and memory, while requests want both.
"""

import subprocess
import sys
import threading
from typing import Final

from driver_ranking.prediction_log.places import SPOOLED, LogPlaces
from driver_ranking.serving.fault_log import faults
from driver_ranking.serving.prediction_log.metrics import log_metrics

UNFILED: Final = "Parquet files of the prediction log can't be written"
_LOOK_AGAIN: Final = 600.0  # seconds: for what others have left behind, and what has become old
_TRY_AGAIN: Final = 30.0  # seconds


class LogFiling:
    """Has files made until it is told to end."""

    def __init__(self, places: LogPlaces, retention_days: int) -> None:
        """Start nothing yet.

        Args:
            places: Where the log is.
            retention_days: How many days are kept; 0 for all.
        """
        self._command = [sys.executable, "-m", "driver_ranking.prediction_log", str(places.root)]
        self._command += ["--retention-days", str(retention_days)]
        self._spool = places.spool
        self._wanted, self._ending = threading.Event(), False
        self.thread = threading.Thread(target=self._run, name="prediction-log-files", daemon=True)

    def soon(self) -> None:
        """Have files made of what is complete."""
        self._wanted.set()

    def end(self, seconds: float) -> None:
        """Have files made of all that there is, and end.

        Args:
            seconds: How long that may take; else it is left to the next start.
        """
        self._ending = True
        self._wanted.set()
        self.thread.join(seconds)

    def _run(self) -> None:
        worked = self._file() if any(self._spool.rglob(f"*{SPOOLED}")) else True  # nothing to do costs no start
        ending = False
        while not ending:
            self._wanted.wait(_LOOK_AGAIN if worked else _TRY_AGAIN)
            self._wanted.clear()
            ending = self._ending  # as of before: what is complete by then is filed
            worked = self._file()

    def _file(self) -> bool:
        """Have files made, and return whether that worked."""
        # apart from signals to this process's group: it is about to end itself
        done = subprocess.run(  # noqa: S603 - a part of this project
            self._command, capture_output=True, text=True, check=False, start_new_session=True
        )
        if done.returncode:
            log_metrics().errors.inc()
            faults().occurred(UNFILED, (done.stderr or f"exit code {done.returncode}").strip().rpartition("\n")[2])
            return False
        faults().ended(UNFILED)
        return True
