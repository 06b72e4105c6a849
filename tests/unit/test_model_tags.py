"""The tags of a registered version: what can be read is read, everything else is refused by name."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driver_ranking.errors import ModelTagError
from driver_ranking.model_tags import VersionTags, version_tags

LABEL = "version 7 of model 'drivers'"
NAMES = st.lists(st.text("abc_ é", min_size=1).filter(str.strip).map(str.strip), unique=True)
VALUES = st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


@pytest.mark.parametrize("tags", [{}, {"candidate_key": "", "request_features": " ", "defaults": "  ", "other": "x"}])
def test_what_is_not_said_is_not_there(tags: dict[str, str]) -> None:
    assert version_tags(tags, LABEL) == VersionTags(None, (), ())


def test_the_candidates_key_is_a_name() -> None:
    assert version_tags({"candidate_key": " restaurant_id "}, LABEL).candidate_key == "restaurant_id"


@given(NAMES)
def test_request_features_are_separated_by_commas_or_in_a_list(names: list[str]) -> None:
    for text in (", ".join(names), json.dumps(names)):
        assert version_tags({"request_features": text}, LABEL).request_features == tuple(names)


@given(st.dictionaries(st.text(), VALUES))
def test_defaults_are_what_json_says(values: dict[str, float | bool | str]) -> None:
    read = version_tags({"defaults": json.dumps(values)}, LABEL).defaults
    assert [(name, type(value), value) for name, value in read] == [(k, type(v), v) for k, v in values.items()]


@pytest.mark.parametrize(
    ("tag", "text", "why"),
    [
        ("request_features", "a,,b", "empty, or there twice: a,,b. Give it the names"),
        ("request_features", "a, b, a", "empty, or there twice"),
        ("request_features", "[1]", "empty, or there twice"),
        ("request_features", '["a"', "can't be read as JSON"),
        ("defaults", "a=1", "can't be read as JSON"),
        ("defaults", '{"a": NaN}', "NaN is no number of JSON"),
        ("defaults", '{"a": -Infinity}', "-Infinity is no number of JSON"),
        ("defaults", '{"a": 1, "a": 2}', "a name is there twice"),
        ("defaults", "[" * 100_000, "can't be read as JSON"),
        ("defaults", "3", "is no JSON object. Give it a JSON object"),
        ("defaults", '{"a": null}', "something else than a number, true, false or a text for 'a'"),
        ("defaults", '{"a": 1, "b": [2]}', "something else than a number, true, false or a text for 'b'"),
    ],
)
def test_what_can_not_be_read_is_refused(tag: str, text: str, why: str) -> None:
    with pytest.raises(ModelTagError, match=f"The tag '{tag}' of {LABEL} ") as refused:
        version_tags({tag: text}, LABEL)
    assert why in refused.value.public_message
