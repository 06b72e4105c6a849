"""Features by any keys, of any scalar type, with what only a request knows: Feast's own read is the oracle."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from columnar_support.any_keys import DrawnRepo, by_column, drawn_repos, expected, made
from columnar_support.online_repos import NOON_US, PROJECTS, OnlineRepo
from feast.types import Int64
from hypothesis import HealthCheck, given, settings

from feast_columnar.online.reader import open_reader
from feast_columnar.online.redis import RedisSource
from feast_columnar.online.sqlite import SqliteSource
from feast_columnar.online.stock import StockSource
from feast_columnar.online.view_reader import ViewReader

if TYPE_CHECKING:
    import pytest

    from feast_columnar.online.features import OnlineFeatures
    from feast_columnar.online.reader import OnlineReader

SOURCES = {"ours": SqliteSource, "sqlite": SqliteSource, "redis": RedisSource, "other": StockSource}


async def read_twice(reader: OnlineReader, keys: Any, **named: Any) -> list[OnlineFeatures]:
    with ThreadPoolExecutor(1) as thread:
        return [await reader.read_async(keys, NOON_US, thread, **named) for _ in range(2)]


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn_repos())
def test_random_repos_are_read_as_feast_reads_them(
    repo: OnlineRepo, request: pytest.FixtureRequest, drawn: DrawnRepo
) -> None:
    repo = replace(repo, project=f"{repo.project}_{next(PROJECTS)}")
    store = made(repo, drawn)
    features = {name: kind for view in drawn.views for name, kind in view.features.items()}
    reader = open_reader(store, "service", columns=list(features), as_bool=drawn.as_bool)
    assert isinstance(reader, ViewReader)
    assert type(reader.source) is SOURCES[request.node.callspec.id]
    assert set(reader.keys) == set(drawn.asked)
    assert reader.request == {}
    assert set(reader.columns) | set(reader.others) == set(features)
    oracle = expected(store, drawn)
    count = max([1, *map(len, drawn.asked.values())])  # where each key has one value there is one row
    oracle = {name: pairs[:count] for name, pairs in oracle.items()}
    found = [reader.read(drawn.asked, NOON_US), *asyncio.run(read_twice(reader, drawn.asked))]
    for one in found:
        assert by_column(reader.columns, one) == oracle
        assert one.unreadable is None
    if list(reader.keys.values()) == [Int64]:
        alone = reader.read(np.array(next(iter(drawn.asked.values()))), NOON_US)
        assert by_column(reader.columns, alone) == oracle
    assert reader.lacking() == ()
    reader.close()
