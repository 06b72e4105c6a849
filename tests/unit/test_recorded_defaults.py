"""Defaults as they are recorded of extracted rows: what comes back is what was resolved."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from driver_ranking.errors import RequestError
from driver_ranking.features import Defaults
from driver_ranking.model_version import RegisteredModel
from driver_ranking.pipelines.batch.recorded_defaults import notes_of, recorded_defaults

MODEL = RegisteredModel(
    "m", "1", None, "", "all", ("rate", "city", "trips", "code"), "", ("double", "string", "long", "binary")
)
SCHEMA = pa.schema([])


def test_they_come_back_as_they_were() -> None:
    defaults = Defaults(np.array([0.1 + 0.2, np.nan]), {"city": "Zürich", "code": b"\x00\xff"})
    found = recorded_defaults(SCHEMA.with_metadata(notes_of(defaults, MODEL)), MODEL, "1")
    assert found is not None
    np.testing.assert_array_equal(found.numbers, defaults.numbers)
    assert found.texts == defaults.texts


def test_none_leave_no_trace() -> None:
    assert notes_of(None, MODEL) == {}
    assert recorded_defaults(SCHEMA, MODEL, "1") is None
    assert recorded_defaults(SCHEMA, MODEL, "2") is None


def test_those_of_another_version_are_not_taken() -> None:
    recorded = SCHEMA.with_metadata(notes_of(Defaults(np.array([0.5, np.nan])), MODEL))
    with pytest.raises(RequestError, match=r"extracted for version 2, .* for the model 'm' version 1\. Run the pip"):
        recorded_defaults(recorded, MODEL, "2")
    with pytest.raises(RequestError, match="were extracted for version 2"):
        recorded_defaults(SCHEMA, replace(MODEL, defaults=(("rate", 0.5),)), "2")
