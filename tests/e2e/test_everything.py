"""Whatever a feature repo may hold goes through all pipelines and is read online, or is refused by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from support.everything import NOW, OLD_RATING, UNRATED, add_everything, widened
from support.projects import copy_project, digests, run_pipeline
from support.registries import registry_forgotten

from driver_ranking.errors import FeatureStoreError, RequestError
from driver_ranking.feature_store.online import open_reader
from driver_ranking.feature_store.repo import FeatureRepo, features_for, find_service
from driver_ranking.model import ModelRegistry, RegistryLocation

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*experimental feature", "ignore:Objective did not")]
SERVED = ("acc_rate", "stars", "calls", "on_duty", "effort", "busy", "mood")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of everything, with a model on the service that can be served."""
    project = copy_project(tmp_path_factory.mktemp("everything") / "a project")
    add_everything(project)
    with registry_forgotten():
        train(project, "served_v1")
    return project


def train(project: Path, service: str) -> None:
    thresholds = {"rmse": 9, "mae": 9}
    run_pipeline(
        project, "training", {"training": {"feature_service": service, "thresholds": thresholds, "promote": "always"}}
    )


def batch(project: Path, rows: pd.DataFrame) -> pd.DataFrame:
    request = project / "request.parquet"
    rows.assign(event_timestamp=pd.to_datetime(rows["event_timestamp"])).to_parquet(request, index=False)
    run_pipeline(project, "batch", {"batch_request": str(request)})
    return pd.read_parquet(project / "data/07_model_output/batch_output.parquet")


def asked(*drivers: int) -> pd.DataFrame:
    return pd.DataFrame({"event_timestamp": NOW.isoformat(), "driver_id": drivers})


def test_batch_and_online_give_the_same_scores_with_features_of_every_mode(trained: Path) -> None:
    run_pipeline(trained, "materialize", {"start": "2026-01-01", "end": NOW.isoformat()})
    known = [1001, 1002, *range(1005, 1020)]
    rows = batch(trained, asked(*known, UNRATED, OLD_RATING, 9001)).set_index("driver_id")
    ok = rows.index[rows["status"] == "ok"]
    assert set(rows.index) - set(ok) == {1007, UNRATED, OLD_RATING, 9001}  # 1007 has a null
    # an unknown driver never reaches a transformation
    assert rows[["effort", "busy", "mood"]].loc[[9001]].isna().all(axis=None)
    online, scores = read_online(trained, known)
    expected = rows.loc[known, list(SERVED)].astype(float).to_numpy()
    np.testing.assert_array_equal(online, expected)
    np.testing.assert_allclose(scores, rows.loc[known, "score"].astype(float), rtol=1e-12)


def read_online(project: Path, drivers: list[int]) -> tuple[Any, Any]:
    registry = ModelRegistry(RegistryLocation("driver_ranking", "champion", project / "data/06_models/mlflow"))
    predictor = registry.load(registry.resolve())
    features = reader_of(project, "served_v1", predictor.model.feature_names).read(
        np.array(drivers), int(NOW.timestamp() * 1_000_000)
    )
    complete = ~np.isnan(features.matrix).any(axis=1)
    scores = np.full(len(drivers), np.nan)
    scores[complete] = predictor.predict(features.matrix[complete])
    return features.matrix, scores


def reader_of(project: Path, service: str, wanted: tuple[str, ...]) -> Any:
    store = FeatureRepo(project / "feature_repo").open()
    return open_reader(store, features_for(find_service(store, service), wanted), wanted, timeout=5)


def test_types_are_those_that_the_views_declare(trained: Path) -> None:
    batch(trained, asked(1001, 9001))
    schema = pq.read_schema(trained / "data/05_model_input/batch_input.parquet")
    assert [str(schema.field(name).type) for name in SERVED] == [
        "float",
        "double",
        "int64",
        "bool",
        "float",
        "int64",
        "double",
    ]


def test_a_batch_that_lacks_what_the_service_needs_stops_before_any_work(trained: Path) -> None:
    with pytest.raises(RequestError, match=r"lack the column 'partner_id', the join key of the feature view 'partner'"):
        train(trained, "everything_v1")
    catalog, orders = trained / "conf/base/catalog.yml", "data/01_raw/driver_orders"
    rows = pd.read_csv(trained / f"{orders}.csv", parse_dates=["event_timestamp"])
    widened(rows).to_parquet(trained / f"{orders}.parquet", index=False)  # whose columns have types
    catalog.write_text(catalog.read_text(encoding="utf-8").replace(f"{orders}.csv", f"{orders}.parquet"))
    with registry_forgotten():
        train(trained, "everything_v1")
    before = digests(trained / "data")
    for column, message in {
        "partner_id": r"'partner_id', the join key of the feature view 'partner'",
        "zone_id": r"'zone_id', the join key of the feature view 'zones'",
        "price": r"'price', which the on-demand feature view 'surge' takes from the request",
    }.items():
        with pytest.raises(RequestError, match=message):
            batch(trained, widened(asked(1001)).drop(columns=column))
    assert digests(trained / "data") == before
    rows = batch(trained, widened(asked(1001, 1002, 9001))).set_index("driver_id")
    own, surge = rows["driver_stats__conv_rate"], rows["surge__surge"]
    assert surge.loc[1001] == pytest.approx(own.loc[1001] * 1.5)
    assert rows.loc[[1001, 1002], "partner__conv_rate"].notna().all()


def test_what_can_not_be_served_is_refused_by_name(trained: Path) -> None:
    with pytest.raises(FeatureStoreError, match="'doubled_calls' of the service 'transformed_v1' has a transformation"):
        train(trained, "transformed_v1")
