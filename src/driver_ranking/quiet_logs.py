"""Keep Kedro's runners from saying what the line before or after says as well.

What whole loggers say is set in ``conf/logging.yml``; Kedro reads that before it can import the project, so nothing of
the project can be named there.
"""

import logging
from typing import Final

_RUNNERS: Final = ("sequential_runner", "thread_runner", "parallel_runner")
_REPEATED: Final = (
    "Completed node: ",  # the next line counts it
    "Using synchronous mode for loading and saving data.",  # what is the case unless somebody asked for another
)


class SaidOnce(logging.Filter):
    """Lets all but these sentences pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is to be shown."""
        return record.levelno > logging.INFO or not str(record.msg).startswith(_REPEATED)


_SAID_ONCE: Final = SaidOnce()


def quieten_runners() -> None:
    """Leave the repeated sentences out, whichever runner a run has."""
    for name in _RUNNERS:
        logging.getLogger(f"kedro.runner.{name}").addFilter(_SAID_ONCE)
