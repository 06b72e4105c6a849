"""Measure a batch run of the sample against importing the libraries that it needs.

``python benchmarks/bench_start.py [--runs N] [--output FILE]``: makes a project in a temporary folder, trains, then
runs both in turns.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from borrowed import copy_project
from measure import ROOT, in_turns, machine, markdown_table, measure, ratios, spread

IMPORTS = "import feast, mlflow.pyfunc, mlflow.sklearn, kedro.framework.session"


def kedro_run(pipeline: str) -> list[str]:
    """Return the command that runs a pipeline."""
    return [str(Path(sys.executable).with_name("kedro")), "run", "--pipelines", pipeline]


def report(runs: int) -> str:
    """Run the comparison and return its table."""
    with tempfile.TemporaryDirectory() as folder:
        project = copy_project(Path(folder) / "project")
        measure(kedro_run("training"), project)
        commands = {"batch": kedro_run("batch"), "imports": [sys.executable, "-c", IMPORTS]}
        measured = in_turns(commands, runs, project)
    batch, imports = measured["batch"], measured["imports"]
    rows = [
        [name, spread([u.wall for u in used]), spread([u.cpu for u in used]), spread([u.peak for u in used], 0)]
        for name, used in (("`kedro run --pipelines batch`", batch), (f"`python -c '{IMPORTS}'`", imports))
    ]
    ratio = [
        "ratio",
        spread(ratios([u.wall for u in batch], [u.wall for u in imports])),
        spread(ratios([u.cpu for u in batch], [u.cpu for u in imports])),
        spread(ratios([u.peak for u in batch], [u.peak for u in imports])),
    ]
    header = ["", "wall s", "processor s", "peak MiB"]
    head = f"Median (lowest to highest) of {runs} runs in turns, after a warm-up. {machine()}."
    return "\n".join(["# Start", "", head, "", *markdown_table(header, [*rows, ratio]), ""])


def main() -> None:
    """Print the table, and write it to a file if one is named."""
    parser = argparse.ArgumentParser(description="Measure a batch run against the imports that it needs.")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/start.md")
    options = parser.parse_args()
    table = report(options.runs)
    options.output.write_text(table, encoding="utf-8")
    print(table)


if __name__ == "__main__":
    main()
