"""Redis goes away, or is slow, under load: clear errors in bounded time, and back to normal without a restart."""

from __future__ import annotations

import logging
import math
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from processes import free_port
from support.load import Report, Watched, loading
from support.proxy import slow_proxy
from support.servers import serving

if TYPE_CHECKING:
    from support.redis_projects import RedisProject

pytestmark = pytest.mark.slow
logger = logging.getLogger(__name__)

TIMEOUT = 1.0  # `online_read_timeout` as model-settings.json has it
SLACK = 0.5  # for two busy cores
NOTICED_WITHIN = 2.0  # how soon the server must know, and say, that the store is gone


def is_ready(look: Watched) -> bool:
    return look.ready == 200


def is_not_ready(look: Watched) -> bool:
    return look.ready == 400


def lived_all_along(report: Report) -> bool:
    return {look.live for look in report.watched} == {200} and max(look.seconds for look in report.watched) < 1


def log_phases(report: Report, *moments: float) -> None:
    for start, end in pairwise((-math.inf, *moments, math.inf)):
        logger.info("%s", report.answers.between(start, end).described())


def test_while_redis_is_stopped_requests_get_503_and_after_its_start_they_are_answered(
    filled_redis_project: RedisProject,
) -> None:
    project = filled_redis_project
    with project.redis() as first, serving(project.folder, project.variables()) as server, loading(server) as load:
        time.sleep(2)
        stopping = time.monotonic()
        first.terminate()
        first.wait(timeout=10)
        stopped = time.monotonic()
        time.sleep(4)
        starting = time.monotonic()
        with project.redis():
            started = time.monotonic()
            server.wait()
            ready = time.monotonic()
            time.sleep(2)
            report = load.end()

    log_phases(report, stopping, stopped, starting, ready)
    answers = report.answers
    assert not answers.problems()
    before, during, after = answers.between(0, stopping), answers.between(stopped, starting), answers.between(ready)
    assert before.by_status().keys() == {200}
    assert during.by_status().keys() == {503}
    assert after.by_status().keys() == {200}
    assert answers.by_status().keys() == {200, 503}  # in the moments between as well
    assert min(map(len, (before, during, after))) > 200
    assert during.percentile(100) < TIMEOUT + SLACK

    noticed, back = report.first(stopped, is_not_ready), report.first(started, is_ready)
    logger.info("not ready after %.2f s, ready again after %.2f s", noticed, back)
    assert noticed < NOTICED_WITHIN
    assert back < NOTICED_WITHIN
    assert not any(map(is_ready, report.watched_between(stopped + NOTICED_WITHIN, starting)))
    assert all(map(is_ready, report.watched_between(ready)))
    assert {look.reason for look in report.watched if not is_ready(look)} == {
        "The online feature store can't be read at the moment. Try again later."
    }
    assert lived_all_along(report)


def test_a_slow_redis_is_waited_for_up_to_the_limit_and_beyond_it_requests_get_503(
    filled_redis_project: RedisProject,
) -> None:
    project, port = filled_redis_project, free_port()
    with (
        project.redis(),
        slow_proxy(port, project.port) as proxy,
        serving(project.folder, project.variables(port)) as server,
        loading(server) as load,
    ):
        time.sleep(2)
        proxy.delay, slow = 0.3 * TIMEOUT, time.monotonic()
        time.sleep(4)
        proxy.delay, too_slow = 1.5 * TIMEOUT, time.monotonic()
        time.sleep(6)
        proxy.delay, fast = 0.0, time.monotonic()
        server.wait()
        ready = time.monotonic()
        time.sleep(2)
        report = load.end()

    log_phases(report, slow, too_slow, fast, ready)
    answers = report.answers
    assert not answers.problems()
    assert answers.between(0, slow).by_status().keys() == {200}
    waited = answers.between(slow, too_slow)
    assert waited.by_status().keys() == {200}
    assert waited.percentile(50) > 0.3 * TIMEOUT
    assert waited.percentile(100) < TIMEOUT
    refused = answers.between(too_slow + SLACK, fast)  # a batch that was on its way still comes back in time
    assert refused.by_status().keys() == {503}
    assert refused.percentile(100) < TIMEOUT + SLACK
    assert answers.between(ready).by_status().keys() == {200}
    assert answers.by_status().keys() == {200, 503}

    noticed, back = report.first(too_slow, is_not_ready), report.first(fast, is_ready)
    logger.info("not ready after %.2f s, ready again after %.2f s", noticed, back)
    assert all(map(is_ready, report.watched_between(0, too_slow)))
    assert noticed < NOTICED_WITHIN + SLACK
    assert not any(map(is_ready, report.watched_between(too_slow + NOTICED_WITHIN + SLACK, fast)))
    assert back < NOTICED_WITHIN + SLACK
    assert all(map(is_ready, report.watched_between(ready)))
    assert lived_all_along(report)
