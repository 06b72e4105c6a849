"""What an estimator is fitted on: arrays where all features are numbers, else frames; and what its version says."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from driver_ranking.feature_store.extraction import FEATURES_KEY
from driver_ranking.features import FeatureRows, has_all_features
from driver_ranking.model_logging import estimator_scores, untrusted_types
from driver_ranking.model_tags import version_tags as read_tags
from driver_ranking.pipelines.batch.recorded_defaults import DEFAULTS_KEY
from driver_ranking.pipelines.training.estimators import new_pipeline, require_usable
from driver_ranking.pipelines.training.parameters import version_tags
from driver_ranking.pipelines.training.rows import (
    REQUEST_FEATURES_KEY,
    feature_names,
    feature_rows,
    filled_features,
    groups_of,
    signed_rows,
)


def extracted(columns: dict[str, Any], requested: tuple[str, ...] = (), **defaults: object) -> pa.Table:
    stored = [name for name in columns if name not in requested]
    notes = {FEATURES_KEY: stored, REQUEST_FEATURES_KEY: requested, DEFAULTS_KEY: defaults}
    return pa.table(columns).replace_schema_metadata({key: json.dumps(value) for key, value in notes.items()})


def test_numbers_are_an_array_with_the_features_of_the_request_last() -> None:
    rows = extracted({"km": [3.0, None], "rate": pa.array([0.5, 1], pa.float32()), "night": [True, False]}, ("km",))
    assert feature_names(rows) == ("rate", "night", "km")
    given = feature_rows(rows)
    assert isinstance(given, np.ndarray)
    np.testing.assert_array_equal(given, [[0.5, 1, 3], [1, 0, np.nan]])


def test_with_texts_they_are_a_frame_of_the_columns_in_their_order() -> None:
    zones = pa.array(["north", None]).dictionary_encode()
    rows = extracted({"zone": zones, "km": [3, 4], "code": [b"a", b"b"]})
    given = feature_rows(rows)
    assert isinstance(given, pd.DataFrame)
    assert given.columns.tolist() == ["zone", "km", "code"]
    assert given.iloc[0].tolist() == ["north", 3.0, b"a"]
    assert has_all_features(filled_features(rows)).tolist() == [True, False]


def test_a_boolean_of_the_request_is_signed_as_one_and_fitted_on_as_a_number() -> None:
    rows = extracted({"rate": [0.5, 1.0], "night": [True, False], "rainy": [True, None]}, ("rainy",), rainy=0.0)
    given, signed = feature_rows(rows), signed_rows(rows)
    assert isinstance(given, np.ndarray)
    assert given.tolist() == [[0.5, 1, 1], [1, 0, 0]]
    assert isinstance(signed, pd.DataFrame)
    assert signed.dtypes.astype(str).to_dict() == {"rate": "float64", "night": "float64", "rainy": "bool"}
    assert signed.to_numpy(float).tolist() == given.tolist()
    assert isinstance(signed_rows(extracted({"rate": [0.5]})), np.ndarray)
    frame = feature_rows(extracted({"zone": ["north"], "rainy": [True]}, ("rainy",)))
    assert isinstance(frame, pd.DataFrame)
    assert frame["rainy"].dtype == bool


def test_a_default_stands_for_what_is_missing() -> None:
    rows = extracted({"zone": ["north", None, None], "km": [None, 4.0, None]}, zone="south", km=7.5)
    given = filled_features(rows)
    assert isinstance(given, FeatureRows)
    assert given.texts["zone"].tolist() == ["north", "south", "south"]
    assert given.numbers[:, 0].tolist() == [7.5, 4.0, 7.5]
    assert has_all_features(given).all()


def settings(estimator: str, **arguments: object) -> dict[str, Any]:
    return {"estimator": {"class": estimator, "arguments": arguments}, "seed": 1, "trusted_types": [], "label": "done"}


@pytest.mark.parametrize(
    ("estimator", "arguments"),
    [("sklearn.linear_model.LogisticRegression", {}), ("sklearn.linear_model.ElasticNet", {"alpha": 0.01})],
)
def test_a_model_of_texts_is_trusted_and_scores_a_text_that_it_has_not_met(
    estimator: str, arguments: dict[str, Any]
) -> None:
    rows = extracted({"zone": ["north", "south"] * 20, "km": [1.0, 2.0, 3.0, 4.0] * 10})
    given, label = feature_rows(rows), np.array([1.0, 0.0] * 20)
    training = settings(estimator, **arguments)
    pipeline = new_pipeline(training, given)
    require_usable(pipeline, given, label, training)
    pipeline.fit(given, label)
    assert untrusted_types(pipeline, []) == []
    north, south, unknown = estimator_scores(pipeline, pd.DataFrame({"zone": ["north", "south", "x"], "km": [2.0] * 3}))
    assert south < unknown < north


@pytest.mark.parametrize("names", [[], ["km"], ["km", "pickup zone"], ["a,b", "[c]"], [" d"]])
def test_tags_say_what_the_parameters_said(names: list[str]) -> None:
    training = {
        "request_features": names,
        "candidate_key": "driver_id",
        "defaults": {"km": 7, "night": True, "zone": "x"},
    }
    read = read_tags(version_tags(training), "the version")
    assert (read.candidate_key, read.defaults) == ("driver_id", (("km", 7), ("night", True), ("zone", "x")))
    assert read.request_features == tuple(name.strip() for name in names)
    assert version_tags({"request_features": [], "candidate_key": None, "defaults": {}}) == {}


def test_candidates_without_a_trip_are_of_no_group() -> None:
    trips = pa.table({"of": ["a", None, "a", "b"], "at": [1.0, np.nan, 1.0, 2.0]})
    for column in ("of", "at"):
        group = groups_of(trips, {"group_column": column}).tolist()
        assert group[0] == group[2] != group[3]
        assert group[1] < 0
