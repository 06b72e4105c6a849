"""The end of the process, which comes however many threads of a model don't end.

Python waits at its end for each thread that is not a daemon, and a model may have started some. Daemons are stopped
wherever they are, which is no place to be for a library in C.
"""

import logging
import os
import sys
import threading

from driver_ranking.serving.threads import hang

logger = logging.getLogger("mlserver.driver_ranking")

_EXITS_WITHIN = 3.0  # seconds, for what Python does at its end


def end_of_process_within(seconds: float, *, failed: bool) -> None:
    """End the process after so many seconds, if it has not ended by itself.

    Args:
        seconds: So many.
        failed: Whether its exit code is to be 1, not 0.
    """
    timer = threading.Timer(seconds, _end, [failed])
    timer.daemon = True
    timer.start()


def end_of_process(*, failed: bool) -> None:
    """End the process at once if one of its threads hangs; else within some seconds, if it has not ended by itself.

    Args:
        failed: As above.
    """
    if hang():
        logger.warning("A model hangs still: the process ends without it.")
        _end(failed)
    end_of_process_within(_EXITS_WITHIN, failed=failed)


def _end(failed: bool) -> None:  # noqa: FBT001 - a timer's argument
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(int(failed))
