"""The online service against a plain runtime and a no-op, on the same MLServer settings and a real Redis.

    python benchmarks/bench_online.py                     # 25 minutes
    python benchmarks/bench_online.py --quick             # a trial of two minutes; writes no file
    python benchmarks/bench_online.py --servers ours "2 processes" --output processes.md

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
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from borrowed import redis_server
from measure import ROOT, machine
from online.drive import Case, Loaded, check, drive, wrk
from online.report import plot, tables
from online.requests_for import Requests, write_requests
from online.world import KINDS, Server, World, environment, make_world, started, wait_until_ready

DRIVERS = 30_000
CHECKED = 24  # answers of each server before a round, by number of ids and protocol
WARM_UP = Case("rest", 100, 4)


def main() -> None:
    """Set up, load, report."""
    options = _options()
    with (
        tempfile.TemporaryDirectory() as name,
        redis_server(Path(name)) as address,
    ):
        folder = Path(name)
        say("training and materializing")
        world = make_world(folder, address, DRIVERS)
        requests = {size: write_requests(folder, world.driver_id, size) for size in options.ids}
        with servers(options.servers, world, folder) as running:
            ready = {server.name: server.resident_mib() for server in running}
            results = rounds(options, running, world, requests)
        in_process = {} if options.no_in_process else measure_in_process(world, 1 if options.quick else 10)
    page = tables(head(options), results, ready, in_process)
    print(page)
    if options.output:
        options.output.write_text(page, encoding="utf-8")
        options.output.with_suffix(".svg").write_text(plot(results, options.servers), encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", nargs="+", choices=KINDS, default=["ours", "plain", "no-op"])
    parser.add_argument("--protocols", nargs="+", choices=("rest", "grpc"), default=["rest", "grpc"])
    parser.add_argument("--ids", nargs="+", type=int, default=[5, 100, 1000])
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 16, 64])
    parser.add_argument("--seconds", type=float, default=8, help="of each load")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round of a second each")
    parser.add_argument("--no-in-process", action="store_true", help="leave out the parts of a request by themselves")
    parser.add_argument("--output", type=Path, help="where the table goes, and beside it the plot")
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.rounds = 1, 1
    elif options.output is None:
        options.output = ROOT / "benchmarks/online.md"
    return options


def say(what: str) -> None:
    """Tell the user, not the table."""
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def servers(names: Sequence[str], world: World, folder: Path) -> Iterator[list[Server]]:
    """Run servers; those that are not loaded use next to no processor."""
    with contextlib.ExitStack() as stack:
        running = []
        for name in names:
            server = stack.enter_context(started(name, world, folder / name.replace(" ", "-")))
            wait_until_ready(server)
            running.append(server)
        yield running


def rounds(
    options: argparse.Namespace, running: Sequence[Server], world: World, requests: Mapping[int, Requests]
) -> dict[tuple[Case, str], list[Loaded]]:
    """Load every server with every case, in turns, and return what each round gave."""
    cases = [Case(*values) for values in itertools.product(options.protocols, options.ids, options.clients)]
    results: dict[tuple[Case, str], list[Loaded]] = {(case, one.name): [] for case in cases for one in running}
    for server in running:
        some = next(iter(requests))
        drive(server, Case(WARM_UP.protocol, some, WARM_UP.clients), requests[some], min(3, options.seconds))
    for turn in range(options.rounds):
        for server, asked in itertools.product(running, requests.values()):
            check(server, world, asked.driver_ids[turn * CHECKED : (turn + 1) * CHECKED])
        for place, case in enumerate(cases):
            first = (turn + place) % len(running)
            for server in (*running[first:], *running[:first]):
                found = drive(server, case, requests[case.ids], options.seconds)
                results[case, server.name].append(found)
                say(f"{case.label}, {server.name}: {found.rate:.0f}/s, p50 {found.p50:.2f}, p99 {found.p99:.2f} ms")
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
        f"{DRIVERS:,} drivers in Redis on loopback, distinct ids in every request; {options.rounds} round(s) of "
        f"{options.seconds:g} s for each load, servers in turns, median (lowest to highest). One MLServer process "
        f"each, no parallel workers, debug off. REST driven by {client}, gRPC by an asyncio client, each "
        f"a process beside the server and Redis on the same cores. {machine()}."
    )


if __name__ == "__main__":
    main()
