"""A feature repo with other keys than the sample's, and with what only a request knows: by configuration alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.projects import digests, run_pipeline
from support.trips import FEATURES, NOON, PAIRS, WAITS, expected, request_rows, typed, write

from driver_ranking.errors import RequestError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore:.*experimental feature")
OUTPUT = "data/07_model_output/batch_output.parquet"


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet"])
def test_a_request_has_the_keys_and_columns_of_the_repo(trips: Path, tmp_path: Path, kind: str) -> None:
    rows = request_rows()
    run_pipeline(trips, "batch", {"batch_request": write(tmp_path / f"request.{kind}", rows)})
    output = pq.read_table(trips / OUTPUT)
    assert output.column_names == [*rows[0], *FEATURES, "score", "status", "model_version"]
    types = {name: output.schema.field(name).type for name in ("rider", "driver_id", "pickup_zone", "km", "night")}
    assert list(types.values()) == [pa.string(), pa.int64(), pa.string(), pa.float64(), pa.bool_()]
    for asked, row in zip(rows, output.to_pylist(), strict=True):
        features, score = expected(asked)
        assert (row["event_timestamp"], row["rider"], row["pickup_zone"]) == (
            NOON,
            asked["rider"],
            asked["pickup_zone"],
        )
        assert [row[name] for name in FEATURES] == features
        assert row["score"] == (score if score is None else pytest.approx(score, rel=1e-9))
        assert row["status"] == ("missing_features" if score is None else "ok")


FAULTS: dict[str, tuple[dict[str, str], str]] = {
    "no text key": ({"pickup_zone": ""}, "row 2: nothing in column 'pickup_zone' is not a text"),
    "no part of a composite key": ({"rider": ""}, "row 2: nothing in column 'rider' is not a text"),
    "no integer": ({"driver_id": "1.0"}, "row 2: '1.0' in column 'driver_id' is not an integer"),
    "an integer that would be another in 32 bits": (
        {"driver_id": "4294967297"},
        "row 2: '4294967297' in column 'driver_id' is not an integer of 32 bits",
    ),
    "no number": ({"km": "far"}, r"row 2: 'far' in column 'km' is not a number"),
    "a number that DuckDB takes": ({"km": "1_000"}, "row 2: '1_000' in column 'km' is not a number"),
    "a number that would be rounded": ({"km": "9007199254740993"}, "row 2: '9007199254740993' in column 'km'"),
    "a number that is too large": ({"km": "1e400"}, "row 2: '1e400' in column 'km' is not a number"),
    "no integer of the request": ({"stops": "1.5"}, "row 2: '1.5' in column 'stops' is not an integer"),
    "neither true nor false": ({"night": "0"}, "row 2: '0' in column 'night' is not true or false"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_faulty_value_is_refused_with_its_row_before_any_work(trips: Path, tmp_path: Path, case: str) -> None:
    value, message = FAULTS[case]
    rows = request_rows()
    rows[1] |= value
    before = digests(trips)
    with pytest.raises(RequestError, match=message) as refused:
        run_pipeline(trips, "batch", {"batch_request": write(tmp_path / "request.csv", rows)})
    assert str(refused.value).endswith("Nothing was written.")
    assert digests(trips) == before


def test_the_best_are_plotted_by_the_key_that_the_configuration_names(trips: Path, tmp_path: Path) -> None:
    request = {"batch_request": write(tmp_path / "request.csv", request_rows())}
    run_pipeline(trips, "batch", request)
    run_pipeline(trips, "reporting", {"top_drivers_key": "rider"})
    plot = json.loads((trips / "data/08_reporting/top_drivers.json").read_text(encoding="utf-8"))
    assert plot["data"][0]["x"] == ["7", "anna", "007"]
    with pytest.raises(RequestError, match=r"have no column 'zone'\. Name one that they have: `top_drivers_key`"):
        run_pipeline(trips, "reporting", {"top_drivers_key": "zone"})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rider", "lack the column 'rider', the join key of the feature view 'pairs'"),
        ("pickup_zone", "lack the column 'pickup_zone', the join key of the feature view 'pickup'"),
        ("km", "lack the column 'km', which the on-demand feature view 'fares' takes from the request"),
    ],
)
def test_a_column_that_is_not_there_is_named(trips: Path, tmp_path: Path, name: str, message: str) -> None:
    rows = [{key: value for key, value in row.items() if key != name} for row in request_rows()]
    with pytest.raises(RequestError, match=message):
        run_pipeline(trips, "batch", {"batch_request": write(tmp_path / "request.csv", rows)})


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("pickup_zone", [7], "the join key of the feature view 'pickup', it has to be a text"),
        ("driver_id", [1.0], "has the type DOUBLE; the join key of the feature view 'pairs', it has to be an integer"),
        ("night", [1], "what the on-demand feature view 'fares' takes from the request, it has to be true or false"),
    ],
)
def test_a_column_of_another_type_is_never_guessed_at(
    trips: Path, tmp_path: Path, name: str, values: list[Any], message: str
) -> None:
    table = typed(request_rows()[:1])
    table = table.set_column(table.schema.get_field_index(name), name, pa.array(values))
    pq.write_table(table, tmp_path / "request.parquet")
    with pytest.raises(RequestError, match=message):
        run_pipeline(trips, "batch", {"batch_request": str(tmp_path / "request.parquet")})


def test_orders_have_the_keys_and_columns_of_the_repo(trips: Path) -> None:
    rows = []
    for place in range(200):
        rider, driver = list(PAIRS)[place % len(PAIRS)]
        asked = {"event_timestamp": f"2026-06-15T12:{place // 60:02}:{place % 60:02}Z", "rider": rider}
        asked |= {"driver_id": str(driver), "pickup_zone": list(WAITS)[place % len(WAITS)], "km": str(place % 9)}
        rows.append(asked | {"stops": "1", "night": "true", "trip_completed": str(place % 2)})
    write(trips / "data/01_raw/driver_orders.csv", rows)
    run_pipeline(trips, "training")
    extracted = pq.read_table(trips / "data/05_model_input/training_rows.parquet").to_pylist()
    assert [[row[name] for name in FEATURES] for row in extracted] == [expected(row)[0] for row in rows]
    rows[3]["pickup_zone"] = ""
    write(trips / "data/01_raw/driver_orders.csv", rows)
    with pytest.raises(RequestError, match="row 4: nothing in column 'pickup_zone' is not a text"):
        run_pipeline(trips, "training")
