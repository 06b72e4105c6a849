"""Columns reach a model in the types that its signature names: the same values, or an error that names the row."""

import math
from typing import TYPE_CHECKING, Any

import mlflow.pyfunc
import mlflow.sklearn
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from mlflow.models import ModelSignature
from mlflow.pyfunc.model import PythonModel
from mlflow.types import ColSpec, Schema
from sklearn.linear_model import LinearRegression

from driver_ranking.errors import ModelInputError, ModelSignatureError
from driver_ranking.features import FeatureRows
from driver_ranking.model_columns import as_array, as_frame, require_exact, require_fitting_types
from driver_ranking.model_version import RegisteredModel
from driver_ranking.scoring import BatchScorer

if TYPE_CHECKING:
    from models.conftest import Register

    from driver_ranking.model import ModelRegistry

DTYPES = {"double": "float64", "float": "float32", "long": "int64", "integer": "int32", "boolean": "bool"}
ARROW = {"double": "float64", "float": "float32", "long": "int64", "integer": "int32", "boolean": "bool_"}
VALUES: dict[str, list[Any]] = {
    "double": [0.1, -1e300],
    "float": [np.float32(0.1), np.float32(-3e38)],
    "long": [2**53 - 1, -(2**53) + 1],
    "integer": [2**31 - 1, -(2**31)],
    "boolean": [True, False],
}


def model_of(*types: str) -> RegisteredModel:
    names = tuple(f"f{index}" for index in range(len(types)))
    return RegisteredModel("drivers", "7", None, "source", "service", names, "nowhere", types)


class Echo(PythonModel):
    """Answers with its only column, which has to have the type that the signature names."""

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:  # noqa: ARG002
        assert str(model_input["f0"].dtype) == self.dtype
        return model_input["f0"].astype("float64")


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.filterwarnings("ignore:.*An input example was not provided")
def test_each_type_of_column_gives_the_same_values_in_batch_and_online(
    kind: str, registry: "ModelRegistry", register: "Register"
) -> None:
    signature = ModelSignature(Schema([ColSpec(kind, "f0")]))
    echo = Echo(DTYPES[kind])
    model = register(
        lambda: mlflow.pyfunc.log_model(
            name="model", python_model=echo, signature=signature, pip_requirements=["mlflow"]
        )
    )
    assert model.feature_types == (kind,)
    expected = [float(value) for value in VALUES[kind]]
    online = registry.load(model).predict(np.array(expected)[:, np.newaxis])
    stored = pa.record_batch({"f0": pa.array(VALUES[kind], getattr(pa, ARROW[kind])())})
    batch = BatchScorer(model).open(model.local_path)(stored)["score"].to_pylist()
    assert online.tolist() == batch == expected


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("float", 0.1),
        ("float", 1e300),
        ("long", 0.5),
        ("long", 2.0**53),  # may have been 2^53 + 1
        ("long", -(2.0**60)),
        ("integer", 2.0**31),
        ("integer", 1.5),
        ("boolean", 2.0),
    ],
)
def test_a_value_that_its_type_can_not_hold_is_an_error_that_names_it(kind: str, value: float) -> None:
    model = model_of("double", kind)
    rows = np.array([[0.5, math.nan], [0.5, 1.0], [0.5, value]])
    with pytest.raises(ModelInputError, match=rf"takes 'f1' as {kind}, which can't hold .* of driver 3 exactly"):
        require_exact(rows, model, lambda row: f"driver {row + 1}")
    complete = rows[1:]
    for cast in (as_array(model_of(kind, kind)), as_frame(model_of(kind, kind))):
        with pytest.raises(ModelInputError, match="of row 2 of those that were given"):
            cast(np.column_stack([complete[:, 1], complete[:, 1]]))


def test_infinity_stays_infinity_where_there_is_one() -> None:
    rows = np.array([[math.inf, -math.inf]])
    assert as_frame(model_of("float", "double"))(rows).to_numpy().tolist() == rows.tolist()


def test_arrays_have_the_type_that_holds_all_columns() -> None:
    rows = np.array([[1.0, 0.0]])
    assert as_array(model_of("double", "double"))(rows) is rows
    assert as_array(model_of("float", "float"))(rows).dtype == np.float32
    assert as_array(model_of("float", "integer"))(rows).dtype == np.float64
    assert as_array(model_of("integer", "boolean"))(rows).dtype == np.int32
    assert as_frame(model_of("double", "double"))(rows).dtypes.tolist() == [np.float64] * 2


def test_frames_have_texts_in_the_place_that_the_signature_gives_them() -> None:
    texts = {"f2": np.array([b"\xff", b""], dtype=object), "f0": np.array(["ü", ""], dtype=object)}
    rows = FeatureRows(np.array([[1.0, 1.0], [0.5, 0.0]]), texts)
    frame = as_frame(model_of("string", "float", "binary", "boolean"))(rows)
    assert frame.dtypes.astype(str).to_dict() == {"f0": "object", "f1": "float32", "f2": "object", "f3": "bool"}
    assert frame.to_numpy().tolist() == [["ü", 1.0, b"\xff", True], ["", 0.5, b"", False]]
    frame["f1"] += 8
    frame.loc[0, "f0"] = "x"
    assert (rows.numbers[0, 0], rows.texts["f0"][0]) == (1.0, "ü"), "a model that writes into its frame changes no rows"
    with pytest.raises(ModelInputError, match=r"takes 'f3' as boolean, which can't hold .* of row 1 of"):
        as_frame(model_of("string", "float", "binary", "boolean"))(FeatureRows(rows.numbers + 0.5, texts)[::-1])


def test_integers_beyond_2_to_the_53_name_their_row_in_batch(registry: "ModelRegistry", register: "Register") -> None:
    fitted = LinearRegression().fit([[0.0], [1.0]], [0, 1])
    signature = ModelSignature(Schema([ColSpec("double", "f0")]))
    model = register(
        lambda: mlflow.sklearn.log_model(fitted, name="model", signature=signature, pip_requirements=["mlflow"])
    )
    score = BatchScorer(model).open(model.local_path)
    rows = pa.record_batch({"driver_id": [1, 2, 3], "f0": pa.array([None, 2**53, 2**53 + 1], pa.int64())})
    with pytest.raises(ModelInputError, match=r"'f0' of the row driver_id=3 f0=9007199254740993 is 9007199254740993"):
        score(rows)
    assert score(rows[:2])["status"].to_pylist() == ["missing_features", "ok"]
    assert registry.load(model).predict(np.array([[0.5]])).tolist() == [0.5]


@pytest.mark.parametrize(
    ("declared", "kinds"),
    [
        ("Float64", {"double"}),
        ("Float32", {"double", "float"}),
        ("Int64", {"double", "float", "long"}),
        ("Int32", {"double", "float", "long", "integer"}),
        ("Bool", set(DTYPES)),
        ("String", {"string"}),
        ("Bytes", {"binary"}),
        ("UnixTimestamp", set()),
        ("Array(Float32)", set()),
    ],
)
def test_a_signature_that_is_too_narrow_for_the_feature_repo_is_refused(declared: str, kinds: set[str]) -> None:
    taken = set()
    for kind in (*DTYPES, "string", "binary"):
        try:
            require_fitting_types(model_of(kind), {"f0": declared, "other": "String"})
        except ModelSignatureError as error:
            assert f"'f0' is {declared} in the feature repo and {kind} in the signature" in str(error)  # noqa: PT017
        else:
            taken.add(kind)
    assert taken == kinds
