"""What a model's reader reads: numbers in the order of the signature, texts beside them, by whatever keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from columnar_support.online_repos import OnlineRepo, key_named
from feast import FeatureService, ValueType
from feast.types import Array, Float32, Float64, Int64, String

from driver_ranking.errors import RequestError, UnservableFeatureError
from driver_ranking.feature_store.online import open_reader
from driver_ranking.feature_store.repo import ServiceFeatures
from feast_columnar.feature_service import service_columns

if TYPE_CHECKING:
    from pathlib import Path


def test_texts_are_features_and_keys_and_lists_are_refused_by_name(tmp_path: Path) -> None:
    repo = OnlineRepo(tmp_path, "texts", {"type": "sqlite", "path": str(tmp_path / "online.db")})
    zone = key_named("zone", ValueType.STRING)
    stats = repo.view({"rate": Float32, "city": String, "tags": Array(Float32)})
    views = [stats, repo.view({"area": Float64}, "zones", entity=zone)]
    service = FeatureService(name="all", features=[*views])
    store = repo.apply(zone, *views, service)
    columns = service_columns(service, full_feature_names=False)
    features = ServiceFeatures(service, full_names=False, columns=columns)
    reader = open_reader(store, features, ("area", "city", "rate"), timeout=1.0)
    assert (reader.columns, reader.others) == (("area", "rate"), ("city",))
    assert (reader.keys, reader.request) == ({"driver_id": Int64, "zone": String}, {})
    with pytest.raises(RequestError, match=r"^The key 'zone' is missing: what is read has the keys 'driver_id' \(Int"):
        reader.read({"driver_id": [1]})
    reader.close()
    with pytest.raises(UnservableFeatureError, match=r"^The feature 'tags' of 'stats' is not a number, text, bytes or"):
        open_reader(store, features, ("rate", "tags"), timeout=1.0)
