"""Drives a load at a server, counts what the server used, and checks its answers."""

import json
import math
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from mlserver.grpc import dataplane_pb2 as pb
from online.load import INFER
from online.requests_for import Asked, Requests, grpc_message, rest_body
from online.world import Server, World

HERE = Path(__file__).parent
TOLERANCE = 1e-9
IDLE_WINDOW, IDLE_SHARE = 0.2, 0.25  # seconds, and how much of a core its own probes may take
CHECKED_AT_ONCE = 16
# wrk counts nothing of what is on its way at the end. A server that works through many slow requests answers them in
# bursts, seconds apart, and would lose one; our client waits for the last answer.
MOST_IDS_FOR_WRK = 1000


@dataclass(frozen=True)
class Case:
    """A load.

    Attributes:
        protocol: ``rest`` or ``grpc``.
        ids: How many ids a request has.
        clients: How many clients send at once.
    """

    protocol: str
    ids: int
    clients: int

    @property
    def label(self) -> str:
        """Return how tables name it."""
        name = {"rest": "REST", "grpc": "gRPC"}[self.protocol]
        return f"{name}, {self.ids:,} ids, {self.clients} client{'s' * (self.clients > 1)}"

    @property
    def order(self) -> tuple[bool, int, int]:
        """Return what tables are ordered by: REST first."""
        return self.protocol != "rest", self.ids, self.clients


@dataclass(frozen=True)
class Loaded:
    """What a load gave.

    Attributes:
        rate: Requests answered a second.
        p50: Median latency, in ms.
        p99: 99th percentile of it.
        cpu: Processor time of the server for a request, in ms.
        resident: Memory of the server after it, in MiB.
        client: Share of a core that the client took: near 1, it is the client that is measured.
    """

    rate: float
    p50: float
    p99: float
    cpu: float
    resident: float
    client: float


def wrk() -> str | None:
    """Return the program wrk, where it is installed."""
    return shutil.which("wrk")


def drive(server: Server, case: Case, requests: Requests, seconds: float) -> Loaded:
    """Load a server.

    Raises:
        RuntimeError: A request was not answered, or not well.
    """
    command = _command(server, case, requests, seconds)
    before = server.cpu_seconds()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
        output = client.stdout.read() if client.stdout else ""
        _, status, usage = os.wait4(client.pid, 0)
        client.returncode = os.waitstatus_to_exitcode(status)
    used = server.cpu_seconds() - before
    wait_until_idle(server)
    lines = [line for line in output.splitlines() if line.startswith("{")]
    if client.returncode or not lines:
        message = f"the client failed with exit code {client.returncode}:\n{output}"
        raise RuntimeError(message)
    figures = json.loads(lines[-1])
    if figures["errors"] or not figures["requests"]:
        message = f"{server.name}, {case.label}: {figures}\n{_end_of(server.log)}"
        raise RuntimeError(message)
    answered, taken = figures["requests"], figures["seconds"]
    client_share = (usage.ru_utime + usage.ru_stime) / taken
    return Loaded(
        answered / taken,
        figures["p50"],
        figures["p99"],
        1000 * used / answered,
        server.resident_mib(),
        client_share,
    )


def wait_until_idle(server: Server, seconds: float = 60) -> None:
    """Wait for what a load has left behind: a server goes on with requests whose clients have gone.

    Else the next load of it, and of the others, would share the processor with them.

    Raises:
        RuntimeError: It does not come to rest.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        before = server.cpu_seconds()
        time.sleep(IDLE_WINDOW)
        if server.cpu_seconds() - before <= IDLE_SHARE * IDLE_WINDOW:
            return
    message = f"{server.name} uses the processor {seconds:g} s after its load"
    raise RuntimeError(message)


def _command(server: Server, case: Case, requests: Requests, seconds: float) -> list[str]:
    program = wrk()
    if case.protocol == "rest" and program and case.ids < MOST_IDS_FOR_WRK:
        threads = ["-t1", f"-c{case.clients}", f"-d{max(1, round(seconds))}s", "--timeout", "30s"]
        return [program, *threads, "-s", str(HERE / "wrk.lua"), server.url, "--", str(requests.rest)]
    target, bodies = (server.url, requests.rest) if case.protocol == "rest" else (server.address, requests.grpc)
    sizes = ["--clients", str(case.clients), "--seconds", str(seconds)]
    return [sys.executable, str(HERE / "load.py"), case.protocol, target, str(bodies), *sizes]


def _end_of(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-2000:]


def check(server: Server, world: World, asked: Sequence[Asked]) -> None:
    """Ask over both protocols, many at once, and compare the answers with scores computed directly.

    The no-op's answers must only have the right form.

    Args:
        server: Who is asked.
        world: Knows the right answers.
        asked: What for.

    Raises:
        RuntimeError: An answer is wrong.
    """
    with grpc.insecure_channel(server.address) as channel, ThreadPoolExecutor(CHECKED_AT_ONCE) as pool:
        rest = list(pool.map(lambda one: _ask_rest(server, one), asked))
        method = channel.unary_unary(INFER)
        binary = list(
            pool.map(lambda one: _read_message(method(grpc_message(one).SerializeToString()), _key(one)), asked)
        )
    for one, *answers in zip(asked, rest, binary, strict=True):
        best, score = world.best(one)
        for answer in answers:
            right = answer[0] == best and math.isclose(answer[1], score, rel_tol=TOLERANCE)
            if not right and server.name != "no-op":
                message = f"{server.name} answered {answer}, right is {(best, score)}"
                raise RuntimeError(message)


def _key(asked: Asked) -> str:
    """Return what the candidates are called."""
    return next(iter(asked))


def _ask_rest(server: Server, asked: Asked) -> tuple[Any, float]:
    body = json.dumps(rest_body(asked)).encode()
    request = urllib.request.Request(server.url, body, {"Content-Type": "application/json"})  # noqa: S310 - http
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - likewise
        outputs = {output["name"]: output["data"] for output in json.load(answer)["outputs"]}
    return outputs[_key(asked)][0], outputs["score"][0]


def _read_message(content: bytes, key: str) -> tuple[Any, float]:
    answer = pb.ModelInferResponse.FromString(content)
    found = {
        output.name: (output.datatype, raw)
        for output, raw in zip(answer.outputs, answer.raw_output_contents, strict=True)
    }
    datatype, raw = found[key]
    best = raw[4:].decode() if datatype == "BYTES" else int(np.frombuffer(raw, np.int64)[0])
    return best, float(np.frombuffer(found["score"][1], np.float64)[0])
