"""SIGTERM under load: what was taken is answered, then the process ends."""

from __future__ import annotations

import logging
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from processes import free_port
from support.load import REFUSED, UNANSWERED, Answers, Report, RunningLoad, loading
from support.proxy import slow_proxy
from support.servers import Serving, serving

if TYPE_CHECKING:
    from pathlib import Path

    from support.redis_projects import RedisProject

pytestmark = pytest.mark.slow
logger = logging.getLogger(__name__)

ENDS_WITHIN = 5.0  # seconds


@dataclass(frozen=True)
class Shutdown:
    """What a SIGTERM gave.

    Attributes:
        report: The load's.
        told: When the signal was sent.
        seconds: How long the process went on.
        exit_code: The process's.
        log: What it has printed.
    """

    report: Report
    told: float
    seconds: float
    exit_code: int
    log: str


def terminate(server: Serving, load: RunningLoad) -> Shutdown:
    told = time.monotonic()
    server.process.terminate()
    exit_code = server.process.wait(timeout=20)
    seconds = time.monotonic() - told
    shutdown = Shutdown(load.end(), told, seconds, exit_code, server.log.read_text(encoding="utf-8"))
    answers = shutdown.report.answers
    logger.info("before: %s", answers.between(0, told).described())
    logger.info("under way: %s", under_way(shutdown).described())
    logger.info("after: %s; ended after %.2f s", answers.between(told).described(), seconds)
    return shutdown


def under_way(shutdown: Shutdown) -> Answers:
    """Return the answers to requests that were sent before the signal, and not answered before it."""
    told = shutdown.told
    answers = shutdown.report.answers.all
    return Answers(tuple(one for one in answers if one.sent < told < one.sent + one.seconds))


def assert_nothing_was_dropped(shutdown: Shutdown) -> None:
    answers = shutdown.report.answers
    assert answers.by_status().keys() <= {0, 200}
    assert answers.between(0, shutdown.told).by_status().keys() == {200}
    # a connection may be closed between two requests, at the moment at which the next one is on its way
    allowed = {REFUSED, UNANSWERED}
    assert answers.problems().keys() <= allowed
    ranked = set(re.findall(r"ranked id=(\S+)", shutdown.log))
    assert ranked == {one.request_id for one in answers.all if one.status == 200}
    assert "Traceback" not in shutdown.log
    assert shutdown.exit_code == 0
    assert shutdown.seconds < ENDS_WITHIN


def test_at_sigterm_every_request_that_was_taken_is_answered_and_the_process_ends_well(sqlite_project: Path) -> None:
    with serving(sqlite_project) as server, loading(server, pause=0.0, ends_with_server=True) as load:
        time.sleep(2)
        shutdown = terminate(server, load)
    assert_nothing_was_dropped(shutdown)


def test_at_sigterm_requests_that_wait_for_a_slow_store_are_answered(filled_redis_project: RedisProject) -> None:
    project, port = filled_redis_project, free_port()
    with (
        project.redis(),
        slow_proxy(port, project.port) as proxy,
        serving(project.folder, project.variables(port)) as server,
        loading(server, pause=0.0, ends_with_server=True) as load,
    ):
        proxy.delay = 0.4
        time.sleep(2)
        shutdown = terminate(server, load)
    assert_nothing_was_dropped(shutdown)
    assert under_way(shutdown).by_status() == {200: 8}
