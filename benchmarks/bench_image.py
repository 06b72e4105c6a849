"""The image's size, and how fast its programs start, against the bare environment.

``make bench-image``: builds the image on a base by debootstrap (root, buildah and debootstrap are needed), then
runs in turns, each from the start of the process, on the same sample:

- the server until ``/v2/health/ready`` answers 200: in the image, as its user on read-only files; in ``.venv``; and in
  ``.venv`` without compiled bytecode, as an image without it would
- a batch run, in the image and in ``.venv``
"""

import argparse
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from borrowed import copy_project, stop
from measure import ROOT, machine, markdown_table, ratios, spread
from support.image import Container, Image, Network, built_image, missing, private_network

BIN = Path(sys.executable).parent
READY = "until curl -sf -o /dev/null http://localhost:8172/v2/health/ready; do sleep 0.01; done"
UNCOMPILED = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": "/nonexistent"}
BATCH = ("kedro", "run", "--pipelines", "batch")


@contextlib.contextmanager
def running(command: Sequence[str], folder: Path, variables: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the block ends."""
    with (folder / "program.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, "DO_NOT_TRACK": "true", **variables}, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        stop(process, patience=30)


def until_ready(network: Network, command: Sequence[str], folder: Path, variables: dict[str, str]) -> float:
    """Return the seconds from the start of a server until it is ready."""
    start = time.perf_counter()
    with running(command, folder, variables):
        subprocess.run(network.inside(["sh", "-c", READY]), check=True, timeout=120)
        return time.perf_counter() - start


def until_done(command: Sequence[str], folder: Path, variables: dict[str, str]) -> float:
    """Return the seconds that a program takes.

    Raises:
        RuntimeError: It failed.
    """
    start = time.perf_counter()
    with running(command, folder, variables) as process:
        if process.wait(timeout=120):
            raise RuntimeError((folder / "program.log").read_text(encoding="utf-8"))
    return time.perf_counter() - start


def prepared(container: Container, network: Network, folder: Path) -> Path:
    """Train and materialize in the image and in a copy of the project; return the copy."""
    project = copy_project(folder / "project")
    for pipeline in ("training", "materialize"):
        until_done(container.command(("kedro", "run", "--pipelines", pipeline)), folder, {})
        until_done(network.inside([str(BIN / "kedro"), "run", "--pipelines", pipeline]), project, {})
    return project


def compare(image: Image, folder: Path, runs: int) -> dict[str, list[float]]:
    """Run everything in turns, after a warm-up."""
    with private_network() as network:
        volume = image.new_volume(folder / "data", "/app/data")
        container = Container(image, network, {"/app/data": volume})
        project = prepared(container, network, folder)
        bare = network.inside([str(BIN / "mlserver"), "start", "."])
        steps: dict[str, Callable[[], float]] = {
            "server, image": lambda: until_ready(network, container.command(), folder, {}),
            "server, bare": lambda: until_ready(network, bare, project, {}),
            "server, uncompiled": lambda: until_ready(network, bare, project, UNCOMPILED),
            "batch, image": lambda: until_done(container.command(BATCH), folder, {}),
            "batch, bare": lambda: until_done(network.inside([str(BIN / BATCH[0]), *BATCH[1:]]), project, {}),
        }
        found: dict[str, list[float]] = {name: [] for name in steps}
        for turn in range(runs + 1):
            for name, step in steps.items():
                seconds = step()
                print(f"  {name}: {seconds:.2f} s", file=sys.stderr)
                found[name] += [seconds] if turn else []
    return found


def mib(folder: Path) -> str:
    """Return what the files of a folder take."""
    done = subprocess.run(["/usr/bin/du", "-sxm", str(folder)], capture_output=True, text=True, check=True)
    return f"{int(done.stdout.split()[0]):,}"


def report(image: Image, found: dict[str, list[float]]) -> str:
    """Return the tables."""
    venv = image.files / "opt/venv"
    shutil.rmtree(image.files / "app/data")  # a volume
    sizes = [
        ["the image's files", mib(image.files)],
        ["of them `/opt/venv`: packages with bytecode", mib(venv)],
        ["of them `/app`", mib(image.files / "app")],
        ["`.venv`: packages with bytecode, the developers' tools too", mib(Path(sys.prefix))],
    ]
    pairs = {
        "server, until ready": ("server, image", "server, bare"),
        "server without bytecode, until ready": ("server, uncompiled", "server, bare"),
        "batch run of the sample": ("batch, image", "batch, bare"),
    }
    rows = [
        [label, spread(found[one]), spread(found[other]), spread(ratios(found[one], found[other]))]
        for label, (one, other) in pairs.items()
    ]
    rows[1][0] = "the same in `.venv` without bytecode (first figure)"
    runs = len(found["server, image"])
    slower = statistics.median(ratios(found["server, image"], found["server, bare"]))
    head = f"{runs} starts each, in turns, after a warm-up; median (lowest to highest). {machine()}."
    base = "The base is Debian's minimal system with Python, by debootstrap."
    times = markdown_table(["", "image, s", "bare environment, s", "ratio"], rows)
    summary = f"The server in the image starts in {slower:.2f} of the time that it takes in the bare environment."
    table = markdown_table(["", "MiB"], sizes)
    return "\n".join(["# The image", "", head, base, "", *table, "", *times, "", summary, ""])


def main() -> None:
    """Print the tables and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/image.md")
    options = parser.parse_args()
    if lacking := missing():
        sys.exit(lacking)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with built_image(folder / "image") as image:
            text = report(image, compare(image, folder, options.runs))
    options.output.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
