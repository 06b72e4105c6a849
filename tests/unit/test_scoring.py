"""Record batches become what a model takes, or an error that names the row; and rows get their scores and statuses."""

from __future__ import annotations

import pickle
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from driver_ranking.errors import ModelInputError
from driver_ranking.features import Defaults, FeatureRows
from driver_ranking.model_version import RegisteredModel
from driver_ranking.ranking import predicted_rows
from driver_ranking.scoring import BatchScorer, feature_matrix, with_scores
from driver_ranking.scoring import _named as named

if TYPE_CHECKING:
    from numpy.typing import NDArray


def model_of(**types: str) -> RegisteredModel:
    names, kinds = tuple(types), tuple(types.values())
    return RegisteredModel("drivers", "7", None, "source", "drivers_v1", names, "nowhere", kinds)


def never(_: object) -> NDArray[np.float64]:
    raise AssertionError


def taken(column: pa.Array, kind: str) -> Any:
    return feature_matrix(pa.record_batch({"own": column}), model_of(own=kind), lambda row: f"row {row + 1}")


NUMBERS = [pa.float64(), pa.float32(), pa.int32(), pa.int64(), pa.uint8(), pa.decimal128(5, 2)]
TEXTS = [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
BYTES = [pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(2), pa.dictionary(pa.int8(), pa.binary())]


@pytest.mark.parametrize("dtype", NUMBERS, ids=str)
def test_numbers_alone_are_an_array(dtype: pa.DataType) -> None:
    column = pa.array([1, None, 5], dtype)
    for numbers in (taken(column, "double"), taken(column.dictionary_encode(), "double")):
        assert isinstance(numbers, np.ndarray)
        np.testing.assert_array_equal(numbers, [[1], [np.nan], [5]])


def test_booleans_are_numbers() -> None:
    np.testing.assert_array_equal(taken(pa.array([True, None, False]), "boolean"), [[1], [np.nan], [0]])


@pytest.mark.parametrize("dtype", TEXTS, ids=str)
def test_texts_are_objects_in_whatever_type_they_come(dtype: pa.DataType) -> None:
    rows = taken(pa.array(["süd", None, "", "süd"], pa.string()).cast(dtype), "string")
    assert isinstance(rows, FeatureRows)
    assert rows.texts["own"].tolist() == ["süd", None, "", "süd"]
    assert rows.numbers.shape == (4, 0)


@pytest.mark.parametrize("dtype", [*BYTES, *TEXTS], ids=str)
def test_bytes_are_objects_and_those_of_a_text_are_its_utf_8(dtype: pa.DataType) -> None:
    plain = pa.string() if dtype in TEXTS else pa.binary()
    rows = taken(pa.array(["ab", None, "cd"], plain).cast(getattr(dtype, "value_type", dtype)).cast(dtype), "binary")
    assert rows.texts["own"].tolist() == [b"ab", None, b"cd"]


def test_columns_are_those_of_the_signature_in_its_order() -> None:
    batch = pa.record_batch({"zone": ["n"], "driver_id": [7], "b": [2.0], "a": [1]})
    rows = feature_matrix(batch, model_of(a="long", zone="string", b="double"), str)
    assert isinstance(rows, FeatureRows)
    assert (rows.numbers.tolist(), list(rows.texts)) == ([[1, 2]], ["zone"])


@pytest.mark.parametrize("kind", ["double", "string", "binary"])
@pytest.mark.parametrize("dtype", [pa.null(), pa.string(), pa.float64(), pa.binary(), pa.timestamp("us")], ids=str)
def test_a_column_without_any_value_is_missing_whatever_its_type(kind: str, dtype: pa.DataType) -> None:
    rows = taken(pa.nulls(2, dtype), kind)
    defaults = Defaults(np.full(int(kind == "double"), 1.0))
    assert predicted_rows(rows, never).status.tolist() == ["missing_features"] * 2
    assert defaults.fill(rows)[1].tolist() == [kind == "double"] * 2


@pytest.mark.parametrize(
    ("column", "kind", "wanted"),
    [
        (pa.array([None, "0.5"]), "double", "string, and the model takes a number"),
        (pa.array([None, "0.5"]).dictionary_encode(), "float", "string, and the model takes a number"),
        (pa.array([None, b"x"]), "long", "binary, and the model takes a number"),
        (pa.array([None, 0], pa.timestamp("us")), "double", "timestamp[us], and the model takes a number"),
        (pa.array([None, [1.0]]), "double", "list<item: double>, and the model takes a number"),
        (pa.array([None, 5]), "string", "int64, and the model takes a text"),
        (pa.array([None, True]), "string", "bool, and the model takes a text"),
        (pa.array([None, b"x"]), "string", "binary, and the model takes a text"),
        (pa.array([None, 0.5]), "binary", "double, and the model takes bytes"),
    ],
)
def test_a_column_of_another_kind_is_an_error_that_names_its_first_value(
    column: pa.Array, kind: str, wanted: str
) -> None:
    with pytest.raises(ModelInputError, match=re.escape(f"The feature 'own' of row 2 is of the type {wanted}.")):
        taken(column, kind)


def test_a_text_that_is_none_names_its_row() -> None:
    texts = pa.array([None, b"good", b"\xff"]).view(pa.string())
    with pytest.raises(ModelInputError, match="The feature 'own' of row 3 is no text in UTF-8"):
        taken(texts, "string")
    batch = pa.record_batch({"own": texts, "driver_id": [1, 2, 3]})
    with pytest.raises(ModelInputError, match=re.escape("of the row own=? driver_id=3 is no text in UTF-8")):
        feature_matrix(batch, model_of(own="string"), lambda row: named(batch, row))


def test_statuses_and_scores_are_added() -> None:
    rows = predicted_rows(
        np.array([[1.0, 2.0], [np.nan, 2.0], [1.0, np.nan]]),
        lambda features: features.sum(axis=1),
        Defaults(np.array([0.5, np.nan])),
    )
    scored = with_scores(pa.record_batch({"driver_id": [1, 2, 3]}), rows, "7")
    assert scored["score"].to_pylist() == [3.0, 2.5, None]
    assert scored["status"].to_pylist() == ["ok", "defaulted", "missing_features"]
    assert scored.schema.field("status") == pa.field("status", pa.string(), nullable=False)


def test_a_scorer_goes_to_workers_with_its_defaults_and_is_told_from_others() -> None:
    model = model_of(own="double", zone="string")
    scorer = BatchScorer(model, Defaults(np.array([0.5]), {"zone": "north"}))
    there = pickle.loads(pickle.dumps(scorer))  # noqa: S301 - our own
    assert there.key == scorer.key
    assert there.defaults.texts == {"zone": "north"}
    others = [None, Defaults(np.array([0.25]), {"zone": "north"}), Defaults(np.array([0.5]))]
    assert len({one.key for one in [scorer, *(replace(scorer, defaults=other) for other in others)]}) == 4
