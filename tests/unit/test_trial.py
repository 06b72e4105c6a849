"""A model that wants something of the request is tried on the store's rows with what its input example says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from mlflow.models import Model
from mlflow.models.utils import _Example

from driver_ranking.errors import ModelTrialError
from driver_ranking.model_version import RegisteredModel
from driver_ranking.serving.champion import Champion
from driver_ranking.serving.contract import Input, RankingContract
from driver_ranking.serving.predicting import PacedPredictor
from driver_ranking.serving.request_features import FeatureColumns
from driver_ranking.serving.threads import DaemonThread
from driver_ranking.serving.trial import Outcome, Trial, try_on_stored_rows
from feast_columnar.online.features import OnlineFeatures

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

WANTED = (Input("wait", "FP64"), Input("people", "INT64"))


class Store:
    """Has two drivers with one feature, their own id."""

    def __init__(self) -> None:
        self.request: dict[str, Any] = {}

    def sample(self, count: int) -> NDArray[np.int64]:
        return np.array([1, 2], dtype=np.int64)[:count]

    def sample_keys(self, candidate: str, count: int) -> None:
        """Say that it is of a kind of which it can't be told."""

    async def read_async(self, driver_id: NDArray[np.int64], *_: Any, request: Any) -> OnlineFeatures:
        assert request is None
        return OnlineFeatures(driver_id[:, np.newaxis].astype(np.float64), driver_id)


class Models:
    """A model that remembers what it was given, and fails for some waits."""

    def __init__(self, folder: Path | str) -> None:
        names, kinds = ("rate", "wait", "people"), ("double", "double", "long")
        self.model = RegisteredModel("m", "1", None, "s", "s", names, str(folder), kinds)
        self.fits_event_loop = True
        self.seen: list[Any] = []

    def predict(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        self.seen.append(features.tolist())
        return np.where(features[:, 1] < 0, np.nan, features[:, 0])


def trial(model: Models, contract: RankingContract) -> Trial:
    store: Any = Store()
    predictor = PacedPredictor(model, 5)  # type: ignore[arg-type] # all of it that is used
    columns = FeatureColumns(model.model, ("wait", "people"))
    champion = Champion(predictor, store, lambda: 0, DaemonThread("read"), contract, columns)
    return asyncio.run(try_on_stored_rows(champion, 5))


def save_example(folder: Path, wait: float) -> None:
    example, model = _Example(pd.DataFrame({"rate": [9.0, 8.0], "wait": [wait, 5.0], "people": [3, 4]})), Model()
    example.save(str(folder))
    model.saved_input_example_info = example.info
    model.save(str(folder / "MLmodel"))


def test_rows_of_the_store_are_scored_with_what_the_example_s_request_has(tmp_path: Path) -> None:
    save_example(tmp_path, 0.5)
    model = Models(tmp_path)
    passed = trial(model, RankingContract(Input("driver_id", "INT64"), (), WANTED))
    assert passed.outcome is Outcome.PASSED
    assert passed.example is not None
    assert passed.example.candidate.tolist() == [1, 2]
    assert {name: values.tolist() for name, values in passed.example.request.items()} == {"wait": [0.5], "people": [3]}
    assert model.seen == [[[1, 0.5, 3], [2, 0.5, 3]], [[1, 0.5, 3]]]


def test_a_model_that_fails_on_them_is_refused(tmp_path: Path) -> None:
    save_example(tmp_path, -1.0)
    with pytest.raises(ModelTrialError, match="not finite numbers"):
        trial(Models(tmp_path), RankingContract(Input("driver_id", "INT64"), (), WANTED))


@pytest.mark.parametrize(
    "contract",
    [
        RankingContract(Input("driver_id", "INT64"), (Input("zone", "BYTES"),)),
        RankingContract(Input("restaurant", "BYTES")),
    ],
)
def test_what_the_store_can_not_be_asked_for_is_not_tried(contract: RankingContract) -> None:
    model = Models("nowhere")
    assert trial(model, contract) == Trial(Outcome.NOT_POSSIBLE)
    assert model.seen == []


def test_without_an_example_requests_are_made_up_that_say_nothing_about_the_model() -> None:
    model = Models("nowhere")
    found = trial(model, RankingContract(Input("driver_id", "INT64"), (), WANTED))
    assert found.outcome is Outcome.NOT_POSSIBLE
    assert found.example is not None
    assert found.example.candidate.tolist() == [1, 2]
    assert {name: values.tolist() for name, values in found.example.request.items()} == {"wait": [1.0], "people": [1]}
    model.predict = lambda features: features[:, 0] / 0  # type: ignore[method-assign]
    assert trial(model, RankingContract(Input("driver_id", "INT64"), (), WANTED)) == Trial(Outcome.NOT_POSSIBLE)
