"""The rule of the ttl."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import pytest

from feast_columnar.freshness import is_fresh, time_to_live

HOUR = 3_600_000_000


@pytest.mark.parametrize(
    ("age", "ttl", "fresh"),
    [
        (0, HOUR, True),
        (HOUR, HOUR, True),  # the edge is included, as in Feast's join
        (HOUR + 1, HOUR, False),
        (-1, HOUR, False),  # not known yet
        (10**6 * HOUR, None, True),
        (10**6 * HOUR, 0, True),
        (-1, None, False),
    ],
)
def test_the_ttl_counts_from_the_request_back(age: int, ttl: int | None, fresh: bool) -> None:  # noqa: FBT001 - a case
    request = np.int64(1_780_000_000_000_000)
    assert is_fresh(np.array([request - age]), request, ttl).tolist() == [fresh]


@pytest.mark.parametrize(
    ("ttl", "micros"), [(timedelta(hours=1), HOUR), (timedelta(microseconds=1), 1), (timedelta(0), None), (None, None)]
)
def test_a_views_ttl_is_in_microseconds(ttl: timedelta | None, micros: int | None) -> None:
    assert time_to_live(SimpleNamespace(ttl=ttl)) == micros
