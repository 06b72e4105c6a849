"""A model is tried before it is trusted: what it would do to a server is found on its example, or on made-up rows."""

from __future__ import annotations

import math
import re
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from mlflow.models import Model

from driver_ranking.errors import ModelAnswerError, ModelError, ModelInputError, ModelTrialError
from driver_ranking.features import FeatureRows, numbers_of
from driver_ranking.model_columns import as_frame
from driver_ranking.model_flavors import Prediction
from driver_ranking.model_prediction import Predictor, load_predictor
from driver_ranking.model_scores import Answers
from driver_ranking.model_trial import example_rows, try_on_example, try_on_rows
from driver_ranking.model_version import RegisteredModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

NAMES = ("conv_rate", "acc_rate")
FILE = "/home/user/drivers.csv"


def predictor(
    function: Callable[[NDArray[np.float64]], object], folder: Path | str = "nowhere", types: tuple[str, ...] = ()
) -> Predictor:
    model = RegisteredModel("drivers", "7", None, "source", "service", NAMES, str(folder), types)
    return Predictor(model, Prediction(function, Answers.EITHER))


@pytest.fixture
def with_example(tmp_path: Path) -> Callable[[Any], Path]:
    """Write the files of a model with an input example."""

    def save(example: Any) -> Path:
        from mlflow.models.utils import _Example

        model = Model()
        saved = _Example(example)
        saved.save(str(tmp_path))
        model.saved_input_example_info = saved.info
        model.save(str(tmp_path / "MLmodel"))
        return tmp_path

    return save


def raises(error: BaseException) -> Callable[[NDArray[np.float64]], object]:
    def fail(_: NDArray[np.float64]) -> object:
        raise error

    return fail


FAULTY: dict[str, tuple[Callable[[NDArray[np.float64]], object], str]] = {
    "nothing": (lambda _: None, "answered with nothing"),
    "texts": (lambda rows: ["good"] * len(rows), "answered with texts"),
    "a text": (lambda _: "good", "answered with a text"),
    "None among numbers": (lambda rows: [None] * len(rows), "answered with None"),
    "a generator": (lambda rows: (row.sum() for row in rows), "answered with a generator"),
    "truth": (lambda rows: rows[:, 0] > 1, "answered with true or false"),
    "one number": (lambda rows: rows.sum(), r"the shape \(\)"),
    "squeezed": (lambda rows: rows.sum(axis=1).squeeze(), r"the shape \(\)"),
    "three columns": (lambda rows: np.ones((len(rows), 3)), r"the shape \(\d, 3\)"),
    "rows left out": (lambda rows: rows[1:, 0], r"the shape \(\d,\)"),
    "an error": (raises(ValueError(FILE)), "raises an error"),
    "an exit": (lambda _: sys.exit(3), "raises an error"),
    "an exit without a word": (raises(SystemExit()), "raises an error"),
    "an end of a generator": (raises(GeneratorExit()), "raises an error"),
}


@pytest.mark.parametrize("fault", FAULTY)
@pytest.mark.parametrize("has_example", [1, 0])
def test_a_model_that_can_not_score_is_refused_with_a_reason(
    fault: str, has_example: int, with_example: Callable[[Any], Path]
) -> None:
    function, why = FAULTY[fault]
    folder = with_example(pd.DataFrame([[0.5, 0.25], [0.75, 1.0]], columns=list(NAMES))) if has_example else "nowhere"
    with pytest.raises(ModelTrialError, match="The model 'drivers' version 7 fails on") as refused:
        try_on_example(predictor(function, folder))
    assert re.search(why, refused.value.public_message)
    assert FILE not in refused.value.public_message


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_scores_on_the_example_that_are_not_finite_are_refused(
    value: float, with_example: Callable[[Any], Path]
) -> None:
    folder = with_example(pd.DataFrame([[0.5, 0.25]], columns=list(NAMES)))
    with pytest.raises(ModelTrialError, match="not finite numbers on its input example"):
        try_on_example(predictor(lambda rows: np.full(len(rows), value), folder))


def log_of_first(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    if (rows == 0).any():
        message = "no such driver"
        raise ValueError(message)
    return np.asarray(rows[:, 0])


def test_made_up_rows_need_not_be_rows_that_the_model_is_made_for() -> None:
    try_on_example(predictor(log_of_first))
    try_on_example(predictor(lambda rows: np.full(len(rows), math.nan)))


def test_a_model_that_does_its_work_passes(with_example: Callable[[Any], Path]) -> None:
    seen: list[NDArray[np.float64]] = []

    def total(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        seen.append(rows)
        return np.asarray(rows.sum(axis=1))

    frame = pd.DataFrame({"acc_rate": [1.0, None, 0.5], "other": "x", "conv_rate": [0.25, 1.0, 0.75]})
    try_on_example(predictor(total, with_example(frame)))
    assert [rows.tolist() for rows in seen] == [[[0.25, 1.0], [0.75, 0.5]], [[0.25, 1.0]]]


@pytest.mark.parametrize(
    "example", [pd.DataFrame({"other": [1.0]}), pd.DataFrame({"conv_rate": ["x"], "acc_rate": ["y"]})], ids=str
)
def test_an_example_that_can_not_be_used_is_left_aside(example: Any, with_example: Callable[[Any], Path]) -> None:
    folder = with_example(example)
    assert numbers_of(example_rows(predictor(len, folder).model)).shape == (0, 2)
    try_on_example(predictor(lambda rows: rows[:, 0], folder))


def test_made_up_booleans_are_booleans() -> None:
    seen: list[float] = []

    def first(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        seen.extend(rows[:, 1])
        return rows[:, 0]

    try_on_example(predictor(first, types=("double", "boolean")))
    assert seen == [1, 0, 1]


def with_texts(function: Callable[[Any], object], folder: Path | str = "nowhere", **types: str) -> Predictor:
    kinds = tuple(types.values())
    model = RegisteredModel("drivers", "7", None, "source", "service", tuple(types), str(folder), kinds)
    return Predictor(model, Prediction(function, Answers.EITHER))


def test_made_up_rows_have_some_text() -> None:
    seen: list[Any] = []

    def first(rows: FeatureRows) -> NDArray[np.float64]:
        seen.extend(zip(rows.numbers[:, 0].tolist(), *rows.texts.values(), strict=True))
        return rows.numbers[:, 0]

    try_on_example(with_texts(first, zone="string", mark="binary", busy="boolean"))
    assert seen == [(1, "text", b"text"), (0, "text", b"text"), (1, "text", b"text")]


def test_a_model_may_know_none_of_the_texts_that_are_made_up() -> None:
    try_on_example(with_texts(raises(ValueError("no such zone")), zone="string"))
    with pytest.raises(ModelTrialError, match="answered with nothing"):
        try_on_example(with_texts(lambda _: None, zone="string"))


def test_an_example_with_texts_is_what_the_model_is_tried_on(with_example: Callable[[Any], Path]) -> None:
    seen: list[tuple[Any, ...]] = []

    def spoil(rows: FeatureRows) -> NDArray[np.float64]:
        seen.append((rows.numbers.tolist(), rows.texts["zone"].tolist()))
        rows.texts["zone"][:], rows.numbers[:] = "its own now", 0
        return np.zeros(len(rows))

    folder = with_example(pd.DataFrame({"zone": ["a", None, "", "b"], "rate": [1.0, 2.0, 3.0, None]}))
    try_on_example(with_texts(spoil, folder, rate="double", zone="string"))
    assert seen == [([[1.0], [3.0]], ["a", ""]), ([[1.0]], ["a"])]
    texts_alone = with_texts(lambda rows: np.zeros(len(rows)), folder, zone="string")
    assert example_rows(texts_alone.model).texts["zone"].tolist() == ["a", "", "b"]  # type: ignore[union-attr]


def test_an_example_of_other_kinds_is_left_aside(with_example: Callable[[Any], Path]) -> None:
    folder = with_example(pd.DataFrame({"zone": [1, 2], "rate": [1.0, 2.0]}))
    assert len(example_rows(with_texts(len, folder, rate="double", zone="string").model)) == 0


def test_rows_without_a_complete_one_try_nothing() -> None:
    try_on_rows(predictor(raises(ValueError())), np.array([[math.nan, 1.0]]), "rows of the store")


@pytest.mark.parametrize("error", [SystemExit(1), GeneratorExit(), ValueError("no")])
def test_whatever_a_model_raises_is_an_error_of_the_model(error: BaseException) -> None:
    with pytest.raises(ModelError, match="version 7 failed on 1 rows"):
        predictor(raises(error)).predict(np.ones((1, 2)))


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """A process that Ctrl-C interrupts, as at a terminal; one that a shell has put into the background is not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
def test_ctrl_c_ends_a_run_that_is_in_the_model() -> None:
    with pytest.raises(KeyboardInterrupt):
        predictor(raises(KeyboardInterrupt())).predict(np.ones((1, 2)))


def test_an_interrupt_that_the_model_raises_in_a_thread_ends_nothing() -> None:
    found: list[BaseException] = []

    def work() -> None:
        try:
            predictor(raises(KeyboardInterrupt())).predict(np.ones((1, 2)))
        except BaseException as error:  # noqa: BLE001 - which one is the question
            found.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert [type(error) for error in found] == [ModelError]


def test_an_answer_of_another_shape_says_what_to_log() -> None:
    with pytest.raises(ModelAnswerError, match="pyfunc_predict_fn='predict_proba'"):
        predictor(lambda rows: np.ones((len(rows), 3))).predict(np.ones((4, 2)))


def test_a_value_that_can_not_be_given_is_no_fault_of_the_model() -> None:
    frame = as_frame(predictor(len, types=("float", "float")).model)
    with pytest.raises(ModelInputError, match="which can't hold"):
        predictor(lambda rows: frame(rows)["conv_rate"]).predict(np.array([[0.1, 0.5]]))


@pytest.mark.usefixtures("_interruptible")
def test_a_model_that_is_interrupted_while_it_is_loaded_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    model = predictor(len).model
    assert not predictor(len).fits_event_loop
    monkeypatch.setattr("driver_ranking.model_prediction.load_prediction", raises(SystemExit(3)))
    with pytest.raises(ModelError, match="The model 'drivers' version 7 can't be loaded: 3"):
        load_predictor(model, "nowhere")
    monkeypatch.setattr("driver_ranking.model_prediction.load_prediction", raises(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        load_predictor(model, "nowhere")
