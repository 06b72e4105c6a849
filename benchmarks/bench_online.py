"""The online service against a plain runtime and a no-op, on the same MLServer settings and a real Redis.

    python benchmarks/bench_online.py                     # 25 minutes
    python benchmarks/bench_online.py --load texts        # 10 minutes
    python benchmarks/bench_online.py --quick             # a trial of two minutes; writes no file
    python benchmarks/bench_online.py --servers ours "2 processes" --output processes.md

The load ``ids`` is the sample: int64 ids and nothing else. The load ``texts`` is restaurants by text ids, a zone that
has features of its own and two numbers that only the request knows, each of them one for all candidates; beside it
runs the sample, whose requests have as many ids.

Servers run at the same time and are loaded in turns, so a machine that changes its speed changes it for all of them;
the order of the turns rotates. Every body has other ids. REST is driven by wrk (Debian's package of that name) where it
is on the PATH, else, and from 1,000 ids on, by a client of ours, which takes more of the processor; gRPC by a client of
ours. wrk adds to its latencies those of requests that a stall held back, other clients don't: compare p99 only within
a load, whose servers are all driven by the same client.

Before each round answers are compared with scores computed from the features that were written. An answer that is
wrong or has an error's status ends the run.
"""

import argparse
import contextlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from borrowed import redis_server
from measure import ROOT, machine
from online.drive import Case, Loaded, check, drive, wrk
from online.goals import BOUNDS_OF_IDS, BOUNDS_OF_TEXTS, Bound
from online.report import plot, tables
from online.requests_for import Requests, write_requests
from online.restaurants import ZONES, make_restaurants
from online.world import INT64_IDS, KINDS, Server, World, environment, make_world, started, wait_until_ready

IDS = 30_000
CHECKED = 24  # answers of each server before a round, by number of ids and protocol
WARM_UP = Case("rest", 100, 4)
Make = Callable[[Path, str, int], World]


@dataclass(frozen=True)
class Load:
    """What is measured.

    Attributes:
        make: Makes what most of the servers serve.
        servers: The servers, if none are named.
        clients: How many clients send at once, likewise.
        page: Where the table goes, below ``benchmarks``.
        title: The page's.
        head: What it is, for the table.
        bounds: What is to be reached.
    """

    make: Make
    servers: tuple[str, ...]
    clients: tuple[int, ...]
    page: str
    title: str
    head: str
    bounds: Sequence[Bound]

    def make_of(self, server: str) -> Make:
        """Return what makes what a server serves."""
        return make_world if server == INT64_IDS else self.make

    def makes(self, options: argparse.Namespace) -> set[Make]:
        """Return all that has to be made."""
        return {self.make, *map(self.make_of, options.servers)}


LOADS = {
    "ids": Load(
        make_world,
        ("ours", "plain", "no-op"),
        (1, 16, 64),
        "online.md",
        "Online",
        f"{IDS:,} drivers in Redis on loopback, distinct ids in every request;",
        BOUNDS_OF_IDS,
    ),
    "texts": Load(
        make_restaurants,
        ("ours", "plain", INT64_IDS),
        (1, 16),
        "online_texts.md",
        "Online, text keys and what only a request knows",
        f"{IDS:,} restaurants by text ids, with three features, and {ZONES} zones, with one, in Redis on loopback; in "
        "every request distinct ids, a zone and two numbers that only the request knows, one for all candidates; a "
        f"linear model of six numbers. Beside it `{INT64_IDS}`, ours with the sample and its model of three numbers, "
        "of as many ids a request. A text as a feature would need an encoder, which is the model's own time;",
        BOUNDS_OF_TEXTS,
    ),
}


@dataclass(frozen=True)
class Asked:
    """A world with the requests for it, by number of ids."""

    world: World
    requests: Mapping[int, Requests]


@dataclass(frozen=True)
class Running:
    """A server, and what it is asked."""

    server: Server
    asked: Asked


def main() -> None:
    """Set up, load, report."""
    options = _options()
    load, before = LOADS[options.load], os.getloadavg()[0]
    with (
        tempfile.TemporaryDirectory() as name,
        redis_server(Path(name)) as address,
    ):
        folder = Path(name)
        say("training and materializing")
        asked = {make: make_asked(make, folder / make.__name__, address, options.ids) for make in load.makes(options)}
        with servers(options.servers, [asked[load.make_of(one)] for one in options.servers], folder) as running:
            ready = {one.server.name: one.server.resident_mib() for one in running}
            results = rounds(options, running)
        world = asked[load.make].world
        in_process = {} if options.no_in_process else measure_in_process(world, 1 if options.quick else 10)
    page = tables(
        f"# {load.title}\n\n{load.head} {head(options)} Load before: {before:.1f}.",
        results,
        ready,
        in_process,
        load.bounds,
    )
    print(page)
    if options.output:
        options.output.write_text(page, encoding="utf-8")
        options.output.with_suffix(".svg").write_text(plot(results, options.servers), encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--load", choices=LOADS, default="ids")
    parser.add_argument("--servers", nargs="+", choices=KINDS, help="those of the load if not given")
    parser.add_argument("--protocols", nargs="+", choices=("rest", "grpc"), default=["rest", "grpc"])
    parser.add_argument("--ids", nargs="+", type=int, default=[5, 100, 1000])
    parser.add_argument("--clients", nargs="+", type=int, help="likewise")
    parser.add_argument("--seconds", type=float, default=8, help="of each load")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round of a second each")
    parser.add_argument("--no-in-process", action="store_true", help="leave out the parts of a request by themselves")
    parser.add_argument("--output", type=Path, help="where the table goes, and beside it the plot")
    options = parser.parse_args()
    load = LOADS[options.load]
    options.servers, options.clients = options.servers or load.servers, options.clients or load.clients
    options.no_in_process |= load.make is not make_world  # whose parts they are
    if options.quick:
        options.seconds, options.rounds = 1, 1
    elif options.output is None:
        options.output = ROOT / "benchmarks" / load.page
    return options


def say(what: str) -> None:
    """Tell the user, not the table."""
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


def make_asked(make: Make, folder: Path, address: str, sizes: Sequence[int]) -> Asked:
    """Make a world, and the requests for it."""
    folder.mkdir()
    world = make(folder, address, IDS)
    return Asked(world, {size: write_requests(folder, world.known, world.request, size) for size in sizes})


@contextlib.contextmanager
def servers(names: Sequence[str], asked: Sequence[Asked], folder: Path) -> Iterator[list[Running]]:
    """Run servers; those that are not loaded use next to no processor."""
    with contextlib.ExitStack() as stack:
        running = []
        for name, one in zip(names, asked, strict=True):
            server = stack.enter_context(started(name, one.world, folder / name.replace(" ", "-")))
            wait_until_ready(server)
            running.append(Running(server, one))
        yield running


def rounds(options: argparse.Namespace, running: Sequence[Running]) -> dict[tuple[Case, str], list[Loaded]]:
    """Load every server with every case, in turns, and return what each round gave."""
    cases = [Case(*values) for values in itertools.product(options.protocols, options.ids, options.clients)]
    results: dict[tuple[Case, str], list[Loaded]] = {(case, one.server.name): [] for case in cases for one in running}
    for one in running:
        some = next(iter(one.asked.requests))
        warm_up = Case(WARM_UP.protocol, some, WARM_UP.clients)
        drive(one.server, warm_up, one.asked.requests[some], min(3, options.seconds))
    for turn in range(options.rounds):
        for one in running:
            for requests in one.asked.requests.values():
                check(one.server, one.asked.world, requests.asked[turn * CHECKED : (turn + 1) * CHECKED])
        for place, case in enumerate(cases):
            first = (turn + place) % len(running)
            for one in (*running[first:], *running[:first]):
                found, name = drive(one.server, case, one.asked.requests[case.ids], options.seconds), one.server.name
                results[case, name].append(found)
                say(f"{case.label}, {name}: {found.rate:.0f}/s, p50 {found.p50:.2f}, p99 {found.p99:.2f} ms")
    return results


def measure_in_process(world: World, seconds: float) -> dict[int, dict[str, float]]:
    """Time the parts of a request in a process of their own."""
    command = [sys.executable, "-m", "online.in_process", str(world.project), "--seconds", str(seconds)]
    variables = environment(world, "ours", {})
    output = subprocess.run(command, env=variables, check=True, stdout=subprocess.PIPE, text=True).stdout
    found = json.loads(output.strip().rpartition("\n")[2])
    return {int(size): parts for size, parts in found.items()}


def head(options: argparse.Namespace) -> str:
    """Return what was measured, where and when."""
    client = "wrk (1,000 ids: an asyncio client)" if wrk() else "an asyncio client"
    return (
        f"{options.rounds} round(s) of {options.seconds:g} s for each load, servers in turns, median (lowest to "
        f"highest). One MLServer process each, no parallel workers, debug off. REST driven by {client}, gRPC by an "
        f"asyncio client, each a process beside the server and Redis on the same cores. {machine()}."
    )


if __name__ == "__main__":
    main()
