"""Requests in columns: several as one, what is missing, and numbers that models can be given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from driver_ranking.errors import RequestError
from driver_ranking.features import FeatureRows
from driver_ranking.model_version import RegisteredModel
from driver_ranking.serving.query import RankingQuery, is_missing, joined
from driver_ranking.serving.request_features import FeatureColumns, for_views
from feast_columnar.online.features import OnlineFeatures

NAN = float("nan")
BIG = 2**53 + 1


def objects(*values: Any) -> Any:
    return np.array([*values, ""], dtype=object)[:-1]


def test_integers_that_say_all_are_asked_for_once() -> None:
    query, places = joined([RankingQuery(np.array(ids)) for ids in ([3, 1], [2, 3])])
    assert query.candidate.tolist() == [1, 2, 3]
    assert places.tolist() == [2, 0, 1, 2]


def test_others_stand_one_after_the_other_with_what_was_for_all_repeated() -> None:
    one = RankingQuery(np.array([1, 2]), {"zone": objects("a")}, {"wait": np.array([0.5])})
    other = RankingQuery(np.array([1]), {"zone": objects("b")}, {"wait": np.array([NAN])})
    query, places = joined([one, other])
    assert query.candidate.tolist() == [1, 2, 1]
    assert query.keys["zone"].tolist() == ["a", "a", "b"]
    np.testing.assert_array_equal(query.request["wait"], [0.5, 0.5, NAN])
    assert places.tolist() == [0, 1, 2]


def test_columns_of_different_types_are_joined_without_rounding_an_integer() -> None:
    one = RankingQuery(np.array([1]), {}, {"count": np.array([BIG]), "shared": np.array([True])})
    other = RankingQuery(np.array([2]), {}, {"count": np.array([NAN]), "shared": objects(None)})
    query, _ = joined([one, other])
    assert query.request["count"].tolist() == [BIG, None]
    assert query.request["shared"].tolist() == [True, None]


def test_nan_and_none_are_missing_of_whatever_type() -> None:
    for values in (np.array([NAN, 0.0]), objects(None, ""), objects(NAN, 0)):
        assert is_missing(values).tolist() == [True, False]
    for whole in (np.array([0]), np.array([False])):
        assert is_missing(whole).tolist() == [False]


def test_views_are_given_what_the_reader_knows_the_type_of() -> None:
    inputs = {"count": np.array([NAN]), "rate": np.array([NAN, 1.0]), "name": objects(NAN, "a"), "on": np.array([True])}
    given = for_views(inputs, {"count": "INT64", "rate": "FP64", "name": "BYTES", "on": "BOOL", "left_out": "FP32"})
    assert given["count"].tolist() == [None]
    np.testing.assert_array_equal(given["rate"], [NAN, 1.0])
    assert given["name"].tolist() == [None, "a"]
    assert given["on"].dtype == np.bool_
    assert given["left_out"].tolist() == [None]


def columns(**types: str) -> FeatureColumns:
    """A model that takes the stored `rate` and `city`, and what is named."""
    names, kinds = ("rate", *types, "city"), ("double", *types.values(), "string")
    return FeatureColumns(RegisteredModel("m", "1", None, "s", "s", names, "p", kinds), tuple(types))


READ = OnlineFeatures(np.array([[0.5], [NAN]]), np.array([1, 2]), others={"city": objects("Bern", None)})


def test_what_was_read_and_what_came_along_are_in_the_order_of_the_signature() -> None:
    place = columns(wait="float", pickup="string", people="integer", shared="boolean")
    given = place.given(
        {
            "wait": np.array([0.25]),
            "pickup": objects("a"),
            "people": objects(None, 3),
            "shared": np.array([True, False]),
        }
    )
    features = place.put_together(READ, given)
    assert isinstance(features, FeatureRows)
    np.testing.assert_array_equal(features.numbers, [[0.5, 0.25, NAN, 1], [NAN, 0.25, 3, 0]])
    assert {name: texts.tolist() for name, texts in features.texts.items()} == {
        "pickup": ["a", "a"],
        "city": ["Bern", None],
    }


def test_what_is_left_out_is_missing() -> None:
    place = columns(wait="float", pickup="string")
    features = place.put_together(READ, place.given({}))
    assert isinstance(features, FeatureRows)
    assert np.isnan(features.numbers[:, 1]).all()
    assert features.texts["pickup"].tolist() == [None, None]


def test_stored_numbers_alone_are_not_copied() -> None:
    model = RegisteredModel("m", "1", None, "s", "s", ("rate",), "p")
    assert FeatureColumns(model).put_together(READ, {}) is READ.matrix


@pytest.mark.parametrize(
    ("kind", "values", "shown"),
    [
        ("double", np.array([1, BIG]), str(BIG)),
        ("double", np.array([-(2**63)]), str(-(2**63))),
        ("double", objects(None, BIG), str(BIG)),
        ("double", objects(2**70), str(2**70)),
        ("float", np.array([0.1]), "0.1"),
        ("float", np.array([2**24 + 1]), str(2**24 + 1)),
        ("integer", np.array([2**31]), str(2**31)),
        ("long", np.array([0.5]), "0.5"),
        ("boolean", np.array([2]), "2"),
        ("double", objects("2"), "'2'"),
    ],
)
def test_a_number_that_the_model_can_not_be_given_exactly_is_refused_by_name(
    kind: str, values: Any, shown: str
) -> None:
    with pytest.raises(RequestError, match=f"^The input 'wait' .*{shown}") as refused:
        columns(wait=kind).given({"wait": values})
    assert "row" not in str(refused.value)


def test_numbers_that_fit_are_given_as_they_are() -> None:
    for kind, values in {
        "double": np.array([0.1, 1e300, np.inf]),
        "float": np.array([0.5, NAN]),
        "long": np.array([2**53 - 1]),
        "integer": np.array([-(2**31)]),
        "boolean": np.array([True]),
    }.items():
        np.testing.assert_array_equal(columns(wait=kind).given({"wait": values})["wait"], values)
