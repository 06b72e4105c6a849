"""The time until the server is ready, against a bare MLServer and the imports that ours needs on top.

``python benchmarks/bench_serve_start.py [--runs N] [--output FILE]``: makes a project in a temporary folder, trains and
materializes (SQLite), then starts everything in turns:

- ours, from the start of the process until ``/v2/health/ready`` answers 200
- a bare MLServer on the same settings with a model that does nothing, likewise
- a Python that imports what ours needs beside MLServer, the whole process

The last two are what it can't be faster than, were nothing shared. They share Python's own start, NumPy and pandas, so
there is also the stricter sum, in which only the time of the imports after MLServer's own is counted.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench_start import kedro_run
from borrowed import copy_project
from measure import ROOT, machine, markdown_table, measure, ratios, spread
from online.world import Served, started, wait_until_ready

# What `python -X importtime` shows of ours at its start and not of a bare MLServer, by the names that bring it in:
# Feast, the SQL store of MLflow's registry, and the loader of the model's format. Each is imported by the libraries
# themselves, to open the feature repo, resolve the alias and load the model.
NEEDED = "feast, mlflow.pyfunc, mlflow.sklearn, mlflow.store.tracking.sqlalchemy_store, skops.io, sklearn.pipeline"
ON_TOP = f"import json, time, mlserver.cli.main; s = time.perf_counter(); import {NEEDED}; "
PRINT = "print(json.dumps({'seconds': time.perf_counter() - s}))"
GOAL = 1.3
POLL = 0.005  # seconds


@dataclass(frozen=True)
class Started:
    """A start: seconds until ready, of them processor time, and MiB that it then has."""

    wall: float
    cpu: float
    resident: float


def time_start(name: str, world: Served, folder: Path) -> Started:
    """Start a server, and end it when it is ready."""
    start = time.perf_counter()
    with started(name, world, folder) as server:
        wait_until_ready(server, every=POLL)
        return Started(time.perf_counter() - start, server.cpu_seconds(), server.resident_mib())


def time_imports(code: str) -> Started:
    """Run a Python that imports; what it prints as its seconds counts, else the whole process."""
    used = measure([sys.executable, "-c", code])
    return Started(used.seconds, used.cpu, used.peak)


def make_project(folder: Path) -> Served:
    """Make a project with a champion and features in SQLite."""
    project = copy_project(folder / "project")
    for pipeline in ("training", "materialize"):
        measure(kedro_run(pipeline), project)
    return Served(project, {"DO_NOT_TRACK": "true"})


def compare(runs: int) -> dict[str, list[Started]]:
    """Start everything in turns, after a warm-up."""
    found: dict[str, list[Started]] = {name: [] for name in ("ours", "bare", "imports", "on top")}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        world = make_project(folder)
        for turn in range(runs + 1):
            measured = {
                "ours": time_start("ours", world, folder / "ours"),
                "bare": time_start("no-op", world, folder / "bare"),
                "imports": time_imports(f"import {NEEDED}"),
                "on top": time_imports(ON_TOP + PRINT),
            }
            print(json.dumps({key: round(one.wall, 2) for key, one in measured.items()}), file=sys.stderr)
            for key, one in measured.items():
                if turn:
                    found[key].append(one)
    return found


def report(found: dict[str, list[Started]]) -> str:
    """Return the table."""
    labels = {
        "ours": "ours, until ready",
        "bare": "a bare MLServer, until ready",
        "imports": f"`python -c 'import {NEEDED}'`",
        "on top": "the same imports, after those of MLServer",
    }
    rows = [
        [label, *(spread([getattr(one, figure) for one in found[key]]) for figure in ("wall", "cpu"))]
        for key, label in labels.items()
    ]
    rows[3][2] = ""  # its processor time is that of MLServer's imports as well
    ours, bare, imports, on_top = ([one.wall for one in found[key]] for key in labels)
    sums = {
        "ours / (bare + imports)": ratios(ours, [a + b for a, b in zip(bare, imports, strict=True)]),
        "ours / (bare + imports after MLServer's)": ratios(ours, [a + b for a, b in zip(bare, on_top, strict=True)]),
    }
    reached = "reached" if statistics.median(next(iter(sums.values()))) <= GOAL else "**missed**"
    rows += [[f"{text}", f"{spread(values)}", ""] for text, values in sums.items()]
    rows += [["goal for the first of these ratios", f"{GOAL}: {reached}", ""]]
    head = f"Median (lowest to highest) of {len(ours)} starts in turns, after a warm-up. {machine()}."
    table = markdown_table(["", "wall s", "processor s"], rows)
    return "\n".join(["# Start of the server", "", head, "", *table, ""])


def main() -> None:
    """Print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/serve_start.md")
    options = parser.parse_args()
    table = report(compare(options.runs))
    options.output.write_text(table, encoding="utf-8")
    print(table)


if __name__ == "__main__":
    main()
