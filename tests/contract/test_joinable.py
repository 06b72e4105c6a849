"""What a join can't give is refused by name; what Feast can't compare with itself is applied again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from feast import BatchFeatureView, FeatureService, Field, RequestSource
from feast.aggregation import Aggregation
from feast.on_demand_feature_view import OnDemandFeatureView, on_demand_feature_view
from feast.repo_contents import RepoContents
from feast.types import Float64, Int32

from driver_ranking.errors import FeatureStoreError, RequestError
from driver_ranking.feature_store import reapplying
from driver_ranking.feature_store.joinable import DefinedViews, refuse_unjoinable
from feast_columnar.offline.store import AsofError

if TYPE_CHECKING:
    from columnar_support.asof_repos import AsofRepo

pytestmark = pytest.mark.filterwarnings("ignore:.*experimental feature")
COLUMNS = ("driver_id", "event_timestamp")


def doubled(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(trips=rows["trips"] * 2)


def transformed(repo: AsofRepo, text: str = "doubled") -> BatchFeatureView:
    return BatchFeatureView(
        name="transformed",
        mode="pandas",
        entities=[repo.entity()],
        schema=[Field(name="trips", dtype=Int32)],
        source=repo.source(
            repo.write("t.parquet", [(1, repo.noon(at), repo.noon(), 4 + at) for at in (0, 1)]), name="t"
        ),
        udf=doubled,
        udf_string=text,
        online=True,
    )


def check(repo: AsofRepo, *features: Any, columns: tuple[str, ...] = COLUMNS) -> None:
    store = repo.open()
    refuse_unjoinable(FeatureService(name="all", features=list(features)), columns, DefinedViews.of_store(store))


def test_what_a_service_needs_of_entity_rows_is_named(asof_repo: AsofRepo) -> None:
    stats = asof_repo.view(rows=[(1, asof_repo.noon(), None, 1)])

    @on_demand_feature_view(  # type: ignore[untyped-decorator]  # Feast leaves it untyped
        sources=[stats, RequestSource(name="r", schema=[Field(name="price", dtype=Float64)])],
        schema=[Field(name="paid", dtype=Float64)],
    )
    def paid(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"paid": inputs["trips"] * inputs["price"]})

    asof_repo.apply(stats, paid, asof_repo.view("world", [(1, asof_repo.noon(), None, 1)], entities=[]))
    store = asof_repo.open()
    check(asof_repo, stats, store.get_feature_view("world"))
    with pytest.raises(RequestError, match="lack the column 'driver_id', the join key of the feature view 'stats'"):
        check(asof_repo, stats, columns=("event_timestamp",))
    renamed = stats.with_name("partner").with_join_key_map({"driver_id": "partner_id"})
    with pytest.raises(RequestError, match="'partner_id', the join key of the feature view 'partner'; they have 'driv"):
        check(asof_repo, renamed)
    with pytest.raises(RequestError, match="'price', which the on-demand feature view 'paid' takes from the request"):
        check(asof_repo, paid)
    check(asof_repo, paid, columns=(*COLUMNS, "price"))
    defined = RepoContents([], [], [stats], [paid], [], [], [asof_repo.entity()], [], [])
    refuse_unjoinable(FeatureService(name="all", features=[stats]), COLUMNS, DefinedViews.of_repo(defined))
    refuse_unjoinable(FeatureService(name="all", features=[stats]), COLUMNS, DefinedViews({}, {}))  # Feast says so


def test_a_view_that_is_switched_off_is_named(asof_repo: AsofRepo) -> None:
    off = asof_repo.view(rows=[(1, asof_repo.noon(), None, 1)], enabled=False)
    asof_repo.apply(off)
    with pytest.raises(FeatureStoreError, match=r"'stats' of the service 'all' is switched off"):
        check(asof_repo, off)


def test_features_that_are_not_in_a_source_are_named(asof_repo: AsofRepo) -> None:
    stats, view = asof_repo.view(rows=[(1, asof_repo.noon(), None, 1)]), transformed(asof_repo)
    sums = OnDemandFeatureView(
        name="sums",
        sources=[stats],
        schema=[Field(name="sum_trips", dtype=Float64)],
        aggregations=[Aggregation(column="trips", function="sum")],
        mode="python",
    )
    asof_repo.apply(stats, view, sums)
    with pytest.raises(FeatureStoreError, match="'transformed' of the service 'all' has a transformation, which"):
        check(asof_repo, view)
    with pytest.raises(FeatureStoreError, match="on-demand feature view 'sums' of the service 'all' has aggregations"):
        check(asof_repo, sums)
    with pytest.raises(AsofError, match="feature view 'transformed' has a transformation: a join over its"):
        asof_repo.job("SELECT 1 AS driver_id, now() AS event_timestamp", ("transformed:trips",))


def test_a_transformation_gets_all_columns_when_it_is_materialized(asof_repo: AsofRepo) -> None:
    asof_repo.apply(transformed(asof_repo))
    store = asof_repo.open()
    store.materialize(asof_repo.noon(-60), asof_repo.noon(60))
    assert store.get_online_features(["transformed:trips"], [{"driver_id": 1}]).to_dict()["trips"] == [10]


@pytest.mark.parametrize("text", ["doubled", "def doubled(rows):\n    return rows.assign(trips=rows['trips'] * 2)\n"])
def test_a_transformed_view_is_applied_again(asof_repo: AsofRepo, text: str) -> None:
    stats = asof_repo.view(rows=[(1, asof_repo.noon(), None, 1)])
    asof_repo.apply(stats, transformed(asof_repo))
    store, view = asof_repo.open(), transformed(asof_repo, text)
    reapplying.settle_transformations(store.registry, "asof", [stats, view])
    reapplying.settle_transformations(store.registry, "asof", [stats])
    kept = [one.name for one in store.list_batch_feature_views()]
    assert ("transformed" in kept) == (text == "doubled")
    contents = RepoContents([], [], [stats, view], [], [], [], [asof_repo.entity()], [], [])
    store.plan(contents)


def test_a_service_with_a_view_under_its_own_name_and_another_is_compared(asof_repo: AsofRepo) -> None:
    reapplying.order_projections()
    stats = asof_repo.view(rows=[(1, asof_repo.noon(), None, 1)])
    service = FeatureService(name="twice", features=[stats.with_name("twin"), stats])
    asof_repo.apply(stats, service)
    assert asof_repo.open().get_feature_service("twice") == service
