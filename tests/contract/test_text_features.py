"""What the library reads and no model takes is refused where a model's reader is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from columnar_support.online_repos import OnlineRepo, key_named
from feast import FeatureService, ValueType
from feast.types import Float32, String

from driver_ranking.errors import UnservableFeatureError
from driver_ranking.feature_store.online import open_reader
from driver_ranking.feature_store.repo import ServiceFeatures
from feast_columnar.feature_service import service_columns

if TYPE_CHECKING:
    from pathlib import Path


def test_texts_as_features_or_keys_are_refused_by_name(tmp_path: Path) -> None:
    repo = OnlineRepo(tmp_path, "texts", {"type": "sqlite", "path": str(tmp_path / "online.db")})
    zone = key_named("zone", ValueType.STRING)
    views = [repo.view({"rate": Float32, "city": String}), repo.view({"area": Float32}, "zones", entity=zone)]
    services = [FeatureService(name="text", features=[views[0]]), FeatureService(name="zone", features=[views[1]])]
    store = repo.apply(zone, *views, *services)
    text, keyed = (
        ServiceFeatures(service, full_names=False, columns=service_columns(service, full_feature_names=False))
        for service in services
    )
    with pytest.raises(UnservableFeatureError, match=r"^The feature 'city' of 'stats' is not a number, but String\.$"):
        open_reader(store, text, ("rate", "city"), key="driver_id", timeout=1.0)
    with pytest.raises(UnservableFeatureError, match=r"'zones' has the join keys zone \(String\); .*, 'driver_id'\.$"):
        open_reader(store, keyed, ("area",), key="driver_id", timeout=1.0)
    reader = open_reader(store, text, ("rate",), key="driver_id", timeout=1.0)
    assert (reader.columns, reader.others, list(reader.keys), dict(reader.request)) == (
        ("rate",),
        (),
        ["driver_id"],
        {},
    )
