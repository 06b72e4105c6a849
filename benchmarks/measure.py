"""Measure commands as whole processes, in turns, by the operating system's own accounting.

Only the standard library: Linux counts the memory of the process that starts a child into the child's peak.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Usage:
    """What one run of a command used.

    Attributes:
        wall: Seconds from start to end.
        cpu: Seconds of processor time, user and system.
        peak: Largest resident set, in MiB.
        seconds: What the command itself measured and printed, ``{"seconds": ...}`` in its last line; else ``wall``.
    """

    wall: float
    cpu: float
    peak: float
    seconds: float


def measure(command: Sequence[str], cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Usage:
    """Run a command to its end and return what it used.

    Raises:
        RuntimeError: The command failed; its error output is the message.
    """
    started = time.perf_counter()
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "FEAST_", "KEDRO_"))}
    environment = {**ours, "DO_NOT_TRACK": "true", **(env or {})}
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=output, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        for file in (output, errors):
            file.seek(0)
        if process.returncode:
            message = f"{' '.join(command)} failed:\n{errors.read()}"
            raise RuntimeError(message)
        return Usage(
            wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, _printed_seconds(output.read(), wall)
        )


def _printed_seconds(output: str, otherwise: float) -> float:
    last = output.strip().rpartition("\n")[2]
    return float(json.loads(last)["seconds"]) if last.startswith('{"seconds"') else otherwise


def timed(work: Callable[[], object]) -> None:
    """Do the work of a program that is measured, and print how long it took as `measure` expects it."""
    began = time.perf_counter()
    work()
    print(json.dumps({"seconds": time.perf_counter() - began}))


def in_turns(
    commands: Mapping[str, Sequence[str]], runs: int, cwd: Path | None = None, *, warm_up: bool = True
) -> dict[str, list[Usage]]:
    """Run commands in turns, A B A B, so that a machine that changes its speed changes it for all of them."""
    measured: dict[str, list[Usage]] = {name: [] for name in commands}
    for turn in range(runs + warm_up):
        for name, command in commands.items():
            usage = measure(command, cwd)
            print(f"  {name}: {usage.seconds:.2f} s, {usage.peak:.0f} MiB", file=sys.stderr)
            if turn >= warm_up:
                measured[name].append(usage)
    return measured


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Return the ratios run by run."""
    return [a / b for a, b in zip(ours, theirs, strict=True)]


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return the median with the lowest and the highest value."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    yield "| " + " | ".join(header) + " |"
    yield "|" + "---|" * len(header)
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def machine() -> str:
    """Return the machine and the day, for the head of a table."""
    cpu = next(
        (line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    memory = next((int(line.split()[1]) >> 20 for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    today = datetime.now(tz=UTC).date().isoformat()
    python = platform.python_version()
    return f"{os.cpu_count()} cores of {cpu}, {memory} GiB, {platform.system()}, Python {python}, {today}"


def _lines(path: str) -> list[str]:
    file = Path(path)
    return file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
