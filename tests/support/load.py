"""A steady load on the REST endpoint, from a process of its own, and what came back.

The clients run in another process, so that nothing that a test does holds them up; this file is also their program.
Times are those of the system's monotonic clock, which all processes share.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import random
import resource
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.servers import Serving

NO_ANSWER = 0  # the status of a request without one
REFUSED = "refused"  # nobody listened
UNANSWERED = "unanswered"  # the connection was closed before the answer began
CUT = "cut"  # the connection was closed in the middle of the answer
TIMED_OUT = "timed out"
WRONG_BODY = "wrong body"

_GIVEN_UP_AFTER = 30.0  # a request that hangs is a finding, not the end of the test


@dataclass(frozen=True)
class Load:
    """What is asked.

    Attributes:
        url: The server.
        pid: Its process, whose memory is watched.
        clients: How many ask, each one request after the other.
        pause: How long a client waits between an answer and its next request, in seconds.
        requests: After how many requests it ends by itself; None for not at all.
        ids: How many distinct ids a request has.
        first_id: The smallest id that is asked for.
        last_id: The largest one.
        watch_interval: How often health and memory are looked at, in seconds.
        ends_with_server: Whether a client ends when nobody listens anymore.
    """

    url: str
    pid: int
    clients: int = 8
    pause: float = 0.02
    requests: int | None = None
    ids: int = 5
    first_id: int = 1001
    last_id: int = 1050
    watch_interval: float = 0.05
    ends_with_server: bool = False

    def endpoint(self, path: str) -> str:
        """Return the address of a path."""
        return f"{self.url}/v2/{path}"


@dataclass(frozen=True)
class Answer:
    """One request and its answer.

    Attributes:
        request_id: The id that it was given.
        sent: When it was sent.
        seconds: How long the answer took.
        status: Its HTTP status; 0 for none.
        problem: What is wrong with the answer, or why there is none; empty where it is as the protocol wants it.
        model_version: The version that it names.
        driver_id: The best driver.
        score: That driver's score.
    """

    request_id: str
    sent: float
    seconds: float
    status: int = NO_ANSWER
    problem: str = ""
    model_version: str | None = None
    driver_id: int | None = None
    score: float | None = None


@dataclass(frozen=True)
class Watched:
    """One look at the server.

    Attributes:
        sent: When it was asked.
        seconds: How long both answers took.
        live: Status of its liveness; 0 for no answer.
        ready: Status of its readiness; 0 for no answer.
        reason: Why it is not ready, as it says.
        memory: Its resident memory, in bytes.
    """

    sent: float
    seconds: float
    live: int = NO_ANSWER
    ready: int = NO_ANSWER
    reason: str = ""
    memory: int = 0


@dataclass(frozen=True)
class Answers:
    """Answers in the order in which the requests were sent."""

    all: tuple[Answer, ...]

    def __len__(self) -> int:
        return len(self.all)

    def between(self, start: float, end: float = math.inf) -> Answers:
        """Return those to requests that were sent after one moment and answered before another."""
        return Answers(tuple(one for one in self.all if one.sent >= start and one.sent + one.seconds <= end))

    def by_status(self) -> dict[int, int]:
        """Return how many have which status."""
        return dict(sorted(Counter(one.status for one in self.all).items()))

    def problems(self) -> dict[str, int]:
        """Return how many have which problem."""
        return dict(Counter(one.problem for one in self.all if one.problem))

    def versions(self) -> set[str | None]:
        """Return the model versions that they name."""
        return {one.model_version for one in self.all}

    def percentile(self, percent: float) -> float:
        """Return how long the given share of them took at most, in seconds."""
        return float(np.percentile([one.seconds for one in self.all], percent))

    def described(self) -> str:
        """Return them in a line."""
        if not self.all:
            return "none"
        milliseconds = "/".join(f"{self.percentile(percent) * 1000:.1f}" for percent in (50, 99, 100))
        return f"{self.by_status()} {self.problems() or ''} p50/p99/max {milliseconds} ms"


@dataclass(frozen=True)
class Report:
    """What a load gave."""

    answers: Answers
    watched: tuple[Watched, ...]

    def watched_between(self, start: float, end: float = math.inf) -> list[Watched]:
        """Return the looks that began after one moment and ended before another."""
        return [one for one in self.watched if one.sent >= start and one.sent + one.seconds <= end]

    def first(self, start: float, wanted: Callable[[Watched], bool]) -> float:
        """Return how long after a moment the server was first seen in some state; infinite for never."""
        return next((one.sent + one.seconds - start for one in self.watched_between(start) if wanted(one)), math.inf)


class RunningLoad:
    """A load that runs; its report is there once it has ended."""

    def __init__(self, load: Load) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._report: Report | None = None
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(asdict(load)) + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "started\n"

    def end(self) -> Report:
        """Let the clients finish their last requests and return what there was; a limited load is cut short."""
        if self._report is None:
            output, _ = self._process.communicate(timeout=2 * _GIVEN_UP_AFTER)  # closes what the clients wait on
            self._report = _parsed(output)
        return self._report

    def wait(self, seconds: float) -> Report:
        """Wait until a limited load has ended by itself, and return what there was."""
        if self._report is None:
            assert self._process.stdout
            too_late = threading.Timer(seconds, self._process.kill)
            too_late.start()
            output = self._process.stdout.read()
            too_late.cancel()
            assert self._process.wait(timeout=10) == 0, f"the load took more than {seconds} s"
            self._report = _parsed(output)
        return self._report

    def kill(self) -> None:
        """End the process, whatever it does."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream and not stream.closed:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(timeout=10)


@contextlib.contextmanager
def loading(server: Serving, **settings: Any) -> Iterator[RunningLoad]:
    """Put a server under load; the settings are those of ``Load``."""
    running = RunningLoad(replace(Load(server.url, server.process.pid), **settings))
    try:
        yield running
    finally:
        running.kill()


def _parsed(output: str) -> Report:
    answers: list[Answer] = []
    watched: list[Watched] = []
    for line in output.splitlines():
        kind, values = json.loads(line)
        if kind == Answer.__name__:
            answers.append(Answer(*values))
        else:
            watched.append(Watched(*values))
    return Report(Answers(tuple(sorted(answers, key=lambda one: one.sent))), tuple(watched))


# ---- the other process


class _Clients:
    def __init__(self, load: Load, session: aiohttp.ClientSession) -> None:
        self._load = load
        self._session = session
        self._left = math.inf if load.requests is None else load.requests
        self._number = 0
        self._ended = False
        self._ids = range(load.first_id, load.last_id + 1)
        self._random = random.Random(17)  # noqa: S311 - it hides nothing
        self.answers: list[Answer] = []
        self.watched: list[Watched] = []

    def end(self) -> None:
        """Let each client end after its request."""
        self._ended = True

    async def run(self) -> None:
        """Ask until the end."""
        watching = asyncio.create_task(self._watch())
        await asyncio.gather(*(self._one_client(number) for number in range(self._load.clients)))
        self._ended = True
        await watching

    async def _one_client(self, number: int) -> None:
        await asyncio.sleep(number * self._load.pause / self._load.clients)  # not all in one moment
        while self._left > 0 and not self._ended:
            self._left -= 1
            answer = await self._ask()
            self.answers.append(answer)
            if answer.problem == REFUSED and self._load.ends_with_server:
                return
            if self._load.pause:
                await asyncio.sleep(self._load.pause)

    async def _ask(self) -> Answer:
        self._number += 1
        ids = self._random.sample(self._ids, self._load.ids)
        driver_id = {"name": "driver_id", "shape": [len(ids)], "datatype": "INT64", "data": ids}
        asked = {"id": f"load-{self._number}", "inputs": [driver_id]}
        answer = Answer(f"load-{self._number}", time.monotonic(), 0.0)
        began = False
        try:
            async with self._session.post(self._load.endpoint("models/driver_ranking/infer"), json=asked) as response:
                began = True
                status, body = response.status, await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return replace(answer, seconds=time.monotonic() - answer.sent, problem=_why_none(error, began=began))
        answer = replace(answer, seconds=time.monotonic() - answer.sent, status=status)
        return _scored(answer, body, ids) if status == 200 else _failed(answer, body)

    async def _watch(self) -> None:
        while not self._ended:
            self.watched.append(await self._look())
            await asyncio.sleep(self._load.watch_interval)

    async def _look(self) -> Watched:
        sent = time.monotonic()
        live, _ = await self._health("live")
        ready, body = await self._health("ready")
        reason = json.loads(body).get("error", "") if ready == 400 else ""
        return Watched(sent, time.monotonic() - sent, live, ready, reason, _resident_memory(self._load.pid))

    async def _health(self, name: str) -> tuple[int, bytes]:
        try:
            async with self._session.get(self._load.endpoint(f"health/{name}")) as response:
                return response.status, await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError):
            return NO_ANSWER, b""


def _resident_memory(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except OSError:  # it has ended
        return 0
    return pages * resource.getpagesize()


def _why_none(error: BaseException, *, began: bool) -> str:
    if isinstance(error, TimeoutError):
        return TIMED_OUT
    if isinstance(error, aiohttp.ClientConnectorError):
        return REFUSED
    part = isinstance(error, aiohttp.ServerDisconnectedError) and not isinstance(error.message, str)  # of the head
    return CUT if began or part else UNANSWERED


def _scored(answer: Answer, body: bytes, ids: list[int]) -> Answer:
    """Read a V2 answer; anything that it lacks makes it a wrong one."""
    try:
        content = json.loads(body)
        driver, score, excluded = content["outputs"]
        answer = replace(
            answer, model_version=content["model_version"], driver_id=driver["data"][0], score=score["data"][0]
        )
        expected = {
            "model_name": "driver_ranking",
            "model_version": answer.model_version,
            "id": answer.request_id,
            "outputs": [
                {"name": "driver_id", "shape": [1], "datatype": "INT64", "data": [answer.driver_id]},
                {"name": "score", "shape": [1], "datatype": "FP64", "data": [answer.score]},
                excluded | {"name": "excluded_driver_id", "shape": [len(excluded["data"])], "datatype": "INT64"},
            ],
        }
        known = answer.driver_id in ids and set(excluded["data"]) < set(ids)
        right = content == expected and known and math.isfinite(score["data"][0])
    except (ValueError, KeyError, TypeError, IndexError):
        right = False
    return answer if right else replace(answer, problem=WRONG_BODY)


def _failed(answer: Answer, body: bytes) -> Answer:
    try:
        content = json.loads(body)
        right = set(content) == {"error"} and isinstance(content["error"], str) and bool(content["error"])
    except (ValueError, KeyError, TypeError):
        right = False
    return answer if right else replace(answer, problem=WRONG_BODY)


async def _run(load: Load) -> _Clients:
    timeout = aiohttp.ClientTimeout(total=_GIVEN_UP_AFTER)
    # one connection for each client, and one for the look
    connector = aiohttp.TCPConnector(limit=load.clients + 1, keepalive_timeout=60)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        clients = _Clients(load, session)
        # the end of the input is what ends the load
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), clients.end)
        sys.stdout.write("started\n")
        sys.stdout.flush()
        await clients.run()
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
    return clients


def _main() -> None:
    clients = asyncio.run(_run(Load(**json.loads(sys.stdin.readline()))))
    records: tuple[Answer | Watched, ...] = (*clients.answers, *clients.watched)
    for record in records:
        sys.stdout.write(json.dumps([type(record).__name__, astuple(record)]) + "\n")


if __name__ == "__main__":
    _main()
