"""Many requests in a row: the last ones are answered as fast as the first, in the same memory."""

from __future__ import annotations

import logging
import statistics
import time
from typing import TYPE_CHECKING

import pytest
from support.load import Answers, loading
from support.servers import Serving, serving

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow
logger = logging.getLogger(__name__)

REQUESTS = 100_000
SLOWER = 1.5  # how much its median latency may then be over that of a server that has just been started
TURNS, IN_TURN = 5, 1_000  # how the two are compared: a machine that changes its speed changes it for both
GROWTH = 30  # MiB, after the first tenth
SECONDS = 600


def tenths(answers: Answers) -> list[Answers]:
    size = len(answers) // 10
    return [Answers(answers.all[first : first + size]) for first in range(0, 10 * size, size)]


def median_latency(server: Serving) -> float:
    with loading(server, pause=0.0, requests=IN_TURN) as load:
        return load.wait(SECONDS).answers.percentile(50)


def test_a_hundred_thousand_requests_fail_nowhere_and_neither_slow_the_server_nor_make_it_grow(
    sqlite_project: Path,
) -> None:
    started = time.monotonic()
    with serving(sqlite_project) as server, loading(server, pause=0.0, requests=REQUESTS, watch_interval=0.5) as load:
        report = load.wait(SECONDS)
        with serving(sqlite_project) as fresh:
            slower = statistics.median(median_latency(server) / median_latency(fresh) for _ in range(TURNS))
    parts = tenths(report.answers)
    for part in parts:
        logger.info("%s", part.described())
    settled = parts[1].all[0].sent
    memory = [look.memory / 2**20 for look in report.watched_between(settled)]
    logger.info("%.0f s; memory %.0f to %.0f MiB", time.monotonic() - started, memory[0], max(memory))
    logger.info("median latency %.2f of a fresh server's", slower)

    assert len(report.answers) == REQUESTS
    assert report.answers.by_status() == {200: REQUESTS}
    assert not report.answers.problems()
    assert {(look.live, look.ready) for look in report.watched} == {(200, 200)}
    assert slower < SLOWER
    assert max(memory) - memory[0] < GROWTH
