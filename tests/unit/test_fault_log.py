"""Faults leave few lines in the log, with their causes, and no secrets."""

from __future__ import annotations

import logging

import pytest

from driver_ranking.errors import NoRankableDriverError, StoreUnavailableError
from driver_ranking.serving.fault_log import FaultLog, faults, log_failure


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def log(clock: Clock, caplog: pytest.LogCaptureFixture) -> FaultLog:
    """A log of faults, as told by that clock."""
    caplog.set_level(logging.INFO)
    return FaultLog(clock)


def test_a_fault_is_told_when_it_begins_and_when_it_ends_with_its_cause_and_a_count(
    log: FaultLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(1_000):
        log.occurred("The store", "gone")
        clock.now += 0.0005
    log.ended("The store")
    log.ended("The store")
    assert caplog.messages == ["The store: gone", "The store: over; 1000 times in 0.5 s, last: gone"]


def test_while_it_lasts_there_is_a_line_now_and_then(
    log: FaultLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(80):
        log.occurred("The store", "gone")
        clock.now += 0.125
    assert caplog.messages == [
        "The store: gone",
        "The store: gone (9 times in 1 s)",
        "The store: gone (25 times in 3 s)",
        "The store: gone (57 times in 7 s)",
    ]


def test_another_cause_is_told_within_a_second(log: FaultLog, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    log.occurred("The store", "gone")
    clock.now += 0.2
    log.occurred("The store", "wrong password")
    log.settle()
    assert caplog.messages == ["The store: gone"]
    clock.now += 0.8
    log.settle()
    assert caplog.messages[1:] == ["The store: wrong password (2 times in 1 s)"]


def test_what_is_not_met_again_has_ended(log: FaultLog, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    log.occurred("A driver", "spoilt")
    clock.now += 31
    log.settle()
    log.settle()
    assert caplog.messages == ["A driver: spoilt", "A driver: over; 1 times in 0.0 s, last: spoilt"]


def test_however_many_kinds_there_are_few_are_kept(log: FaultLog, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(150):
        log.occurred(f"kind {number}", "cause")
    assert len([one for one in caplog.messages if "over" in one]) == 50


def test_a_cause_is_one_line_of_bounded_length_without_secrets(
    log: FaultLog, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_PASSWORD", "x #1, y")
    log.occurred("a", "Invalid 'host:1,password=x #1, y' and\nredis://me:hidden@host and password=other,db=1")
    log.occurred("b", "e" * 5_000)
    assert caplog.messages == [
        "a: Invalid 'host:1,password=***' and\\nredis://me:***@host and password=***,db=1",
        f"b: {'e' * 1_000} ...",
    ]


def test_requests_that_fail_leave_a_line_and_those_at_fault_themselves_none(caplog: pytest.LogCaptureFixture) -> None:
    faults.cache_clear()
    log_failure(NoRankableDriverError("not told"))
    log_failure(StoreUnavailableError("the store is gone"))
    log_failure(ZeroDivisionError("division by zero"))
    assert caplog.messages == [
        "Requests are answered 503: the store is gone",
        "Requests fail: ZeroDivisionError: division by zero",
    ]
    faults.cache_clear()
