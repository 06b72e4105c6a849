"""``python -m driver_ranking.prediction_log FOLDER``: what the service has done now and then, by another process."""

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from driver_ranking.prediction_log.filing import file_spooled

_NICENESS: Final = 10  # requests go before


def main() -> int:
    """Do it, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m driver_ranking.prediction_log", description=__doc__)
    parser.add_argument("folder", type=Path, help="the folder of the log")
    parser.add_argument("--retention-days", type=int, default=0, help="how many days are kept; 0 for all")
    options = parser.parse_args()
    os.nice(_NICENESS)
    faults = file_spooled(options.folder, options.retention_days, datetime.now(tz=UTC))
    for fault in faults:
        print(fault, file=sys.stderr)  # noqa: T201 - whoever started it reads it
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
