"""What a model answers, taken as scores: one number a row, or an error that says what it is instead.

Models answer with arrays, frames, lists, one output by name or several; classifiers with a column for each class.
"""

import inspect
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from driver_ranking.errors import ModelAnswerError
from feast_columnar.exactness import EXACT_INTEGERS

if TYPE_CHECKING:
    import pandas as pd

_CLASSES = 2  # what a classifier must tell apart for one of its columns to be a score
_SUM_TOLERANCE = 1e-4  # probabilities may be float32
_PROBABILITY = "proba"  # in the name of an output
_KINDS = {"b": "true or false", "U": "texts", "S": "texts", "c": "complex numbers", "M": "times", "m": "times"}

PROBABILITY_ADVICE = (
    "Log a two-class classifier with `mlflow.sklearn.log_model(..., pyfunc_predict_fn='predict_proba')`: "
    "the score is then the probability of the second class."
)
_ONE_NUMBER = f"A model has to answer with one number a row. {PROBABILITY_ADVICE}"


class Answers(Enum):
    """What the function that a model names gives."""

    NUMBERS = "one number a row"
    PROBABILITIES = "a column for each class"
    EITHER = "what only its values tell"


def scores_of(answer: object, rows: int, answers: Answers) -> NDArray[np.float64]:
    """Return float64 ``[n]`` from what a model answered to n rows; NaN and infinities are left to the rules.

    Of ``[n, 2]`` probabilities it is the second column.

    Raises:
        ModelAnswerError: It is not one number a row. The message goes on a sentence that begins with the model's name.
    """
    if type(answer) is np.ndarray and answer.dtype == np.float64 and answer.shape == (rows,):
        return answer
    plain, answers = _unwrapped(answer, answers)
    table = _numbers(plain)
    if table.shape == (rows,):
        return table
    if table.shape == (rows, 1) and answers is not Answers.PROBABILITIES:
        return table[:, 0]
    if table.shape == (rows, _CLASSES) and (
        answers is Answers.PROBABILITIES or (answers is Answers.EITHER and _are_probabilities(table))
    ):
        return np.ascontiguousarray(table[:, 1])
    message = f"answered {rows} rows with the shape {table.shape}, not one each. {_ONE_NUMBER}"
    raise ModelAnswerError(message)


def _unwrapped(answer: object, answers: Answers) -> tuple[object, Answers]:
    """Return the output that has the scores, where there are names of outputs."""
    import pandas as pd

    _refuse_what_is_no_data(answer)
    if isinstance(answer, pd.DataFrame | pd.Series):
        _require_the_rows_order(answer.index)
        if isinstance(answer, pd.Series) or not _is_named_output(answer):
            return answer.to_numpy(), answers
        answer = {str(name): column.tolist() for name, column in answer.items()}
    if isinstance(answer, Mapping):
        answer, answers = _output(answer, answers)
        _refuse_what_is_no_data(answer)
    rows = answer.tolist() if isinstance(answer, np.ndarray) and answer.dtype == object else answer
    if isinstance(rows, list | tuple) and rows and isinstance(rows[0], Mapping):
        return [_probability(one) for one in rows], Answers.NUMBERS
    return answer, answers


def _refuse_what_is_no_data(answer: object) -> None:
    if inspect.iscoroutine(answer):
        answer.close()
    if answer is None or isinstance(answer, str | bytes | Iterator | set | frozenset) or inspect.isawaitable(answer):
        kinds = {"NoneType": "nothing", "str": "a text", "bytes": "bytes", "generator": "a generator"}
        what = kinds.get(type(answer).__name__, "something that can be read only once, or later, or in no order")
        message = f"answered with {what}. {_ONE_NUMBER}"
        raise ModelAnswerError(message)


def _require_the_rows_order(index: "pd.Index[Any]") -> None:
    """Refuse rows that are numbered in another order than they were given: whose scores they are can't be told."""
    numbers = index.to_numpy()
    in_order = np.arange(len(numbers))
    if numbers.dtype.kind in "iu" and not (numbers == in_order).all() and (np.sort(numbers) == in_order).all():
        message = "answered with its rows in another order than they were given. It has to keep the order."
        raise ModelAnswerError(message)


def _is_named_output(frame: "pd.DataFrame") -> bool:
    """Tell a frame with a column for each output from one with a column for each class."""
    named = [name for name in frame.columns if _PROBABILITY in str(name).lower()]
    return len(frame.columns) == 1 or len(named) == 1


def _output(outputs: Mapping[Any, Any], answers: Answers) -> tuple[object, Answers]:
    """Return the only output, or the one of a classifier that has the probabilities beside its labels."""
    if len(outputs) == 1:
        return next(iter(outputs.values())), answers
    probabilities = [value for name, value in outputs.items() if _PROBABILITY in str(name).lower()]
    if len(probabilities) == 1:
        return probabilities[0], Answers.EITHER
    names = ", ".join(map(str, outputs))
    message = f"answered with several outputs ({names}), of which none alone has probabilities. {_ONE_NUMBER}"
    raise ModelAnswerError(message)


def _probability(classes: object) -> object:
    """Return the probability of the second class, as an ONNX classifier names them for each row."""
    if isinstance(classes, Mapping) and len(classes) == _CLASSES:
        return classes[max(classes)]
    message = f"answered with other probabilities than those of two classes for each row. {_ONE_NUMBER}"
    raise ModelAnswerError(message)


def _numbers(answer: object) -> NDArray[np.float64]:
    if isinstance(answer, np.ma.MaskedArray):
        answer = np.ma.filled(answer.astype(np.float64), np.nan)
    try:
        array = np.asarray(answer)
    except ValueError as error:
        message = f"answered with rows of different lengths. {_ONE_NUMBER}"
        raise ModelAnswerError(message) from error
    what = _what_is_no_number(array)
    if what:
        message = f"answered with {what}, not with numbers. {_ONE_NUMBER}"
        raise ModelAnswerError(message)
    return np.asarray(array, dtype=np.float64)


def _what_is_no_number(array: NDArray[Any]) -> str | None:
    if array.dtype.kind == "O":
        return next((what for one in array.ravel() if (what := _what_is_no_number_alone(one))), None)
    if array.dtype.kind in "iu":
        large = array.size and (int(array.max()) > EXACT_INTEGERS or int(array.min()) < -EXACT_INTEGERS)
        return "integers beyond 2^53" if large else None
    return None if array.dtype.kind == "f" else _KINDS.get(array.dtype.kind, "something else")


def _what_is_no_number_alone(value: object) -> str | None:
    if value is None:
        return "None"
    kind = np.asarray(value).dtype.kind
    if kind == "O":  # an integer that no type of NumPy holds, or anything else
        return "integers beyond 2^53" if isinstance(value, int) else "something else"
    return _what_is_no_number(np.asarray(value))


def _are_probabilities(table: NDArray[np.float64]) -> bool:
    """Tell probabilities of two classes from two outputs of other kinds."""
    in_range = (table >= 0) & (table <= 1)
    return bool(in_range.all() and (np.abs(table.sum(axis=1) - 1) <= _SUM_TOLERANCE).all())
