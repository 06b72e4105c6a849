"""A model is tried before it is trusted: on the input example that it was logged with, and on rows made up for it."""

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from driver_ranking.errors import ModelAnswerError, ModelError, ModelInputError, ModelTrialError
from driver_ranking.model_columns import require_exact
from driver_ranking.ranking import has_all_features

if TYPE_CHECKING:
    from driver_ranking.model_prediction import Predictor
    from driver_ranking.model_version import RegisteredModel

_MOST_ROWS = 100  # of an input example
_MADE_UP = (1.0, 0.0, 10.0)  # of any type but boolean, which the last is not


def try_on_example(predictor: "Predictor") -> None:
    """Let a model score the rows of its input example, as one batch and the first one alone.

    Without an example that can be used, rows are made up. They may be none that the model is made for: it may refuse
    some of them, and what numbers it gives does not matter.

    Raises:
        ModelTrialError: It raises an error, tries to end the process, or gives something else than finite numbers.
    """
    example = example_rows(predictor.model)
    if len(example):
        try_on_rows(predictor, example, "its input example")
        return
    failed: list[ModelTrialError] = []
    made_up = _made_up_rows(predictor.model)
    for row in made_up:
        try:
            _try(predictor, row[np.newaxis], "rows that were made up for it")
        except ModelTrialError as error:
            if isinstance(error.__cause__, ModelAnswerError) or _exits(error):
                raise
            failed.append(error)
    if len(failed) == len(made_up):
        raise failed[0]


def try_on_rows(predictor: "Predictor", rows: NDArray[np.float64], what: str) -> None:
    """Let a model score rows that it has to be able to score, as one batch and the first one alone.

    Args:
        predictor: The model.
        rows: float64 ``[n, k]``, columns in the signature's order; rows with a missing value are left out.
        what: How a message names the rows.

    Raises:
        ModelTrialError: It raises an error, tries to end the process, or gives something else than finite numbers.
    """
    complete = rows[has_all_features(rows)]
    for some in (complete, complete[:1]) if len(complete) else ():
        scores = _try(predictor, some.copy(), what)
        if not np.isfinite(scores).all():
            reason = f"The {predictor.model.label} gives scores that are not finite numbers on {what}."
            raise ModelTrialError(reason, reason)


def example_rows(model: "RegisteredModel") -> NDArray[np.float64]:
    """Return the rows of the input example that have all features, float64 ``[n, k]``; none if it can't be used."""
    with contextlib.suppress(Exception):  # an example may be of any kind, and nobody has to have logged one
        rows = _logged_rows(model)[:_MOST_ROWS]
        complete = rows[has_all_features(rows)]
        require_exact(complete, model, str)
        return complete
    return np.empty((0, len(model.feature_names)))


def _logged_rows(model: "RegisteredModel") -> NDArray[np.float64]:
    from mlflow.models import Model

    example: Any = Model.load(model.local_path).load_input_example(model.local_path)
    columns = [np.asarray(example[name], dtype=np.float64) for name in model.feature_names]
    return np.column_stack(columns)


def _made_up_rows(model: "RegisteredModel") -> NDArray[np.float64]:
    rows = np.repeat(np.array(_MADE_UP)[:, np.newaxis], len(model.feature_names), axis=1)
    booleans = [index for index, kind in enumerate(model.feature_types) if kind == "boolean"]
    rows[:, booleans] = np.minimum(rows[:, booleans], 1)
    return rows


def _try(predictor: "Predictor", rows: NDArray[np.float64], what: str) -> NDArray[np.float64]:
    try:
        return predictor.predict(rows)
    except ModelError as error:
        message = f"The {predictor.model.label} fails on {what}: {error}"
        ours = isinstance(error, ModelAnswerError | ModelInputError)
        why = str(error) if ours else "It raises an error. The log of the service says which."
        raise ModelTrialError(message, f"The {predictor.model.label} fails on {what}: {why}") from error


def _exits(error: ModelTrialError) -> bool:
    """Return whether the model raised what would end the process or its task."""
    cause = error.__cause__.__cause__ if error.__cause__ else None
    return cause is not None and not isinstance(cause, Exception)
