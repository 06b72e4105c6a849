"""Which feature row an entity row gets: stated row by row, then held against a plain loop and Feast's own store."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa
import pytest
from feast import Field
from feast.types import Float32, Int32
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Sequence

    from columnar_support.asof_repos import AsofRepo
    from feast import FeatureView

HOUR = timedelta(hours=1)
CENTURY = timedelta(days=36_500)


class Stat(NamedTuple):
    """A feature row."""

    driver_id: int | None
    event_timestamp: datetime | None
    created: datetime | None
    trips: int | None


def by_the_rules(
    stats: Sequence[Stat],
    driver_id: int | None,
    moment: datetime | None,
    ttl: timedelta | None,
    *,
    by_created: bool = False,
) -> int | None:
    """Look for one entity row's feature the slow way."""
    best: tuple[Any, ...] | None = None
    trips = None
    for number, stat in enumerate(stats):
        if None in (driver_id, moment, stat.event_timestamp) or stat.driver_id != driver_id:
            continue
        assert moment is not None
        assert stat.event_timestamp is not None
        if stat.event_timestamp > moment or (ttl and stat.event_timestamp < moment - ttl):
            continue
        if by_created and (stat.created is None or stat.created > moment):
            continue
        rank = (stat.event_timestamp, stat.created is not None, stat.created or moment, number)
        if best is None or rank > best:
            best, trips = rank, stat.trips
    return trips


def requests(*rows: tuple[int | None, datetime | None]) -> pd.DataFrame:
    frame = pd.DataFrame({"request": range(len(rows))})
    frame["driver_id"] = pd.array([driver for driver, _ in rows], dtype="Int64")
    frame["event_timestamp"] = pd.to_datetime(pd.Series([moment for _, moment in rows], dtype=object), utc=True)
    return frame


# ---- Row by row ----------------------------------------------------------------------------------------------------


def test_an_exact_match_counts_and_a_later_row_does_not(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon
    asof_repo.apply(asof_repo.view(rows=[(1, noon(0), None, 10), (1, noon(5), None, 20)]))
    asked = requests((1, noon(-1)), (1, noon(0)), (1, noon(4)), (1, noon(5)))
    assert asof_repo.trips(asked) == [None, 10, 10, 20]


@pytest.mark.parametrize("ttl", [HOUR, timedelta(microseconds=1), CENTURY])
def test_a_row_as_old_as_the_ttl_counts_and_an_older_one_does_not(asof_repo: AsofRepo, ttl: timedelta) -> None:
    noon = asof_repo.noon()
    asof_repo.apply(asof_repo.view(rows=[(1, noon, None, 10)], ttl=ttl))
    beyond = timedelta(microseconds=1)
    assert asof_repo.trips(requests((1, noon + ttl - beyond), (1, noon + ttl), (1, noon + ttl + beyond))) == [
        10,
        10,
        None,
    ]


@pytest.mark.parametrize("ttl", [None, timedelta(0)])
def test_no_ttl_lets_every_age_pass(asof_repo: AsofRepo, ttl: timedelta | None) -> None:
    noon = asof_repo.noon()
    asof_repo.apply(asof_repo.view(rows=[(1, noon - 2 * CENTURY, None, 10)], ttl=ttl))
    assert asof_repo.trips(requests((1, noon))) == [10]


def test_of_equal_event_times_the_one_created_last_wins(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon
    asof_repo.apply(asof_repo.view(rows=[(1, noon(), noon(2), 10), (1, noon(), noon(3), 20), (1, noon(), noon(1), 30)]))
    assert asof_repo.trips(requests((1, noon(9)))) == [20]


def test_a_row_without_created_loses_against_any_with_it(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon
    asof_repo.apply(asof_repo.view(rows=[(1, noon(), None, 10), (1, noon(), noon(-999), 20), (1, noon(), None, 30)]))
    assert asof_repo.trips(requests((1, noon(9)))) == [20]


def test_of_fully_tied_rows_the_last_in_the_source_wins(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon
    tied = [(1, noon(), noon(1), trips) for trips in (30, 10, 20)]
    asof_repo.apply(asof_repo.view(rows=tied))
    assert asof_repo.trips(requests((1, noon(9)))) == [20]
    assert asof_repo.trips(requests((1, noon(9))), filter_by_created_timestamp=True) == [20]


def test_of_fully_tied_rows_in_several_files_the_last_file_wins(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon
    for name, trips in (("b", 20), ("a", 10)):
        asof_repo.write(f"tied/{name}.parquet", [(1, noon(), noon(1), trips)])
    asof_repo.apply(asof_repo.view(source=asof_repo.source(asof_repo.folder / "tied")))
    assert asof_repo.trips(requests((1, noon(9)))) == [20]


def test_a_null_feature_of_the_latest_row_is_the_answer(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon
    asof_repo.apply(asof_repo.view(rows=[(1, noon(0), None, 10), (1, noon(5), None, None)]))
    assert asof_repo.trips(requests((1, noon(9)))) == [None]


def test_equal_entity_rows_all_come_back(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon
    asof_repo.apply(asof_repo.view(rows=[(1, noon(), None, 10)]))
    assert asof_repo.trips(requests(*[(1, noon(9))] * 3, (2, noon(9)))) == [10, 10, 10, None]


def test_null_keys_and_null_times_match_nothing_and_keep_their_row(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon
    asof_repo.apply(asof_repo.view(rows=[(1, noon(), None, 10), (None, noon(), None, 20), (1, None, None, 30)]))
    assert asof_repo.trips(requests((None, noon(9)), (1, None), (1, noon(9)))) == [None, None, 10]


def test_late_data_does_not_leak_when_created_is_judged(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon
    rows = [
        (1, noon(0), noon(0), 10),
        (1, noon(10), noon(30), 20),  # late
        (1, noon(20), noon(20), 30),
        (1, noon(20), noon(40), 40),  # a correction
        (1, noon(25), None, 50),  # nobody knows since when
        (2, noon(0), noon(60), 60),
    ]
    asof_repo.apply(asof_repo.view(rows=rows))
    asked = requests(*[(1, noon(minute)) for minute in (15, 20, 30, 39, 40)], (2, noon(59)), (2, noon(60)))
    assert asof_repo.trips(asked, filter_by_created_timestamp=True) == [10, 30, 30, 30, 40, None, 60]
    assert asof_repo.trips(asked) == [20, 40, 50, 50, 50, 60, 60]


def test_judging_created_leaves_a_view_without_it_alone(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon
    path = asof_repo.write("stats.parquet", [(1, noon(), noon(60), 10)])
    asof_repo.apply(asof_repo.view(source=asof_repo.source(path, created_timestamp_column="")))
    assert asof_repo.trips(requests((1, noon(9))), filter_by_created_timestamp=True) == [10]


def test_naive_times_are_utc_and_aware_ones_are_converted(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon()
    naive = pa.table(
        {
            "driver_id": [1],
            "event_timestamp": pa.array([noon.replace(tzinfo=None)], pa.timestamp("ns")),
            "created": pa.array([noon], pa.timestamp("ms", "America/New_York")),
            "trips": pa.array([10], pa.int32()),
        },
    )
    asof_repo.apply(asof_repo.view(rows=naive))
    before = noon - timedelta(seconds=1)
    for zone in (ZoneInfo("Asia/Kolkata"), timezone(timedelta(hours=-9))):
        moments = [noon.astimezone(zone), before.astimezone(zone)]
        rows = asof_repo.features(pd.DataFrame({"driver_id": [1, 1], "event_timestamp": moments}))
        assert [(row["event_timestamp"], row["trips"]) for row in rows] == [(noon, 10), (before, None)]
    moments = [noon.replace(tzinfo=None), before.replace(tzinfo=None)]
    assert asof_repo.trips(pd.DataFrame({"driver_id": [1, 1], "event_timestamp": moments})) == [10, None]


def test_times_of_several_zones_in_one_column_are_instants(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon()
    asof_repo.apply(asof_repo.view(rows=[(1, noon, None, 10)]))
    moments = [noon.astimezone(ZoneInfo("Asia/Kolkata")), (noon - HOUR).astimezone(ZoneInfo("Europe/Berlin"))]
    asked = pd.DataFrame({"driver_id": [1, 1], "event_timestamp": pd.Series(moments, dtype=object)})
    assert asof_repo.trips(asked) == [10, None]


def test_keys_of_other_integer_types_match_as_values(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon()
    asof_repo.apply(asof_repo.view(rows=[(1, noon, None, 10), (200, noon, None, 20)]))
    for kind in (pa.int32(), pa.uint8(), pa.uint64(), pa.float64(), pa.decimal128(20, 0)):
        asked = pa.table({"driver_id": pa.array([200, 1], pa.int64()).cast(kind), "event_timestamp": [noon, noon]})
        table = asof_repo.job(asked).to_arrow()
        assert table["trips"].to_pylist() == [20, 10]
        assert table.schema.field("driver_id").type == kind


def test_features_keep_their_arrow_types_with_nulls(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon()
    kinds = {
        "i": (pa.int32(), 7),
        "f": (pa.float32(), 0.5),
        "s": (pa.string(), "a"),
        "b": (pa.bool_(), True),
        "n": (pa.list_(pa.int32()), [1, None]),
        "t": (pa.timestamp("us", "UTC"), noon),
    }
    columns = {name: pa.array([value, None], kind) for name, (kind, value) in kinds.items()}
    table = pa.table({"driver_id": [1, 2], "event_timestamp": [noon, noon], **columns})
    path = asof_repo.write("kinds.parquet", table)
    schema = [Field(name=name, dtype=Float32) for name in kinds]
    source = asof_repo.source(path, created_timestamp_column="")
    asof_repo.apply(asof_repo.view("kinds", source=source, schema=schema))
    asked = requests((1, noon), (2, noon), (3, noon))
    got = asof_repo.job(asked, [f"kinds:{name}" for name in kinds]).to_arrow()
    for name, (kind, value) in kinds.items():
        assert got[name].to_pylist() == [value, None, None]
        assert got.schema.field(name).type.equals(kind) or pa.types.is_list(kind)
    assert got.schema.field("n").type.value_type == pa.int32()
    assert got.schema.field("event_timestamp").type == pa.timestamp("us", "UTC")


# ---- Several views -------------------------------------------------------------------------------------------------


def test_each_view_is_joined_by_its_own_keys_ttl_and_times(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon
    drivers = asof_repo.view(rows=[(1, noon(0), None, 10), (2, noon(5), None, 20)], ttl=HOUR)
    zones = pa.table({"zone": ["a", "a"], "ts": [noon(1), noon(9)], "x": pa.array([1, 2], pa.int32())})
    zone = asof_repo.entity("zone", "zone")
    source = asof_repo.source(
        asof_repo.write("zones.parquet", zones), timestamp_field="ts", created_timestamp_column=""
    )
    zone_view = asof_repo.view("zones", source=source, entities=[zone], schema=[Field(name="x", dtype=Int32)])
    asof_repo.apply(zone, drivers, zone_view)
    asked = pd.DataFrame(
        {"zone": ["a", "b", "a"], "driver_id": [1, 2, 1], "event_timestamp": [noon(5), noon(5), noon(61)]},
    )
    rows = asof_repo.features(asked, ("zones:x", "stats:trips"))
    assert [tuple(row.values())[3:] for row in rows] == [(1, 10), (None, 20), (2, None)]
    assert list(rows[0]) == ["zone", "driver_id", "event_timestamp", "x", "trips"]


# ---- Random histories, against the loop and against Feast's own store ----------------------------------------------

VIEWS: dict[str, timedelta | None] = {"no_ttl": None, "short": timedelta(minutes=3), "century": CENTURY}


@pytest.fixture(scope="module")
def histories(shared_asof_repo: AsofRepo) -> AsofRepo:
    """A repo with three views of one source that differ in ttl, and one of another source without `created`."""
    shared_asof_repo.write("history.parquet", [])
    shared_asof_repo.write("other.parquet", [])
    source = shared_asof_repo.source(shared_asof_repo.folder / "history.parquet", name="history")
    other = shared_asof_repo.source(
        shared_asof_repo.folder / "other.parquet", name="other", created_timestamp_column=""
    )
    views: list[FeatureView] = [shared_asof_repo.view(name, source=source, ttl=ttl) for name, ttl in VIEWS.items()]
    shared_asof_repo.apply(*views, shared_asof_repo.view("plain", source=other, ttl=timedelta(minutes=2)))
    return shared_asof_repo


drivers = st.none() | st.integers(1, 3)
minutes = st.integers(0, 6)
zones = st.sampled_from(["UTC", "Asia/Kolkata", "America/New_York", None])


@st.composite
def stats(draw: st.DrawFn, *, unique: bool = False) -> list[Stat]:
    """Draw histories of few drivers and few moments, so that ties are common."""
    noon = datetime(2026, 1, 31, 12, tzinfo=ZoneInfo("UTC"))
    moment = st.none() | minutes.map(lambda minute: noon + timedelta(minutes=minute))
    rows = draw(st.lists(st.tuples(drivers, moment, moment), max_size=12, unique=unique))
    return [Stat(*row, draw(st.none() | st.just(number))) for number, row in enumerate(rows)]


@st.composite
def asked_rows(draw: st.DrawFn) -> pd.DataFrame:
    noon = datetime(2026, 1, 31, 12, tzinfo=ZoneInfo("UTC"))
    moment = st.none() | st.integers(-1, 9).map(lambda minute: noon + timedelta(minutes=minute))
    rows = draw(st.lists(st.tuples(drivers, moment), min_size=1, max_size=8))
    frame = requests(*rows)
    zone = draw(zones)
    frame["event_timestamp"] = frame["event_timestamp"].dt.tz_convert(zone)  # None: naive, in UTC
    return frame


def expected(frame: pd.DataFrame, rows: Sequence[Stat], ttl: timedelta | None, *, by_created: bool) -> list[int | None]:
    moments: list[Any] = pd.to_datetime(frame["event_timestamp"], utc=True).astype(object).tolist()
    return [
        by_the_rules(
            rows,
            None if pd.isna(driver) else int(driver),
            None if pd.isna(moment) else moment.to_pydatetime(),
            ttl,
            by_created=by_created,
        )
        for driver, moment in zip(frame["driver_id"], moments, strict=True)
    ]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=stats(), others=stats(), asked=asked_rows(), by_created=st.booleans())
def test_random_histories_give_what_the_loop_gives(
    histories: AsofRepo, rows: list[Stat], others: list[Stat], asked: pd.DataFrame, *, by_created: bool
) -> None:
    histories.write("history.parquet", rows)
    histories.write("other.parquet", others)
    refs = tuple(f"{view}:trips" for view in (*VIEWS, "plain"))
    got = histories.features(asked, refs, full_feature_names=True, filter_by_created_timestamp=by_created)
    assert [row["request"] for row in got] == list(range(len(asked)))
    for view, ttl in VIEWS.items():
        want = expected(asked, rows, ttl, by_created=by_created)
        assert [row[f"{view}__trips"] for row in got] == want
    plain = [stat._replace(created=None) for stat in others]
    want = expected(asked, plain, timedelta(minutes=2), by_created=False)
    assert [row["plain__trips"] for row in got] == want


def nulls_made_alike(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Forget how a null is written, and in which zone a time is: the oracle goes through pandas."""
    return [
        {
            name: None if pd.isna(value) else pd.Timestamp(value).tz_convert("UTC") if name.endswith("stamp") else value
            for name, value in row.items()
        }
        for row in rows
    ]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=stats(unique=True), asked=asked_rows(), by_created=st.booleans())
def test_random_histories_give_what_feasts_own_store_gives(
    histories: AsofRepo, rows: list[Stat], asked: pd.DataFrame, *, by_created: bool
) -> None:
    # Rows are unique, as the oracle's answer to a full tie is undefined.
    histories.write("history.parquet", rows)
    asked = asked.assign(event_timestamp=pd.to_datetime(asked["event_timestamp"], utc=True))
    refs = tuple(f"{view}:trips" for view in VIEWS)
    options = {"full_feature_names": True, "filter_by_created_timestamp": by_created}
    assert nulls_made_alike(histories.features(asked, refs, **options)) == nulls_made_alike(
        histories.oracle(asked, refs, **options)
    )
