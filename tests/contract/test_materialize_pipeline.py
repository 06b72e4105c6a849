"""What the pipeline ``materialize`` asks of an online store, and does for one that has lost its features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import redis
from columnar_support.online_repos import OnlineRepo
from columnar_support.zones import zone
from processes import free_port
from support.redis_projects import PASSWORD, RedisProject

from driver_ranking.errors import FeatureStoreError
from driver_ranking.pipelines.materialize.nodes import materialize

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["Asia/Tokyo", "Europe/London", "UTC-9"])
def test_feasts_own_sqlite_store_is_not_filled_where_the_zone_is_not_utc(tmp_path: Path, name: str) -> None:
    stock = OnlineRepo(tmp_path, "zones", {"type": "sqlite", "path": str(tmp_path / "online.db")})
    with zone(name), pytest.raises(FeatureStoreError, match="TZ=UTC"):
        materialize(stock.open(), None, None)


def test_an_incremental_run_fills_a_redis_that_was_emptied(
    project: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = RedisProject(project, free_port(), tmp_path / "redis")
    with store.redis(), redis.Redis(port=store.port, password=PASSWORD) as client:
        store.materialize()
        keys = client.dbsize()
        assert keys
        client.flushall()
        store.materialize()
        assert client.dbsize() == keys
        assert "has no features of driver_stats" in caplog.text
        caplog.clear()
        store.materialize()
        assert "has no features" not in caplog.text
