"""A model with the features it takes, loaded and checked as one: what is swapped when the alias moves."""

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from driver_ranking.feature_store.repo import FeatureRepo, find_service
from driver_ranking.model import ModelRegistry, RegisteredModel, RegistryLocation
from driver_ranking.model_features import features_of
from driver_ranking.model_trial import try_on_example
from driver_ranking.ranking import ScoredRows
from driver_ranking.serving.predicting import PacedPredictor
from driver_ranking.serving.request_features import require_no_request_features
from driver_ranking.serving.threads import DaemonThread
from feast_columnar.freshness import microseconds_now

if TYPE_CHECKING:
    from collections.abc import Callable

    from feast_columnar.online.reader import OnlineReader


KEY = "driver_id"


@dataclass(frozen=True)
class ScoredDrivers:
    """Drivers with their scores.

    Attributes:
        rows: The scores, in the drivers' order; not checked for being finite numbers.
        oldest: int64 ``[n]``, see ``OnlineFeatures``.
        model: The model that scored them.
        now: When they were read, in microseconds since the epoch, UTC.
        read_seconds: How long the online read took.
        predict_seconds: How long the model took.
        unreadable: bool ``[n]``, see ``OnlineFeatures``.
    """

    rows: ScoredRows
    oldest: NDArray[np.int64]
    model: RegisteredModel
    now: int
    read_seconds: float
    predict_seconds: float
    unreadable: NDArray[np.bool_] | None = None

    def of(self, indices: NDArray[np.intp]) -> "ScoredDrivers":
        """Return some of the drivers."""
        rows = ScoredRows(self.rows.score[indices], self.rows.scored[indices])
        unreadable = None if self.unreadable is None else self.unreadable[indices]
        return replace(self, rows=rows, oldest=self.oldest[indices], unreadable=unreadable)

    @property
    def age_seconds(self) -> float | None:
        """Return the age of the oldest feature row that was used; None where none was."""
        used = self.oldest[self.rows.scored]
        return (self.now - int(used.min())) / 1e6 if used.size else None


@dataclass(frozen=True)
class Champion:
    """A loaded model and the reader of its features. Scores one batch at a time.

    Attributes:
        predictor: The model.
        reader: The reader.
        clock: Gives the time, in microseconds since the epoch, UTC.
        reads: The thread that reads; its own, so that no other model's features wait for it.
    """

    predictor: PacedPredictor
    reader: "OnlineReader"
    clock: "Callable[[], int]"
    reads: DaemonThread

    @property
    def model(self) -> RegisteredModel:
        """Return which model it is."""
        return self.predictor.model

    async def score(self, driver_id: NDArray[np.int64], was_read: "Callable[[], None]") -> ScoredDrivers:
        """Read the features of int64 ``[n]`` drivers, as of now, and score those that have them all.

        Args:
            driver_id: The drivers.
            was_read: Called once the store has answered: what follows has a time limit of its own.

        Raises:
            StoreUnavailableError: The online store can't be read.
            ModelTimeoutError: The model has not answered in time.
            ModelError: The model fails.
        """
        now, start = self.clock(), time.perf_counter()
        features = await self.reader.read_async(driver_id, now, self.reads)
        was_read()
        read = time.perf_counter()
        rows = await self.predictor.predicted_rows(features.matrix)
        predicted = time.perf_counter() - read
        return ScoredDrivers(rows, features.oldest, self.model, now, read - start, predicted, features.unreadable)

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
    """

    location: RegistryLocation
    version: str | None
    repo: FeatureRepo
    timeout: float
    predict_timeout: float = 2.0
    clock: "Callable[[], int]" = microseconds_now

    def load(self) -> Champion:
        """Load the version that is named now, and try it on its input example.

        Raises:
            ModelError: There is no such model, it can't be loaded, or it fails.
            FeatureStoreError: The repo lacks the model's service or a feature of it, or it can't be read online.
        """
        registry = ModelRegistry(self.location, self.version)
        model = registry.resolve()
        store = self.repo.open()
        # needs Feast, which `open` imports in its own, faster way
        from driver_ranking.feature_store.online import open_reader

        features = features_of(model, find_service(store, model.feature_service))
        require_no_request_features(store, features, model)
        reader = open_reader(store, features, model.feature_names, key=KEY, timeout=self.timeout)
        predictor = registry.load(model)
        try_on_example(predictor)
        paced = PacedPredictor(predictor, self.predict_timeout)
        return Champion(paced, reader, self.clock, DaemonThread("online-read"))

    def named_version(self) -> str:
        """Return the version that is named now, without loading it.

        Raises:
            ModelError: The registry can't be read, or names none.
        """
        return ModelRegistry(self.location, self.version).named_version()
