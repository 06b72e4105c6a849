"""A model with the features it takes, loaded and checked as one: what is swapped when the alias moves."""

import asyncio
import contextlib
import time
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from driver_ranking.errors import ModelError
from driver_ranking.feature_store.online import OnlineReader, open_reader
from driver_ranking.feature_store.repo import FeatureRepo, features_for, find_service
from driver_ranking.model import ModelRegistry, Predictor, RegisteredModel, RegistryLocation
from driver_ranking.ranking import ScoredRows, predicted_rows

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "driver_id"

_QUICK = 0.002  # seconds that a prediction may hold up the event loop: less than decoding a large request takes


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
    """A loaded model and the reader of its features. Scores one batch at a time."""

    predictor: "PacedPredictor"
    reader: OnlineReader
    clock: "Callable[[], int]"

    @property
    def model(self) -> RegisteredModel:
        """Return which model it is."""
        return self.predictor.model

    async def score(self, driver_id: NDArray[np.int64], thread: Executor) -> ScoredDrivers:
        """Read the features of int64 ``[n]`` drivers, as of now, and score those that have them all.

        Args:
            driver_id: The drivers.
            thread: Does what would hold up the event loop.

        Raises:
            StoreUnavailableError: The online store can't be read.
            ModelError: The model fails.
        """
        now, start = self.clock(), time.perf_counter()
        features = await self.reader.read_async(driver_id, now, thread)
        read = time.perf_counter()
        rows = await self.predictor.predicted_rows(features.matrix, thread)
        predicted = time.perf_counter() - read
        return ScoredDrivers(rows, features.oldest, self.model, now, read - start, predicted, features.unreadable)


class PacedPredictor:
    """Predicts in the event loop as long as the model is quick, else in a thread.

    Handing a batch to a thread and back takes several times what a linear model takes to score it.
    """

    def __init__(self, predictor: Predictor) -> None:
        """Take a model that nothing is known about.

        Args:
            predictor: The model.
        """
        self.model = predictor.model
        self.predict = predictor.predict
        self._is_quick = False

    async def predicted_rows(self, features: NDArray[np.float64], thread: Executor) -> ScoredRows:
        """Score like ``ranking.predicted_rows``."""
        if self._is_quick:
            return self._timed(features)
        return await asyncio.get_running_loop().run_in_executor(thread, self._timed, features)

    def _timed(self, features: NDArray[np.float64]) -> ScoredRows:
        start = time.perf_counter()
        try:
            return predicted_rows(features, self.predict)
        finally:
            self._is_quick = time.perf_counter() - start <= _QUICK


def microseconds_now() -> int:
    """Return the time, in microseconds since the epoch, UTC."""
    return time.time_ns() // 1000


@dataclass(frozen=True)
class ChampionLoader:
    """Resolves a model, loads it, and opens what it reads its features from.

    Attributes:
        location: The registry and the alias.
        version: A version to use instead of the alias.
        repo: The feature repo.
        timeout: How long the online store may take to answer, in seconds.
        clock: Gives the time, in microseconds since the epoch, UTC.
    """

    location: RegistryLocation
    version: str | None
    repo: FeatureRepo
    timeout: float
    clock: "Callable[[], int]" = microseconds_now

    def load(self) -> Champion:
        """Load the version that is named now.

        Raises:
            ModelError: There is no such model, or it can't be loaded.
            FeatureStoreError: The repo lacks the model's service or a feature of it, or it can't be read online.
        """
        registry = ModelRegistry(self.location, self.version)
        model = registry.resolve()
        store = self.repo.open()
        features = features_for(find_service(store, model.feature_service), model.feature_names)
        reader = open_reader(store, features, model.feature_names, key=KEY, timeout=self.timeout)
        predictor = registry.load(model)
        _warm_up(predictor)
        return Champion(PacedPredictor(predictor), reader, self.clock)

    def named_version(self) -> str:
        """Return the version that is named now, without loading it.

        Raises:
            ModelError: The registry can't be read, or names none.
        """
        return ModelRegistry(self.location, self.version).named_version()


def _warm_up(predictor: Predictor) -> None:
    """Let the model do once what is done only the first time; what it makes of these values is no matter."""
    with contextlib.suppress(ModelError):
        predictor.predict(np.zeros((1, len(predictor.model.feature_names))))
