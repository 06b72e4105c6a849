"""Models that take texts score as the library that made them does, a row alone or among others, in batch and online."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lightgbm
import mlflow.lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from mlflow.models import infer_signature
from models.natural_texts import ASCII, FRAME, NO_TEXTS, ONNX_NO_TEXTS, SCORING, TEXTS, rows_of

from driver_ranking.errors import ModelInputError, ModelSignatureError
from driver_ranking.features import Defaults, FeatureRows
from driver_ranking.model_trial import example_rows, try_on_example
from driver_ranking.scoring import BatchScorer

if TYPE_CHECKING:
    from models.conftest import Register

    from driver_ranking.model import ModelRegistry

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*An input example was not provided",
    "ignore:.*Failed to validate serving input example",
    "ignore:.*Failed to run the predict function on input example",
)
ROWS = rows_of(FRAME)
UNKNOWN = rows_of(FRAME[:1].assign(zone="nowhere", city="nowhere"))


@pytest.mark.parametrize("flavor", SCORING)
def test_a_model_with_texts_scores_as_its_library_does(
    flavor: str, registry: ModelRegistry, register: Register
) -> None:
    log, expected = SCORING[flavor]()
    model = register(log)
    assert set(model.text_columns) == set(TEXTS)
    predictor = registry.load(model)
    try_on_example(predictor)
    frame = ASCII if flavor.startswith("XGBoost") else FRAME
    rows = rows_of(frame)
    online = predictor.predict(rows)
    np.testing.assert_allclose(online, expected, rtol=1e-5, atol=1e-6)
    alone = [predictor.predict(rows[[row]])[0] for row in range(8)]
    np.testing.assert_allclose(alone, online[:8], rtol=1e-12)
    score = BatchScorer(model, Defaults(np.full(2, np.nan), {"zone": "west"})).open(model.local_path)
    stored = frame.assign(
        zone=frame["zone"].map(lambda zone: zone if zone != "west" else None), city=frame["city"].astype("category")
    )
    batch = score(pa.RecordBatch.from_pandas(stored, preserve_index=False))
    np.testing.assert_array_equal(batch["score"].to_numpy(), online)
    statuses = np.where(frame["zone"] == "west", "defaulted", "ok")
    assert batch["status"].to_pylist() == statuses.tolist()


@pytest.mark.parametrize("flavor", [flavor for flavor in SCORING if flavor.startswith(("scikit", "LightGBM", "Cat"))])
def test_a_text_that_is_new_to_a_model_is_scored_where_its_library_does(
    flavor: str, registry: ModelRegistry, register: Register
) -> None:
    assert np.isfinite(registry.load(register(SCORING[flavor]()[0])).predict(UNKNOWN)).all()


@pytest.mark.parametrize("flavor", ["XGBoost", "XGBoost, booster"])
@pytest.mark.parametrize("zone", ["nowhere", "süd", "x"])
def test_a_text_that_is_new_to_xgboost_is_never_taken_for_another(
    flavor: str, zone: str, registry: ModelRegistry, register: Register
) -> None:
    predictor = registry.load(register(SCORING[flavor]()[0]))
    with pytest.raises(ModelInputError, match=f"takes 'zone' as one of the texts .* '{zone}' is none of them"):
        predictor.predict(rows_of(ASCII[:3].assign(zone=["north", zone, "west"])))


@pytest.mark.parametrize("flavor", NO_TEXTS)
def test_a_model_that_can_not_tell_texts_apart_is_refused(
    flavor: str, registry: ModelRegistry, register: Register
) -> None:
    with pytest.raises(ModelSignatureError, match="was not trained on categories that are the texts of zone, city"):
        registry.load(register(NO_TEXTS[flavor]()))


def test_bytes_are_no_categories(registry: ModelRegistry, register: Register) -> None:
    frame = pd.DataFrame({"mark": [b"a", b"b"] * 10, "rate": np.arange(20.0)})
    fitted = lightgbm.LGBMRegressor(n_estimators=2, verbose=-1).fit(
        frame.assign(mark=frame["mark"].str.decode("utf-8").astype("category")), frame["rate"]
    )
    signature = infer_signature(frame)
    model = register(
        lambda: mlflow.lightgbm.log_model(fitted, name="model", signature=signature, pip_requirements=["mlflow"])
    )
    with pytest.raises(ModelSignatureError, match="the texts of mark"):
        registry.load(model)


@pytest.mark.parametrize("inputs", ONNX_NO_TEXTS)
def test_onnx_inputs_that_are_no_texts_of_the_signature_are_refused(
    inputs: str, registry: ModelRegistry, register: Register
) -> None:
    with pytest.raises(ModelSignatureError, match=r"takes the inputs .* not the columns .* of texts one of tensor"):
        registry.load(register(ONNX_NO_TEXTS[inputs]()))


def test_an_example_keeps_its_texts(register: Register) -> None:
    example = example_rows(register(SCORING["pyfunc"]()[0]))
    assert isinstance(example, FeatureRows)
    assert example.numbers.tolist() == ROWS.numbers[:3].tolist()
    assert {name: values.tolist() for name, values in example.texts.items()} == {
        name: FRAME[name][:3].tolist() for name in TEXTS
    }
