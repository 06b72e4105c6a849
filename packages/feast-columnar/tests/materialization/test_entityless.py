"""Views without entities are materialized with either engine and read online."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from feast import FeatureStore, RepoConfig

from feast_columnar.errors import UnservableFeatureError
from feast_columnar.materialization.ranges import materialize_range, online_views
from feast_columnar.online.reader import open_reader

if TYPE_CHECKING:
    from columnar_support.asof_repos import AsofRepo

ENGINES = ["local", "feast_columnar.StreamingComputeEngine"]


def opened(repo: AsofRepo, engine: str, **offline: Any) -> FeatureStore:
    config = RepoConfig(
        project="asof",
        provider="local",
        registry=str(repo.folder / "registry.db"),
        online_store={"type": "sqlite", "path": str(repo.folder / "online.db")},
        offline_store=offline or {"type": repo.open().config.offline_store.type},
        batch_engine={"type": engine},
        entity_key_serialization_version=3,
    )
    config.repo_path = repo.folder
    return FeatureStore(config=config)


@pytest.mark.parametrize("batch_size", [None, 1])
@pytest.mark.parametrize("engine", ENGINES)
def test_the_latest_row_is_what_every_driver_gets_online(
    asof_repo: AsofRepo, engine: str, batch_size: int | None
) -> None:
    noon = asof_repo.noon
    rows = [(1, noon(2), noon(5), 8), (1, noon(2), noon(9), 7), (2, noon(1), noon(1), 6), (2, noon(9), noon(1), 9)]
    asof_repo.apply(asof_repo.view("world", rows, entities=[]))
    store = opened(asof_repo, engine)
    store.config.materialization_config.online_write_batch_size = batch_size
    store.materialize(noon(-60), noon(3))
    answer = store.get_online_features(["world:trips"], [{"driver_id": 1}, {"driver_id": 5}]).to_dict()
    assert answer == {"driver_id": [1, 5], "trips": [7, 7]}


def test_a_range_is_brought_by_the_stand_in_for_the_key(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon
    asof_repo.apply(asof_repo.view("world", [(1, noon(0), noon(0), 8), (1, noon(1), noon(0), 7)], entities=[]))
    store = opened(asof_repo, ENGINES[1])
    [view] = online_views(store)
    assert view.join_keys == ["__dummy_id"]
    materialize_range(store, noon(-60), noon(3), noon(9))
    assert store.get_online_features(["world:trips"], [{"driver_id": 1}]).to_dict()["trips"] == [7]


def test_a_store_that_has_no_stand_in_for_the_key_gets_it_from_the_engine(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon
    asof_repo.apply(asof_repo.view("world", [(1, noon(0), noon(0), 8), (1, noon(1), noon(0), 7)], entities=[]))
    store = opened(asof_repo, ENGINES[1], type="duckdb")
    store.materialize(noon(-60), noon(3))
    assert store.get_online_features(["world:trips"], [{"driver_id": 1}]).to_dict()["trips"] == [7]


def test_the_service_refuses_a_model_of_such_a_view_by_name(asof_repo: AsofRepo) -> None:
    from feast import FeatureService

    view = asof_repo.view("world", [(1, asof_repo.noon(), None, 8)], entities=[])
    asof_repo.apply(view, FeatureService(name="all", features=[view]))
    store = asof_repo.open()
    with pytest.raises(UnservableFeatureError, match="feature view 'world' has the join keys"):
        open_reader(store, "all", columns=["trips"], key="driver_id", timeout=1)


def test_logs_come_without_a_stand_in_for_a_key(asof_repo: AsofRepo) -> None:
    from feast_columnar.offline.store import AsofOfflineStore

    path = asof_repo.write("log.parquet", [(1, asof_repo.noon(), None, 8)])
    table = asof_repo.write("log.parquet", _renamed(path))
    rows = AsofOfflineStore.pull_all_from_table_or_query(
        asof_repo.open().config, asof_repo.source(table), [], ["trips"], "__log_timestamp"
    ).to_arrow()
    assert rows.column_names == ["trips", "__log_timestamp"]


def _renamed(path: Any) -> Any:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    return table.rename_columns([{"event_timestamp": "__log_timestamp"}.get(name, name) for name in table.column_names])
