"""What models answer with is taken as one number a row, or refused with what it is instead."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import OneHotEncoder

from driver_ranking.errors import ModelAnswerError
from driver_ranking.model_scores import Answers, scores_of

if TYPE_CHECKING:
    from collections.abc import Callable

OF_TWO = [[0.75, 0.25], [0.5, 0.5]]


async def later() -> list[float]:
    return [0.25, 0.5]


@pytest.mark.parametrize(
    "answer",
    [
        np.array([0.25, 0.5]),
        np.array([0.25, 0.5], dtype=np.float32),
        np.array([0.25, 0.5], dtype=object),
        np.array([[0.25], [0.5]]),
        [0.25, 0.5],
        (0.25, np.float32(0.5)),
        pd.Series([0.25, 0.5]),
        pd.Series([0.25, 0.5], index=["a", "b"]),
        pd.Series([0.25, 0.5], dtype="Float64"),
        pd.DataFrame({"score": [0.25, 0.5]}),
        {"score": [0.25, 0.5]},
        {"variable": np.array([[0.25], [0.5]], dtype=np.float32)},
        OF_TWO,
        np.array(OF_TWO, dtype=np.float32),
        pd.DataFrame(OF_TWO),
        pd.DataFrame(OF_TWO, columns=["proba_0", "proba_1"]),
        {"label": [0, 1], "probabilities": OF_TWO},
        {"output_label": ["a", "b"], "output_probability": [{"b": 0.25, "a": 0.75}, {"a": 0.5, "b": 0.5}]},
        pd.DataFrame({"label": [0, 0], "probability": [{0: 0.75, 1: 0.25}, {0: 0.5, 1: 0.5}]}),
        pd.DataFrame({"prediction": [1, 0], "probability": [0.25, 0.5]}),
        np.array([{0: 0.75, 1: 0.25}, {0: 0.5, 1: 0.5}], dtype=object),
    ],
    ids=range(21),
)
def test_one_number_a_row_is_found_however_it_is_packed(answer: object) -> None:
    scores = scores_of(answer, 2, Answers.EITHER)
    assert scores.dtype == np.float64
    assert scores.tolist() == [0.25, 0.5]


@pytest.mark.parametrize("answer", [[1, 2], np.array([1, 2], dtype=np.uint8), [1, np.int64(2)]], ids=str)
def test_integers_are_numbers(answer: object) -> None:
    assert scores_of(answer, 2, Answers.NUMBERS).tolist() == [1, 2]


def test_what_is_masked_is_no_number() -> None:
    scores = scores_of(np.ma.masked_array([0.25, 0.5], mask=[True, False]), 2, Answers.NUMBERS)
    assert [math.isnan(scores[0]), scores[1]] == [True, 0.5]


def test_columns_of_classes_are_probabilities_only_where_they_can_be() -> None:
    logarithms = np.log(np.array(OF_TWO))
    assert scores_of(logarithms, 2, Answers.PROBABILITIES).tolist() == logarithms[:, 1].tolist()
    for answers in (Answers.NUMBERS, Answers.EITHER):
        with pytest.raises(ModelAnswerError, match=r"answered 2 rows with the shape \(2, 2\), .*predict_proba"):
            scores_of(logarithms, 2, answers)
    with pytest.raises(ModelAnswerError, match=r"the shape \(2, 1\)"):  # a classifier that knows one class
        scores_of(np.ones((2, 1)), 2, Answers.PROBABILITIES)
    assert scores_of([0.25, 0.5], 2, Answers.PROBABILITIES).tolist() == [0.25, 0.5]


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "nothing": (lambda: None, "answered with nothing"),
    "text": (lambda: "0.5", "answered with a text"),
    "bytes": (lambda: b"0.5", "answered with bytes"),
    "generator": (lambda: (one for one in OF_TWO), "answered with a generator"),
    "iterator": (lambda: iter([0.25, 0.5]), "read only once"),
    "coroutine": (later, "read only once, or later"),
    "set": (lambda: {0.25, 0.5}, "in no order"),
    "None inside": (lambda: [None, 0.5], "answered with None, not with numbers"),
    "texts": (lambda: ["0.25", "0.5"], "answered with texts"),
    "texts and numbers": (lambda: pd.Series(["0.25", 0.5]), "answered with texts"),
    "truth": (lambda: [True, False], "answered with true or false"),
    "truth and numbers": (lambda: np.array([True, 0.5], dtype=object), "answered with true or false"),
    "complex": (lambda: np.array([0.25, 0.5j]), "answered with complex numbers"),
    "times": (lambda: np.array(["2026-01-01", "2026-01-02"], dtype="M8[s]"), "answered with times"),
    "records": (lambda: np.zeros(2, dtype=[("a", float)]), "answered with something else"),
    "sparse": (lambda: OneHotEncoder().fit_transform([[0], [1]]), "answered with something else"),
    "ragged": (lambda: [[0.5], [0.5, 0.25]], "answered with rows of different lengths"),
    "large": (lambda: [2**53 + 1, 0], r"answered with integers beyond 2\^53"),
    "largest": (lambda: [2**70, 0], r"answered with integers beyond 2\^53"),
    "least": (lambda: [-(2**60), 0], r"answered with integers beyond 2\^53"),
    "other order": (lambda: pd.Series([0.5, 0.25], index=[1, 0]), "its rows in another order"),
    "no rows": (list, r"the shape \(0,\)"),
    "three classes": (lambda: np.full((2, 3), 1 / 3), r"the shape \(2, 3\)"),
    "three named classes": (lambda: [{0: 1.0, 1: 0.0, 2: 0.0}] * 2, "other probabilities than those of two classes"),
    "no name": (lambda: [{0: 1.0, 1: 0.0}, 0.5], "other probabilities than those of two classes"),
    "outputs": (lambda: {"mean": [1.0, 2.0], "deviation": [1.0, 2.0]}, r"several outputs \(mean, deviation\)"),
    "nothing by name": (lambda: {"score": None}, "answered with nothing"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_one_number_a_row_is_refused_with_what_it_is(what: str) -> None:
    answer, said = REFUSED[what]
    with pytest.raises(ModelAnswerError, match=said):
        scores_of(answer(), 2, Answers.EITHER)
