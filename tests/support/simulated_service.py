"""A service in a time of its own: a simulated online store, materializations in a real ledger, answers in a real log.

What it does is written plainly, row by row, and shares nothing with what compares: it is the oracle of the tests.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from driver_ranking.feature_store.repo import FeatureRepo, find_service
from driver_ranking.model import ModelRegistry, RegistryLocation
from driver_ranking.model_features import features_of
from driver_ranking.ranking import predicted_rows, rank
from driver_ranking.serving.contract import contract_of
from driver_ranking.serving.prediction_log.entries import ScoredBatch
from driver_ranking.serving.prediction_log.log import PredictionLog
from driver_ranking.serving.query import RankingQuery
from driver_ranking.serving.settings import PredictionLogSettings
from feast_columnar.ledger.entries import Actor, Brought, Entry, Kind, OnlineStore, Outcome
from feast_columnar.ledger.settings import open_ledger
from feast_columnar.online.features import RowTimes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from driver_ranking.model import Predictor
    from feast_columnar.ledger.books import Ledger

FEATURES = ("conv_rate", "acc_rate", "avg_daily_trips")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros(time: datetime) -> int:
    return (time - EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True)
class Row:
    """A row of the online store."""

    time: int
    features: tuple[float, ...]


@dataclass
class Service:
    """The service, its store and its ledger.

    Attributes:
        project: A trained project.
        source: The rows of the source, all that there will ever be.
        online: The rows of the online store by driver.
        ttl: In microseconds.
        overwrites: Whether the store lets an older row take the place of a newer one.
    """

    project: Path
    source: pd.DataFrame
    ttl: int
    ledger: Ledger
    log: PredictionLog
    registry: ModelRegistry
    overwrites: bool = True
    online: dict[int, Row] = field(default_factory=dict)
    brought_up_to: datetime | None = None
    empty: bool = True
    version: str = "1"
    asked: int = 0
    _logged: dict[str, Any] = field(default_factory=dict)

    def logged(self) -> tuple[Any, Predictor]:
        if self.version not in self._logged:
            model = self.registry.resolve(self.version)
            store = FeatureRepo(self.project / "feature_repo").open()
            features = features_of(model, find_service(store, model.feature_service))
            from driver_ranking.feature_store.online import open_reader

            reader = open_reader(store, features.service, features.stored, timeout=1.0)
            contract = contract_of(model, features, reader.keys, reader.request)
            logged = self.log.model(store, model, features, contract, (reader.keys, reader.request))
            self._logged[self.version] = logged, self.registry.load(model)
        found: tuple[Any, Predictor] = self._logged[self.version]
        return found

    def known(self, by: datetime) -> pd.DataFrame:
        return self.source[self.source["created"] <= by]

    def bring(
        self,
        end: datetime,
        start: datetime | None = None,
        *,
        seconds: float = 20.0,
        outcome: Outcome = Outcome.FINISHED,
        share: float = 1.0,
    ) -> Entry:
        """Materialize a range, incrementally without a start; of one that fails, a share of the rows is written."""
        start = start or self.brought_up_to or EPOCH
        known = self.known(end)
        rows = known[(known["datetime"] >= start) & (known["datetime"] <= end)]
        latest = rows.sort_values(["datetime", "created"], kind="stable").groupby("driver_id").tail(1)
        written = latest.head(int(len(latest) * share))
        for one in written.to_dict("records"):
            driver, time = int(one["driver_id"]), micros(one["datetime"].to_pydatetime())
            before = self.online.get(driver)
            if self.overwrites or before is None or before.time < time:
                self.online[driver] = Row(time, tuple(float(one[name]) for name in FEATURES))
        entry = Entry(
            id=uuid.uuid4().hex,
            kind=Kind.MATERIALIZATION,
            outcome=outcome,
            project=self.ledger.project,
            view="driver_stats",
            join_keys=("driver_id",),
            definition="",
            start=start,
            end=end,
            began=end,
            ended=None if outcome is Outcome.BEGUN else end + timedelta(seconds=seconds),
            store=OnlineStore(self.ledger.store.type, self.ledger.store.address, self.overwrites),
            store_was_empty=self.empty,
            actor=Actor("test", "test", "test", 1),
            brought=Brought(len(written)),
        )
        self.ledger.put(entry, durable=False)
        if outcome is Outcome.FINISHED:
            self.brought_up_to = end
        self.empty = False
        return entry

    def lose(self) -> None:
        """Lose all rows of the online store."""
        self.online.clear()
        self.empty, self.brought_up_to = True, None

    def answer(self, ids: Sequence[int], now: datetime, *, top_k: int = 1, store: dict[int, Row] | None = None) -> None:
        """Answer a request, as of the store or another one."""
        online = self.online if store is None else store
        logged, predictor = self.logged()
        moment = micros(now)
        drivers = np.array(ids, dtype=np.int64)
        rows = [online.get(int(one)) for one in drivers]
        times = np.array([0 if row is None else row.time for row in rows], dtype=np.int64)
        usable = (times != 0) & (times <= moment) & (moment - times <= self.ttl)
        values = [
            (np.nan,) * 3 if row is None or not ok else row.features for row, ok in zip(rows, usable, strict=True)
        ]
        matrix = np.array(values, dtype=np.float64)
        scored = predicted_rows(matrix, predictor.predict)
        ranking = rank(drivers, scored, top_k=len(drivers))
        batch = ScoredBatch(
            logged,
            RankingQuery(drivers),
            moment,
            0.0005,
            matrix,
            scored,
            (RowTimes(FEATURES, times, usable),),
            None,
        )
        given = min(top_k, len(ranking.place))
        self.log.add(batch, None, ranking.place, given, f"request-{self.asked}", None)
        self.asked += 1


def simulated(project: Path, *, since: str, until: str, ttl: timedelta | None = None, **options: Any) -> Service:
    """Return a service that has answered nothing yet, of a trained project whose source and ttl are changed.

    Args:
        project: The project; it gets a log and a ledger.
        since: The first event time of the source.
        until: The last one.
        ttl: The ttl of the view, if it is to be another one.
        **options: Of the service.
    """
    path = project / "data/01_raw/driver_stats.parquet"
    source = pd.read_parquet(path)
    source = source[(source["datetime"] >= since) & (source["datetime"] <= until)].reset_index(drop=True)
    source.to_parquet(path, index=False)
    if ttl is not None:
        views = project / "feature_repo/feature_views.py"
        text = views.read_text(encoding="utf-8")
        views.write_text(
            text.replace("timedelta(days=36500)", f"timedelta(seconds={ttl.total_seconds()})", 1), encoding="utf-8"
        )
    repo = FeatureRepo(project / "feature_repo")
    store = repo.apply(repo.definitions())
    settings = PredictionLogSettings(enabled=True, path=project / "data/09_prediction_log", retention_days=0)
    registry = ModelRegistry(RegistryLocation("driver_ranking", "champion", project / "data/06_models/mlflow"))
    life = (ttl or timedelta(days=36500)) // timedelta(microseconds=1)
    return Service(project, source, life, open_ledger(store), PredictionLog(settings), registry, **options)
