"""Features of rows: which are missing, and what stands for them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from driver_ranking.features import Defaults, FeatureRows, Features, has_all_features, numbers_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

NUMBERS = st.just(math.nan) | st.floats(-9, 9)
TEXTS = st.none() | st.sampled_from(["", "north", "süd"])
ROWS = st.lists(st.tuples(NUMBERS, NUMBERS, TEXTS, TEXTS), max_size=12)


def objects(values: list[Any]) -> NDArray[np.object_]:
    return np.array([*values, None], dtype=object)[:-1]


def rows_of(rows: list[tuple[Any, ...]], *, texts: bool) -> Features:
    numbers = np.array([row[:2] for row in rows], dtype=np.float64).reshape(len(rows), 2)
    named = {name: objects([row[at] for row in rows]) for name, at in (("zone", 2), ("city", 3))}
    return FeatureRows(numbers, named) if texts else numbers


def values_of(features: Features, *, texts: bool) -> list[tuple[Any, ...]]:
    """Return the rows as tuples, None where a value is missing."""
    columns = [[None if math.isnan(one) else one for one in column] for column in numbers_of(features).T.tolist()]
    if isinstance(features, FeatureRows):
        columns += [features.texts["zone"].tolist(), features.texts["city"].tolist()]
    assert isinstance(features, FeatureRows) == texts
    return list(zip(*columns, strict=True))


@given(ROWS, st.booleans())
def test_a_row_has_all_features_if_none_of_its_values_is_missing(rows: list[tuple[Any, ...]], texts: bool) -> None:  # noqa: FBT001 - drawn
    features = rows_of(rows, texts=texts)
    complete = has_all_features(features)
    assert complete.dtype == np.bool_
    assert complete.tolist() == [None not in row for row in values_of(features, texts=texts)]
    assert len(features) == len(rows)


@given(ROWS, st.data())
def test_some_rows_are_those_rows(rows: list[tuple[Any, ...]], data: st.DataObject) -> None:
    features = rows_of(rows, texts=True)
    kept = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    expected = [row for row, keep in zip(values_of(features, texts=True), kept, strict=True) if keep]
    mask = np.array(kept, dtype=np.bool_)
    assert values_of(features[mask], texts=True) == values_of(features[np.flatnonzero(mask)], texts=True) == expected
    assert values_of(features[:2], texts=True) == values_of(features, texts=True)[:2]


@given(ROWS, st.booleans(), st.tuples(NUMBERS, NUMBERS, TEXTS, TEXTS))
def test_a_default_stands_for_what_is_missing_and_for_nothing_else(
    rows: list[tuple[Any, ...]],
    texts: bool,  # noqa: FBT001 - drawn
    given_defaults: tuple[Any, ...],
) -> None:
    features = rows_of(rows, texts=texts)
    before = values_of(features, texts=texts)
    named = {name: text for name, text in zip(("zone", "city"), given_defaults[2:], strict=True) if text is not None}
    defaults = Defaults(np.array(given_defaults[:2]), named if texts else {})
    filled, defaulted = defaults.fill(features)
    by_column = [None if isinstance(one, float) and math.isnan(one) else one for one in given_defaults]
    expected = [tuple(by_column[at] if one is None else one for at, one in enumerate(row)) for row in before]
    assert values_of(filled, texts=texts) == expected
    assert defaulted.tolist() == [row != full for row, full in zip(before, expected, strict=True)]
    assert values_of(features, texts=texts) == before, "the rows that were given stay as they are"
