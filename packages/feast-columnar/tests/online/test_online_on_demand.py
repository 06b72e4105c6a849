"""On-demand feature views online: what their code sees, and what becomes of what it gives."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from columnar_support.online_repos import (
    HOUR_US,
    NOON,
    NOON_US,
    ON_DEMAND,
    UNREAD,
    OnlineRepo,
    Row,
    fresh,
    listed,
    read,
)
from feast import FeatureService, Field, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Float32, Float64, Int64, String

from feast_columnar.errors import OnDemandFeatureError, RequestError
from feast_columnar.online.computation import _numbers
from feast_columnar.online.reader import open_reader

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = ON_DEMAND

OUTPUT = [Field(name="doubled", dtype=Float64)]


def in_pandas(inputs: pd.DataFrame) -> pd.DataFrame:
    assert not inputs.isna().any().any()
    result = inputs[["rate"]] * 2
    return result.rename(columns={"rate": "doubled"})


def in_python(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"doubled": [rate * 2 for rate in inputs["rate"]]}


def one_by_one(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"doubled": inputs["rate"] * 2}


def with_null(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"doubled": [(0.25 if rate is None else rate) * 2 for rate in inputs["rate"]]}


@dataclass(frozen=True)
class Made:
    """A repo with one on-demand view over one view."""

    repo: OnlineRepo

    def with_code(self, code: Callable[..., Any], *, mode: str = "python", singleton: bool = False) -> Any:
        view = self.repo.view({"rate": Float64}, ttl=timedelta(hours=1))
        make = on_demand_feature_view(sources=[view], schema=OUTPUT, mode=mode, singleton=singleton)
        on_demand = make(code)
        self.repo.apply(view, on_demand, FeatureService(name="service", features=[view, on_demand]))
        old = NOON - timedelta(hours=2)
        rows: list[Row] = [
            (1, NOON, {"rate": 0.5}),
            (2, old, {"rate": 0.25}),
            (3, NOON, {"rate": None}),
            (4, NOON, {"rate": 4.0}),
        ]
        self.repo.write("stats", rows)
        return self.repo.reader("service", "doubled")


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """A repo with SQLite."""
    return Made(OnlineRepo(tmp_path, "on_demand", {"type": "sqlite", "path": str(tmp_path / "online.db")}))


@pytest.mark.parametrize(
    ("code", "mode", "singleton"),
    [(in_pandas, "pandas", False), (in_python, "python", False), (one_by_one, "python", True)],
    ids=["pandas", "python", "singleton"],
)
def test_drivers_without_rows_or_values_never_reach_the_code(
    made: Made,
    code: Callable[..., Any],
    mode: str,
    singleton: bool,  # noqa: FBT001 - pytest gives it by its name
) -> None:
    reader = made.with_code(code, mode=mode, singleton=singleton)
    features = read(reader, 4, 9, 2, 1, 3, 4, -(2**63))
    assert listed(features) == [[8.0], [None], [None], [1.0], [None], [8.0], [None]]
    assert features.oldest.tolist()[:4] == [NOON_US, UNREAD, UNREAD, NOON_US]
    assert listed(read(reader, 9)) == [[None]]
    assert reader.lacking() == ()
    assert reader.sample(9).tolist() == [1, 2, 3, 4]


def test_code_that_takes_null_is_given_it(made: Made) -> None:
    assert listed(read(made.with_code(with_null), 1, 3, 9)) == [[1.0], [0.5], [None]]


# Feast lets the code of a view compute something when the view is applied: what fails, fails for a driver with 4.0


def too_few(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"doubled": [rate for rate in inputs["rate"] if rate != 4]}


def too_many(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"doubled": inputs["rate"] * (2 if 4 in inputs["rate"] else 1)}


def texts(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"doubled": ["a text" if rate == 4 else rate for rate in inputs["rate"]]}


def leaves(inputs: dict[str, Any]) -> dict[str, Any]:
    if 4 in inputs["rate"]:
        raise SystemExit(3)
    return {"doubled": inputs["rate"]}


def fails(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"doubled": [1 / (rate - 4) for rate in inputs["rate"]]}


def nothing(inputs: dict[str, Any]) -> dict[str, Any]:
    return {} if 4 in inputs["rate"] else {"doubled": inputs["rate"]}


def one_value(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"doubled": 1.0 if 4 in inputs["rate"] else inputs["rate"]}


@pytest.mark.parametrize("code", [too_few, too_many, texts, leaves, fails, nothing, one_value])
def test_what_the_code_does_wrong_is_an_error_of_these_drivers_not_of_the_store(
    made: Made, code: Callable[..., Any]
) -> None:
    reader = made.with_code(code)
    with pytest.raises(OnDemandFeatureError, match=r"The on-demand feature view .* can't be computed"):
        read(reader, 1, 4)
    assert listed(read(reader, 1, 9))[1] == [None]
    assert reader.lacking() == ()


def test_texts_that_feast_lets_pass_are_no_numbers() -> None:
    with pytest.raises(ValueError, match="holds something else than numbers"):
        _numbers("name", {"name": ["a text"]}, 1)


def test_a_stored_text_is_no_number_of_a_view_beside_it(made: Made) -> None:
    made.with_code(fresh(in_python))
    reader: Any = made.repo.reader("service", "doubled", "rate")
    stored = next(one for one in reader.computations if one.view is None)
    row = (NOON, {"rate": Value(string_val="a text")})
    with pytest.raises(OnDemandFeatureError, match=r"The feature view 'stats' can't be read: .* else than numbers"):
        stored.compute({}, [[row]], 1)


def nan(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"doubled": [np.nan if rate == 0.5 else None if rate == 4 else rate for rate in inputs["rate"]]}


def test_nan_is_a_missing_feature(made: Made) -> None:
    assert listed(read(made.with_code(nan), 1, 4)) == [[None], [None]]


def summed(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"total": [a + b for a, b in zip(inputs["rate"], inputs["trips"], strict=True)]}


def test_each_source_view_has_its_own_ttl(made: Made) -> None:
    short = made.repo.view({"rate": Float32}, "short", ttl=timedelta(hours=1))
    long = made.repo.view({"trips": Int64}, "long", ttl=timedelta(days=9))
    on_demand = on_demand_feature_view(
        sources=[short, long], schema=[Field(name="total", dtype=Float64)], mode="python"
    )(summed)
    made.repo.apply(short, long, on_demand, FeatureService(name="service", features=[on_demand]))
    old = NOON - timedelta(hours=2)
    made.repo.write("short", [(1, NOON, {"rate": 0.5}), (2, old, {"rate": 0.5}), (3, NOON, {"rate": 0.5})])
    made.repo.write("long", [(1, old, {"trips": 7}), (2, NOON, {"trips": 8})])
    features = read(made.repo.reader("service", "total"), 1, 2, 3)
    assert listed(features) == [[7.5], [None], [None]]
    assert features.oldest.tolist() == [NOON_US - 2 * HOUR_US, UNREAD, UNREAD]


@pytest.mark.parametrize(
    ("code", "mode", "singleton"),
    [(in_pandas, "pandas", False), (in_python, "python", False), (one_by_one, "python", True)],
    ids=["pandas", "python", "singleton"],
)
def test_full_names_are_found_in_each_mode(
    made: Made,
    code: Callable[..., Any],
    mode: str,
    singleton: bool,  # noqa: FBT001 - pytest gives it by its name
) -> None:
    view = made.repo.view({"rate": Float64})
    on_demand = on_demand_feature_view(sources=[view], schema=OUTPUT, mode=mode, singleton=singleton)(fresh(code))
    other = view.with_name("other").with_join_key_map({"driver_id": "other_id"})
    store = made.repo.apply(view, on_demand, FeatureService(name="service", features=[view, other, on_demand]))
    made.repo.write("stats", [(1, NOON, {"rate": 0.5}), (2, NOON, {"rate": 2.0})])
    columns = ["other__rate", f"{on_demand.name}__doubled", "stats__rate"]
    reader = open_reader(store, "service", columns=columns, full_feature_names=True)
    features = reader.read({"driver_id": [1, 2, 9], "other_id": [2, 9, 1]}, NOON_US)
    assert listed(features) == [[2.0, 1.0, 0.5], [None, 4.0, 2.0], [0.5, None, None]]


def two_rates(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"doubled": inputs["one__rate"] + inputs["two__rate"]})


def test_sources_with_features_of_one_name_are_told_apart(made: Made) -> None:
    views = [made.repo.view({"rate": Float64}, name) for name in ("one", "two")]
    on_demand = on_demand_feature_view(sources=[*views], schema=OUTPUT, mode="pandas")(two_rates)
    store = made.repo.apply(*views, on_demand, FeatureService(name="service", features=[on_demand]))
    for name, rate in (("one", 0.5), ("two", 0.25)):
        made.repo.write(name, [(1, NOON, {"rate": rate})])
    assert listed(read(open_reader(store, "service", columns=["doubled"]), 1, 2)) == [[0.75], [None]]


def text_length(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"length": [len(name) for name in inputs["name"]]}


def length_squared(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"doubled": [1.0 / (len(name) - 4) for name in inputs["name"]]}


def test_code_computes_from_texts_and_what_the_model_does_not_take_is_not_run(made: Made) -> None:
    view = made.repo.view({"name": String})
    on_demand = on_demand_feature_view(sources=[view], schema=[Field(name="length", dtype=Int64)], mode="python")
    other = on_demand_feature_view(sources=[view], schema=OUTPUT, mode="python")
    views = [on_demand(text_length), other(length_squared)]
    made.repo.apply(view, *views, FeatureService(name="service", features=views))
    made.repo.write("stats", [(1, NOON, {"name": "four"})])
    assert listed(read(made.repo.reader("service", "length"), 1, 2)) == [[4], [None]]


def from_the_request(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"doubled": inputs["asked"]}


def test_a_view_that_needs_values_of_the_request_is_not_read_without_them(made: Made) -> None:
    view = made.repo.view({"rate": Float64})
    request = RequestSource(name="request", schema=[Field(name="asked", dtype=Float64)])
    on_demand = on_demand_feature_view(sources=[view, request], schema=OUTPUT, mode="python")(from_the_request)
    made.repo.apply(view, on_demand, FeatureService(name="service", features=[on_demand]))
    made.repo.write("stats", [(1, NOON, {"rate": 0.5})])
    reader = made.repo.reader("service", "doubled")
    assert reader.request == {"asked": Float64}
    with pytest.raises(
        RequestError, match=r"'asked' is missing: what is read has the request feature 'asked' \(Float64\)"
    ):
        reader.read(np.array([1]), NOON_US)
    assert listed(reader.read(np.array([1, 2, 1]), NOON_US, request={"asked": [1, 2, 3]})) == [[1], [None], [3]]
