"""The Spark session of a run: made from settings when it is first asked for, with messages for what goes wrong."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import shutil
import socket
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from driver_ranking import errors
from driver_ranking.errors import DriverRankingError, SparkError
from feast_columnar.offline.messages import reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pyspark.sql import SparkSession

logger = logging.getLogger(__name__)

_MASTER_PORT = 7077
_ANSWER_WITHIN = 5  # seconds
_OUR_ERROR = re.compile(r"driver_ranking\.errors\.(\w+): (.*)")
_NO_MODULE = re.compile(r"ModuleNotFoundError: No module named '([\w.]+)'")
_OTHER_PYTHON = re.compile(r"PYTHON_VERSION_MISMATCH|Python in worker has different version")
_NO_PYTHON = re.compile(r"Cannot run program \"([^\"]*)\"")
_TIME_ZONE, _UTC_NAMES = "spark.sql.session.timeZone", {"UTC", "Etc/UTC", "GMT"}
_NO_EXECUTOR = "The cluster has had no executor"
_LOST = re.compile(rf"{_NO_EXECUTOR} for [\d.e+]+ s\.")
_NO_EXTRA = "Spark is not installed. Install the extra: pip install 'driver-ranking[spark]'."
_SHIP = "Pack this environment and ship it: docs/spark.md says how."


@dataclass(frozen=True)
class SparkSettings:
    """What ``spark.yml`` says.

    Attributes:
        master: Spark's master URL.
        python: The Python of the workers; None for this one if Spark runs on this machine, else ``python3``.
        wait_for_workers: How many seconds a cluster may take until it gives the first executor.
        conf: Spark's own settings.
    """

    master: str = "local[*]"
    python: str | None = None
    wait_for_workers: float = 60
    conf: Mapping[str, Any] = field(default_factory=dict)


class _Configured:
    """The settings of the run in this process."""

    settings = SparkSettings()


def configure(settings: Mapping[str, Any]) -> None:
    """Take the settings for the session; nothing is started yet.

    Raises:
        SparkError: The extra is not installed, or a setting has a name that is not known.
    """
    if importlib.util.find_spec("pyspark") is None:
        raise SparkError(_NO_EXTRA)
    known = set(SparkSettings.__dataclass_fields__)
    unknown = sorted(set(settings) - known)
    if unknown:
        message = f"spark.yml has {', '.join(unknown)}; it may have {', '.join(sorted(known))}. Put Spark's under conf."
        raise SparkError(message)
    taken = SparkSettings(**{key: value for key, value in settings.items() if value is not None})
    _check(taken)
    _Configured.settings = taken
    running = _running()
    if running is not None and running.master != taken.master:
        message = "Spark runs in this process already, on %s, and is used; %s is what spark.yml names."
        logger.warning(message, running.master, taken.master)


def _running() -> Any:  # noqa: ANN401 - a context of Spark's, which may not be installed
    """Return the context of this process, None if there is none; a session is active in one thread only."""
    pyspark = sys.modules.get("pyspark")
    return pyspark.SparkContext._active_spark_context if pyspark else None  # noqa: SLF001 - there is no other way to know


def _check(settings: SparkSettings) -> None:
    """Refuse values that would be noticed late."""
    seconds: Any = settings.wait_for_workers
    if not isinstance(seconds, int | float) or not seconds > 0:
        message = f"spark.yml has {seconds!r} as wait_for_workers; it must be a number of seconds above 0."
        raise SparkError(message)
    zone = settings.conf.get(_TIME_ZONE, "UTC")
    if zone not in _UTC_NAMES:
        message = f"spark.yml has {zone!r} as {_TIME_ZONE}; it must be UTC, as all times here are."
        raise SparkError(message)


def session() -> SparkSession:
    """Return the Spark session, started from the settings if there is none.

    Raises:
        SparkError: The extra or Java is missing, or the cluster is not there.
    """
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise SparkError(_NO_EXTRA) from error
    if _running() is not None:
        return SparkSession.builder.getOrCreate()
    return _started(_Configured.settings)


def _started(settings: SparkSettings) -> SparkSession:
    _require_java()
    _require_master(settings.master)
    local = settings.master.startswith("local")
    python = settings.python or (sys.executable if local else None)
    if python:
        os.environ["PYSPARK_PYTHON"] = python
    os.environ.setdefault("SPARK_LOCAL_HOSTNAME", "localhost")
    logger.info("Starting Spark on %s.", settings.master)
    spark = _connected(settings)
    spark.sparkContext.setLogLevel("ERROR")
    if not local:
        _await_workers(spark, settings)
        threading.Thread(target=_watch_workers, args=(spark, settings.wait_for_workers), daemon=True).start()
    return spark


def _connected(settings: SparkSettings) -> SparkSession:
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    progress = {"spark.ui.showConsoleProgress": sys.stderr.isatty(), "spark.log.level": "ERROR"}
    conf: dict[str, bool | float | int | str | None] = {
        key: _text(value) for key, value in {**progress, _TIME_ZONE: "UTC", **settings.conf}.items()
    }
    try:
        return SparkSession.builder.master(settings.master).config(map=conf).getOrCreate()
    except (PySparkException, OSError) as error:
        message = (
            f"Spark can't be started on {settings.master}: {str(error).splitlines()[0]} Its own messages are above."
        )
        raise SparkError(message) from error


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _require_java() -> None:
    home = os.environ.get("JAVA_HOME")
    found = (Path(home) / "bin/java").is_file() if home else shutil.which("java") is not None
    if not found:
        where = f"in JAVA_HOME ({home})" if home else "on the PATH"
        message = (
            f"Spark needs Java 17 or newer, and there is none {where}. Install it (on Debian: apt-get install "
            "openjdk-17-jre-headless) or set JAVA_HOME."
        )
        raise SparkError(message)


def _require_master(master: str) -> None:
    """Refuse a standalone master that does not answer; Spark itself would try for a minute."""
    if not master.startswith("spark://"):
        return
    refused = []
    for address in master.removeprefix("spark://").split(","):
        host, _, port = address.rpartition(":")
        try:
            with socket.create_connection((host or address, int(port) if host else _MASTER_PORT), _ANSWER_WITHIN):
                return
        except (OSError, ValueError) as error:
            refused.append(f"{address} ({error})")
    message = f"No Spark master answers at {', '.join(refused)}. Start the cluster, or name another one as `master`."
    raise SparkError(message)


def _await_workers(spark: SparkSession, settings: SparkSettings) -> None:
    """Refuse a cluster that gives no executor; a job would wait for ever."""
    tracker = spark.sparkContext._jsc.sc().statusTracker()  # noqa: SLF001 - PySpark's has less
    end = time.monotonic() + settings.wait_for_workers
    while len(tracker.getExecutorInfos()) < 2:  # noqa: PLR2004 - the driver counts as one
        if time.monotonic() > end:
            spark.stop()
            message = (
                f"The cluster at {settings.master} gave no executor in {settings.wait_for_workers:g} s. Check that it "
                "has workers with as many free cores and as much memory as spark.executor.* asks for."
            )
            raise SparkError(message)
        time.sleep(0.2)


def _watch_workers(spark: SparkSession, seconds: float) -> None:
    """End the jobs of a cluster that has lost all executors for a while; they would wait for ever, without a word."""
    from py4j.protocol import Py4JError  # type: ignore[import-untyped]

    context = spark.sparkContext._jsc.sc()  # noqa: SLF001 - PySpark's has less
    tracker, last_seen = context.statusTracker(), time.monotonic()
    with suppress(Py4JError, OSError):  # Spark has been stopped
        while not context.isStopped():
            jobs = list(tracker.getActiveJobIds())
            if not jobs or len(tracker.getExecutorInfos()) > 1:  # the driver counts as one
                last_seen = time.monotonic()
            elif time.monotonic() - last_seen > seconds:
                for job in jobs:
                    context.cancelJob(job, f"{_NO_EXECUTOR} for {seconds:g} s.")
            time.sleep(1)


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn an error of Spark into one that says what failed and what to do; our own from a worker stays itself."""
    try:
        yield
    except DriverRankingError:
        raise
    except Exception as error:
        if not _is_from_spark(error):
            raise
        raise _translated(what, error) from error


def _is_from_spark(error: Exception) -> bool:
    return type(error).__module__.startswith(("pyspark", "py4j"))


def _translated(what: str, error: Exception) -> DriverRankingError:
    text = str(error)
    if ours := _OUR_ERROR.search(text):
        kind = getattr(importlib.import_module(errors.__name__), ours[1])
        found: DriverRankingError = kind(ours[2])
        return found
    if missing := _NO_MODULE.search(text):
        return SparkError(f"{what}: the workers' Python has no module {missing[1]!r}. {_SHIP}")
    if _OTHER_PYTHON.search(text):
        wanted = f"{sys.version_info.major}.{sys.version_info.minor}"
        return SparkError(f"{what}: the workers' Python is not {wanted}, which this one is. {_SHIP}")
    if lonely := _LOST.search(text):
        return SparkError(f"{what}: {lonely[0]} Check its workers and run again. Nothing was put in place.")
    if program := _NO_PYTHON.search(text):
        return SparkError(f"{what}: the workers have no Python at {program[1]!r}. Set `python` in spark.yml. {_SHIP}")
    return SparkError(f"{what}: {reason(_first_cause(text))}")


def _first_cause(text: str) -> str:
    lines = [
        line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith(("at ", "File "))
    ]
    causes = [line for line in lines if re.match(r"(Caused by: )?[\w.]+(Error|Exception): \S", line)]
    return (causes or lines or ["Spark gave no reason."])[-1 if causes else 0]
