"""A model with the features it takes, loaded and checked as one: what is swapped when the alias moves."""

import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from driver_ranking.feature_store.online import open_reader
from driver_ranking.feature_store.repo import FeatureRepo, find_service
from driver_ranking.features import Defaults, FeatureRows, Features
from driver_ranking.model import ModelRegistry, RegisteredModel, RegistryLocation
from driver_ranking.model_defaults import has_default
from driver_ranking.model_features import features_of
from driver_ranking.model_trial import try_on_example
from driver_ranking.ranking import ScoredRows
from driver_ranking.serving.contract import RankingContract, contract_of
from driver_ranking.serving.predicting import PacedPredictor
from driver_ranking.serving.prediction_log.entries import LoggedModel, ScoredBatch
from driver_ranking.serving.prediction_log.log import PredictionLog
from driver_ranking.serving.query import RankingQuery
from driver_ranking.serving.request_features import FeatureColumns, for_views
from driver_ranking.serving.threads import DaemonThread
from feast_columnar.freshness import microseconds_now
from feast_columnar.online.features import UNREAD

if TYPE_CHECKING:
    from collections.abc import Callable

    from feast_columnar.online.reader import OnlineReader
    from feast_columnar.online.requested import Keys


@dataclass(frozen=True)
class ScoredCandidates:
    """Candidates with their scores.

    Attributes:
        rows: The scores, in the candidates' order; not checked for being finite numbers.
        oldest: int64 ``[n]``, see ``OnlineFeatures``.
        champion: What scored them.
        now: When they were read, in microseconds since the epoch, UTC.
        read_seconds: How long the online read took.
        predict_seconds: How long the model took.
        unreadable: bool ``[n]``, see ``OnlineFeatures``.
        features: The features of all that were read together, before defaults stand for missing ones.
        places: intp ``[n]``, which of these rows are the candidates'; None where they are all.
        batch: All that was scored together, where it is logged.
    """

    rows: ScoredRows
    oldest: NDArray[np.int64]
    champion: "Champion"
    now: int
    read_seconds: float
    predict_seconds: float
    unreadable: NDArray[np.bool_] | None = None
    features: Features | None = None
    places: NDArray[np.intp] | None = None
    batch: ScoredBatch | None = None

    @property
    def model(self) -> RegisteredModel:
        """Return the model that scored them."""
        return self.champion.model

    def of(self, indices: NDArray[np.intp]) -> "ScoredCandidates":
        """Return some of the candidates."""
        return ScoredCandidates(  # `replace` takes several times as long, for each of the requests of a batch
            self.rows[indices],
            self.oldest[indices],
            self.champion,
            self.now,
            self.read_seconds,
            self.predict_seconds,
            None if self.unreadable is None else self.unreadable[indices],
            self.features,
            indices if self.places is None else self.places[indices],
            self.batch,
        )

    @property
    def age_seconds(self) -> float | None:
        """Return the age of the oldest feature row that was used; None where none was."""
        used = self.oldest[self.rows.scored]
        oldest = int(used.min()) if used.size else UNREAD
        return None if oldest == UNREAD else (self.now - oldest) / 1e6

    def feature_age(self, indices: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the ages of the oldest feature rows of some candidates, in seconds; NaN where none was used."""
        oldest = self.oldest[indices]
        return np.where(oldest == UNREAD, np.nan, (self.now - oldest) / 1e6)

    def feature(self, name: str, indices: NDArray[np.intp]) -> NDArray[Any]:
        """Return a feature of some candidates that are scored, as the model saw it, in the type of its signature."""
        assert self.features is not None  # noqa: S101 - those of a champion are there
        seen = self.features[indices if self.places is None else self.places[indices]]
        if self.champion.defaults is not None:
            seen, _ = self.champion.defaults.fill(seen)
        if isinstance(seen, FeatureRows) and name in seen.texts:
            return seen.texts[name]
        numbers = seen.numbers if isinstance(seen, FeatureRows) else seen
        return numbers[:, self.model.number_columns.index(name)]


def _kept(features: Features) -> Features:
    """Return features that stay as they are, whatever a model does with the numbers that it is given."""
    if isinstance(features, FeatureRows):
        return FeatureRows(features.numbers.copy(), features.texts)
    return features.copy()


@dataclass(frozen=True)
class Champion:
    """A loaded model and the reader of its features. Scores one batch at a time.

    Attributes:
        predictor: The model.
        reader: The reader.
        clock: Gives the time, in microseconds since the epoch, UTC.
        reads: The thread that reads; its own, so that no other model's features wait for it.
        contract: What requests for it have to have.
        columns: Where its features come from.
        defaults: What stands for missing ones.
        logged: What is logged of it; None if nothing is.
    """

    predictor: PacedPredictor
    reader: "OnlineReader"
    clock: "Callable[[], int]"
    reads: DaemonThread
    contract: RankingContract
    columns: FeatureColumns
    defaults: Defaults | None = None
    logged: LoggedModel | None = None

    @property
    def model(self) -> RegisteredModel:
        """Return which model it is."""
        return self.predictor.model

    @cached_property
    def _for_views(self) -> dict[str, str]:
        """Return what views compute from that comes with the request, with the datatypes."""
        return {one.name: one.datatype for one in self.contract.request if one.name in self.reader.request}

    def has_default(self, name: str) -> bool:
        """Return whether something stands for a feature of this name where it is missing."""
        return self.defaults is not None and has_default(self.model, self.defaults, name)

    async def score(self, query: RankingQuery, was_read: "Callable[[], None]") -> ScoredCandidates:
        """Read the features of candidates, as of now, and score those that have them all.

        Args:
            query: The candidates, with what else requests have to have.
            was_read: Called once the store has answered: what follows has a time limit of its own.

        Raises:
            RequestError: What comes with the request can't be given to the model exactly.
            StoreUnavailableError: The online store can't be read.
            ModelTimeoutError: The model has not answered in time.
            ModelError: The model fails.
        """
        given = self.columns.given(self._inputs(query)) if self.columns.requested else {}
        request = for_views(query.request, self._for_views) if self._for_views else None
        now, start = self.clock(), time.perf_counter()
        found = await self.reader.read_async(self._keys(query), now, self.reads, request=request)
        was_read()
        read = time.perf_counter()
        features = self.columns.put_together(found, given)
        seen = _kept(features)
        rows = await self.predictor.predicted_rows(features, self.defaults, found.unreadable)
        spent = read - start, time.perf_counter() - read
        batch = None
        if self.logged is not None:
            kept = ScoredRows(rows.score.copy(), rows.scored, rows.defaulted)  # the model may have the score's array
            batch = ScoredBatch(self.logged, query, now, spent[0], seen, kept, found.rows, found.unreadable)
        return ScoredCandidates(rows, found.oldest, self, now, *spent, found.unreadable, seen, batch=batch)

    def _keys(self, query: RankingQuery) -> "Keys":
        """Return the keys by which features are read."""
        if not query.keys and query.candidate.dtype == np.int64:
            return query.candidate
        return {self.contract.candidate.name: query.candidate, **query.keys}

    def _inputs(self, query: RankingQuery) -> dict[str, NDArray[Any]]:
        """Return all that a query has, by name."""
        return {self.contract.candidate.name: query.candidate, **query.keys, **query.request}

    def close(self) -> None:
        """Let go of what it reads with, once what is on its way has ended. The threads end when it has gone."""
        self.reader.close()


@dataclass(frozen=True)
class ChampionLoader:
    """Resolves a model, loads it, and opens what it reads its features from.

    Attributes:
        location: The registry and the alias.
        version: A version to use instead of the alias.
        repo: The feature repo.
        timeout: How long the online store may take to answer, in seconds.
        predict_timeout: How long a prediction may take, in seconds.
        clock: Gives the time, in microseconds since the epoch, UTC.
        log: Where answers are logged; None where they are not.
    """

    location: RegistryLocation
    version: str | None
    repo: FeatureRepo
    timeout: float
    predict_timeout: float = 2.0
    clock: "Callable[[], int]" = microseconds_now
    log: PredictionLog | None = None

    def load(self) -> Champion:
        """Load the version that is named now, and try it on its input example.

        Raises:
            ModelError: There is no such model, it can't be loaded, or it fails.
            FeatureStoreError: The repo lacks the model's service or a feature of it, it can't be read online, or what
                requests would have to have can't be told.
        """
        registry = ModelRegistry(self.location, self.version)
        model = registry.resolve()
        store = self.repo.open()
        features = features_of(model, find_service(store, model.feature_service))
        reader = open_reader(store, features.service, features.stored, timeout=self.timeout)
        contract = contract_of(model, features, reader.keys, reader.request)
        predictor = registry.load(model)
        try_on_example(predictor)
        asked = reader.keys, reader.request
        return Champion(
            PacedPredictor(predictor, self.predict_timeout),
            reader,
            self.clock,
            DaemonThread("online-read"),
            contract,
            FeatureColumns(model, features.requested),
            features.defaults,
            self.log.model(store, model, features, contract, asked) if self.log else None,
        )

    def named_version(self) -> str:
        """Return the version that is named now, without loading it.

        Raises:
            ModelError: The registry can't be read, or names none.
        """
        return ModelRegistry(self.location, self.version).named_version()
