"""Feature repos and models that a test makes by hand, and the service in process that ranks with them."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import redis
from columnar_support.online_repos import NOON, NOON_US, key_named
from feast import FeatureService, FeatureView, Field, ValueType
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import _mmh3
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Float32, Int64, String

from driver_ranking.feature_store.online import open_reader
from driver_ranking.feature_store.repo import features_for
from driver_ranking.model_features import ModelFeatures
from driver_ranking.model_flavors import Prediction
from driver_ranking.model_prediction import Predictor
from driver_ranking.model_scores import Answers
from driver_ranking.model_version import RegisteredModel
from driver_ranking.serving.champion import Champion
from driver_ranking.serving.contract import contract_of
from driver_ranking.serving.predicting import PacedPredictor
from driver_ranking.serving.request_features import FeatureColumns
from driver_ranking.serving.service import Ranked, RankingService
from driver_ranking.serving.settings import RuntimeSettings
from driver_ranking.serving.threads import DaemonThread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from columnar_support.online_repos import OnlineRepo
    from feast import FeatureStore

    from driver_ranking.features import Defaults
    from driver_ranking.serving.query import RankingQuery


@dataclass
class Loader:
    """Loads a champion of a repo without a registry: what its version would say is given.

    Attributes:
        store: The repo.
        score: The model: scores of its features.
        types: The columns of its signature, with types.
        requested: Which of them come with the request.
        defaults: What stands for missing ones.
        candidate_key: Its tag.
    """

    store: FeatureStore
    score: Callable[[Any], Any]
    types: Mapping[str, str]
    requested: tuple[str, ...] = ()
    defaults: Defaults | None = None
    candidate_key: str | None = None
    version: str = "1"
    readers: list[Any] = field(default_factory=list)

    def load(self) -> Champion:
        names, kinds = tuple(self.types), tuple(self.types.values())
        model = RegisteredModel("m", self.version, None, "s", "service", names, "nowhere", kinds, self.candidate_key)
        stored = tuple(name for name in names if name not in self.requested)
        service = features_for(self.store.get_feature_service("service"), stored)
        features = ModelFeatures(service, stored, self.requested, self.defaults)
        reader = open_reader(self.store, service, stored, timeout=5)
        self.readers.append(reader)
        contract = contract_of(model, features, reader.keys, reader.request)
        predictor = PacedPredictor(Predictor(model, Prediction(self.score, Answers.NUMBERS)), 5)
        columns = FeatureColumns(model, self.requested)
        return Champion(predictor, reader, lambda: NOON_US, DaemonThread("read"), contract, columns, self.defaults)

    def named_version(self) -> str:
        return self.version


def served(loader: Loader, *queries: RankingQuery | Any, top_k: int = 9) -> list[Any]:
    """Return what the service answers to requests that come at the same time: rankings, or errors."""

    async def work() -> list[Any]:
        service = RankingService(loader, RuntimeSettings(online_read_timeout=5))  # type: ignore[arg-type] # all of it
        assert await service.start(), service.problem
        try:
            return await asyncio.gather(*(service.rank(one, top_k) for one in queries), return_exceptions=True)
        finally:
            await service.close()

    return asyncio.run(work())


def texts(*values: Any) -> Any:
    return np.array([*values, ""], dtype=object)[:-1]


KEYS = {"driver_id": (ValueType.INT64, Int64), "rider_id": (ValueType.INT64, Int64)}
KEYS |= dict.fromkeys(("restaurant", "zone"), (ValueType.STRING, String))


def view(repo: OnlineRepo, name: str, keys: tuple[str, ...], features: dict[str, Any]) -> FeatureView:
    source = repo.view({"unused": Float32}, f"{name}_source").batch_source
    schema = [
        *(Field(name=one, dtype=KEYS[one][1]) for one in keys),
        *(Field(name=n, dtype=t) for n, t in features.items()),
    ]
    entities = [key_named(one, KEYS[one][0]) for one in keys]
    return FeatureView(name=name, entities=entities, schema=schema, source=source, ttl=timedelta(days=1))


def applied(repo: OnlineRepo, *views: Any) -> FeatureStore:
    entities = [key_named(name, kind) for name, (kind, _) in KEYS.items() if name != "driver_id"]
    return repo.apply(*entities, *views, FeatureService(name="service", features=list(views)))


def write(store: FeatureStore, name: str, *rows: dict[str, Any]) -> None:
    store.write_to_online_store(name, df=pd.DataFrame([{"event_timestamp": NOON, **row} for row in rows]))


def listed(answer: Any, *outputs: str) -> list[list[Any]]:
    assert isinstance(answer, Ranked), answer
    return [answer.output(name).tolist() for name in outputs]


def spoil(repo: OnlineRepo, name: str, value: bytes) -> None:
    """Put other bytes in the place of what the store has of a restaurant's cuisine."""
    entity = EntityKey(join_keys=["restaurant"], entity_values=[Value(string_val=name)])
    key = serialize_entity_key(entity, entity_key_serialization_version=3)
    if "connection_string" in repo.online_store:
        host, port = str(repo.online_store["connection_string"]).split(":")
        with redis.Redis(host, int(port)) as client:
            client.hset(key + repo.project.encode(), _mmh3("menus:cuisine"), value)
        return
    with closing(sqlite3.connect(repo.online_store["path"])) as connection, connection:
        statement = f"UPDATE \"{repo.project}_menus\" SET value = ? WHERE entity_key = ? AND feature_name = 'cuisine'"
        assert connection.execute(statement, (value, key)).rowcount == 1
