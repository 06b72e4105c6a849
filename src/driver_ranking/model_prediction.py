"""A loaded model: predicts on columns, and whatever it raises or answers is a score or an error that names it."""

import signal
import threading
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from driver_ranking.errors import ModelAnswerError, ModelError, ModelInputError, ModelSignatureError
from driver_ranking.features import Features
from driver_ranking.model_flavors import Prediction, load_prediction
from driver_ranking.model_scores import Answers, scores_of
from driver_ranking.model_version import RegisteredModel


@dataclass(frozen=True)
class Predictor:
    """A loaded model.

    Attributes:
        model: What it was loaded from.
    """

    model: RegisteredModel
    _prediction: Prediction

    @property
    def fits_event_loop(self) -> bool:
        """Return whether it predicts by scikit-learn's own code alone, so that no Python of a user's can hang it."""
        return self._prediction.fits_event_loop

    @property
    def gives_probabilities(self) -> bool:
        """Return whether its scores are known to be a class's probabilities."""
        return self._prediction.answers is Answers.PROBABILITIES

    def predict(self, features: Features) -> NDArray[np.float64]:
        """Return the scores, float64 ``[n]``, of n rows; where all columns are numbers, in the signature's order.

        Scores that are not finite are given as they are.

        Raises:
            ModelInputError: A value can't be given exactly in the type that the signature names.
            ModelAnswerError: The answer is not one number a row.
            ModelError: The model fails, or tries to end the process.
        """
        try:
            answer = self._prediction.function(features)
            return scores_of(answer, len(features), self._prediction.answers)
        except ModelAnswerError as error:
            message = f"The {self.model.label} {error}"
            raise ModelAnswerError(message) from error
        except ModelInputError:
            raise
        except BaseException as error:
            if _is_the_users(error):
                raise
            message = f"The {self.model.label} failed on {len(features)} rows: {said(error)}"
            raise ModelError(message) from error


def load_predictor(model: RegisteredModel, folder: str) -> Predictor:
    """Load a resolved model from its files or a copy of them.

    Raises:
        ModelAnswerError: It is known to give labels, not scores.
        ModelSignatureError: It takes other inputs than its signature names.
        ModelError: It can't be loaded, or tries to end the process.
    """
    try:
        return Predictor(model, load_prediction(replace(model, local_path=folder)))
    except (ModelAnswerError, ModelSignatureError) as error:
        message = f"The {model.label} {error}"
        raise type(error)(message) from error
    except BaseException as error:
        if _is_the_users(error):
            raise
        message = f"The {model.label} can't be loaded: {said(error)}"
        raise ModelError(message) from error


def said(error: BaseException) -> str:
    """Return what an error says, or what it is if it says nothing."""
    return str(error) or type(error).__name__


def _is_the_users(error: BaseException) -> bool:
    """Tell a user's Ctrl-C, which Python raises in the main thread, from an exit that the model's own code raised."""
    return (
        isinstance(error, KeyboardInterrupt)
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
