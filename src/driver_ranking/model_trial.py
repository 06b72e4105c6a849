"""A model is tried before it is trusted: on the input example that it was logged with, and on rows made up for it."""

import contextlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from driver_ranking.errors import ModelAnswerError, ModelError, ModelInputError, ModelTrialError
from driver_ranking.features import FeatureRows, Features, has_all_features
from driver_ranking.model_columns import require_exact

if TYPE_CHECKING:
    from driver_ranking.model_prediction import Predictor
    from driver_ranking.model_version import RegisteredModel

_MOST_ROWS = 100  # of an input example
_MADE_UP = (1.0, 0.0, 10.0)  # of any type but boolean, which the last is not
_MADE_UP_TEXT = "text"


def try_on_example(predictor: "Predictor") -> None:
    """Let a model score the rows of its input example, as one batch and the first one alone.

    Without an example that can be used, rows are made up. They may be none that the model is made for: it may refuse
    some of them, or all if it takes texts, of which it may know none but those that it was trained with; and what
    numbers it gives does not matter.

    Raises:
        ModelTrialError: It raises an error, tries to end the process, or gives something else than finite numbers.
    """
    example = example_rows(predictor.model)
    if len(example):
        try_on_rows(predictor, example, "its input example")
        return
    failed: list[ModelTrialError] = []
    made_up = _made_up_rows(predictor.model)
    for row in range(len(made_up)):
        try:
            _try(predictor, made_up[[row]], "rows that were made up for it")
        except ModelTrialError as error:
            if isinstance(error.__cause__, ModelAnswerError) or _exits(error):
                raise
            failed.append(error)
    if len(failed) == len(made_up) and not predictor.model.text_columns:
        raise failed[0]


def try_on_rows(predictor: "Predictor", rows: Features, what: str) -> None:
    """Let a model score rows that it has to be able to score, as one batch and the first one alone.

    Args:
        predictor: The model.
        rows: What it takes; rows with a missing value are left out.
        what: How a message names the rows.

    Raises:
        ModelTrialError: It raises an error, tries to end the process, or gives something else than finite numbers.
    """
    complete = np.flatnonzero(has_all_features(rows))
    for some in (complete, complete[:1]) if complete.size else ():
        scores = _try(predictor, rows[some], what)  # a copy
        if not np.isfinite(scores).all():
            reason = f"The {predictor.model.label} gives scores that are not finite numbers on {what}."
            raise ModelTrialError(reason, reason)


def example_rows(model: "RegisteredModel") -> Features:
    """Return the rows of the input example that have all features; none if it can't be used."""
    with contextlib.suppress(Exception):  # an example may be of any kind, and nobody has to have logged one
        rows = _logged_rows(model)[:_MOST_ROWS]
        complete = rows[has_all_features(rows)]
        require_exact(complete, model, str)
        return complete
    return _made_up_rows(model)[:0]


def _logged_rows(model: "RegisteredModel") -> Features:
    from mlflow.models import Model

    example: Any = Model.load(model.local_path).load_input_example(model.local_path)
    numbers = [np.asarray(example[name], dtype=np.float64) for name in model.number_columns]
    texts = {name: _texts_of(example[name], model.types[name]) for name in model.text_columns}
    table = np.column_stack(numbers) if numbers else np.empty((len(example), 0))
    return FeatureRows(table, texts) if texts else table


def _texts_of(values: Iterable[object], kind: str) -> NDArray[np.object_]:
    """Return the texts, or bytes, of a column of an example; None for what is neither."""
    wanted = str if kind == "string" else bytes
    return np.array([value if isinstance(value, wanted) else None for value in values], dtype=object)


def _made_up_rows(model: "RegisteredModel") -> Features:
    rows = np.repeat(np.array(_MADE_UP)[:, np.newaxis], len(model.number_columns), axis=1)
    types = model.types
    booleans = [index for index, name in enumerate(model.number_columns) if types[name] == "boolean"]
    rows[:, booleans] = np.minimum(rows[:, booleans], 1)
    made_up = {"string": _MADE_UP_TEXT, "binary": _MADE_UP_TEXT.encode()}
    texts = {name: np.full(len(rows), made_up[types[name]], dtype=object) for name in model.text_columns}
    return FeatureRows(rows, texts) if texts else rows


def _try(predictor: "Predictor", rows: Features, what: str) -> NDArray[np.float64]:
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
