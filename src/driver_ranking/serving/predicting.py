"""A model's predictions, where they can do no harm: in the event loop, or in a thread and with a time limit."""

import time

import numpy as np
from numpy.typing import NDArray

from driver_ranking.errors import DriverRankingError, ModelError, ModelTimeoutError
from driver_ranking.features import Defaults, Features
from driver_ranking.model import Predictor
from driver_ranking.ranking import ScoredRows, predicted_rows
from driver_ranking.serving.threads import AllStuckError, BoundedCalls, OverTimeError

_QUICK = 0.002  # seconds that a prediction may hold up the event loop: less than decoding a large request takes
_MOST_STUCK = 4  # predictions that may be left alone; each keeps a thread, and maybe a core


class PacedPredictor:
    """Predicts in the event loop as long as the model is quick and runs no code of a user's, else in a thread.

    Handing a batch to a thread and back takes several times what a linear model takes to score it.
    """

    def __init__(self, predictor: Predictor, time_limit: float) -> None:
        """Take a model that nothing is known about.

        Args:
            predictor: The model.
            time_limit: How long a prediction may take, in seconds.
        """
        self.model = predictor.model
        self.predict = predictor.predict
        self._fits_event_loop = predictor.fits_event_loop
        self._time_limit = time_limit
        self._calls = BoundedCalls("predict", most_stuck=_MOST_STUCK)
        self._is_quick = False

    @property
    def problem(self) -> str | None:
        """Return why nothing can be predicted at the moment, fit for a client; None where it can."""
        return self._stuck() if self._calls.all_stuck else None

    async def predicted_rows(
        self,
        features: Features,
        defaults: Defaults | None = None,
        unreadable: NDArray[np.bool_] | None = None,
    ) -> ScoredRows:
        """Score like ``ranking.predicted_rows``.

        Raises:
            ModelTimeoutError: The model has not answered in time, or hangs.
            ModelError: The model fails.
        """
        if self._is_quick:
            return self._timed(features, defaults, unreadable)
        try:
            return await self._calls.run(self._time_limit, self._timed, features, defaults, unreadable)
        except OverTimeError as error:
            message = f"The {self.model.label} did not answer within {self._time_limit:g} s."
            raise ModelTimeoutError(message) from error
        except AllStuckError as error:
            raise ModelTimeoutError(self._stuck()) from error

    def _stuck(self) -> str:
        return (
            f"The {self.model.label} hangs: {_MOST_STUCK} predictions did not end within {self._time_limit:g} s each. "
            f"Load a version that answers, or restart the service."
        )

    def _timed(self, features: Features, defaults: Defaults | None, unreadable: NDArray[np.bool_] | None) -> ScoredRows:
        start = time.perf_counter()
        try:
            return predicted_rows(features, self.predict, defaults, unreadable)
        except DriverRankingError:
            raise
        except BaseException as error:  # whatever a model raises, in the event loop too, is one failed request
            message = f"The {self.model.label} failed on {len(features)} rows: it ended with {type(error).__name__}."
            raise ModelError(message) from error
        finally:
            self._is_quick = self._fits_event_loop and time.perf_counter() - start <= _QUICK
