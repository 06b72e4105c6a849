"""Models of the flavors that people have score as the library that made them does, in batch and online alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from models.natural import FRAME, LABELLING, SCORING, of_onnx_by_column, of_sklearn_named

from driver_ranking.errors import ModelAnswerError, ModelSignatureError
from driver_ranking.model_flavors import gives_labels
from driver_ranking.model_trial import try_on_example
from driver_ranking.scoring import BatchScorer

if TYPE_CHECKING:
    from models.conftest import Register

    from driver_ranking.model import ModelRegistry

ONLINE = FRAME.to_numpy(np.float64)  # as the online reader hands features over


@pytest.mark.parametrize("flavor", SCORING)
def test_a_natural_model_scores_as_its_library_does(flavor: str, registry: ModelRegistry, register: Register) -> None:
    log, expected = SCORING[flavor]()
    model = register(log)
    assert model.feature_types == ("float", "float", "integer")
    predictor = registry.load(model)
    try_on_example(predictor)
    online = predictor.predict(ONLINE)
    assert online.dtype == np.float64
    np.testing.assert_allclose(online, expected(), rtol=1e-5, atol=1e-6)
    batch = BatchScorer(model).open(model.local_path)(pa.RecordBatch.from_pandas(FRAME, preserve_index=False))
    np.testing.assert_array_equal(batch["score"].to_numpy(), online)
    np.testing.assert_allclose(predictor.predict(ONLINE[:1]), online[:1], rtol=1e-6)


@pytest.mark.parametrize("flavor", LABELLING)
def test_a_model_that_gives_labels_is_refused_with_advice(
    flavor: str, registry: ModelRegistry, register: Register
) -> None:
    log, _ = LABELLING[flavor]()
    with pytest.raises(ModelAnswerError, match=r"predicts labels, which are no scores.*(proba|decision_function)"):
        registry.load(register(log))


@pytest.mark.parametrize(("function", "said"), [("score", "gives no scores"), ("transform", "does not have")])
def test_a_function_that_gives_no_scores_is_refused(
    function: str, said: str, registry: ModelRegistry, register: Register
) -> None:
    with pytest.raises(ModelAnswerError, match=f"version .* names .* to predict with.* {said}"):
        registry.load(register(of_sklearn_named(function)))


def test_onnx_inputs_that_are_not_the_columns_are_refused(registry: ModelRegistry, register: Register) -> None:
    log, _ = of_onnx_by_column(("a", "b", "c"))
    with pytest.raises(ModelSignatureError, match=r"takes the inputs a \(tensor\(float\)\), .* not the columns"):
        registry.load(register(log))


def test_a_model_of_no_flavor_of_scikit_learns_does_not_fit_the_event_loop(
    registry: ModelRegistry, register: Register
) -> None:
    fits = {
        flavor: registry.load(register(SCORING[flavor]()[0])).fits_event_loop
        for flavor in ("scikit-learn, forest", "scikit-learn, cloudpickle", "LightGBM", "ONNX", "pyfunc on pandas")
    }
    assert [flavor for flavor, fit in fits.items() if fit] == ["scikit-learn, forest"]


def test_what_knows_nothing_of_scikit_learns_tags_gives_labels_if_it_has_probabilities() -> None:
    class Own:
        def predict(self) -> None: ...

    class OwnClassifier(Own):
        def predict_proba(self) -> None: ...

    assert [gives_labels(Own()), gives_labels(OwnClassifier())] == [False, True]
