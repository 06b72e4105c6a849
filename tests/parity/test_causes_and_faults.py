"""Parity tells why a served row differs from what is known now, and names what nothing explains."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from support.simulated_service import FEATURES, Row, Service, simulated

from driver_ranking.feature_store.repo import FeatureRepo
from driver_ranking.model import ModelRegistry, RegistryLocation
from driver_ranking.parity.answers import chunks
from driver_ranking.parity.comparing import Comparison
from driver_ranking.parity.report import report_of
from driver_ranking.prediction_log.reader import batches
from feast_columnar.ledger.entries import Outcome
from feast_columnar.ledger.settings import open_ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

BEGIN = datetime(2026, 6, 10, tzinfo=UTC)
SERVICE = "driver_ranking_v1"
pytestmark = pytest.mark.filterwarnings("ignore:.*experimental feature")


@pytest.fixture(scope="module")
def service(_trained_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Service]:
    """Make services, each of a project of its own."""

    def make(**options: Any) -> Service:
        skipped = shutil.ignore_patterns("09_prediction_log", "04_feature", "05_model_input", "07_model_output")
        project = shutil.copytree(_trained_once, tmp_path_factory.mktemp("simulated") / "a project", ignore=skipped)
        return simulated(project, since="2026-06-07", until="2026-06-14", **options)

    return make


def report(service: Service, *, rows_per_chunk: int = 1_000_000) -> dict[str, Any]:
    service.log.close(60)
    return compared(service, batches(service.project / "data/09_prediction_log", SERVICE), rows_per_chunk)


def compared(service: Service, rows: Iterable[pa.RecordBatch], rows_per_chunk: int = 1_000_000) -> dict[str, Any]:
    project = service.project
    store = FeatureRepo(project / "feature_repo").open()
    registry = ModelRegistry(RegistryLocation("driver_ranking", "champion", project / "data/06_models/mlflow"))
    comparison = Comparison(store, registry, open_ledger(store), BEGIN)
    return report_of(comparison.run(chunks(rows, rows_per_chunk)))


def live(service: Service, *, every: int = 1, span: int = 36, requests: int = 120, seed: int = 1) -> None:
    """Serve for some hours, materializing every so many hours, and ask at random moments."""
    rng = random.Random(seed)  # noqa: S311 - the same each time
    moments = sorted(rng.random() * span for _ in range(requests))
    due = 0
    for moment in moments:
        while due <= moment:
            service.bring(BEGIN + timedelta(hours=due))
            due += every
        ids = [rng.randint(1001, 1052) for _ in range(rng.randint(1, 30))]
        service.answer(ids, BEGIN + timedelta(hours=moment))


@pytest.mark.parametrize(("every", "overwrites"), [(1, True), (6, False)])
def test_late_and_corrected_data_is_no_fault(service: Callable[..., Service], every: int, overwrites: bool) -> None:  # noqa: FBT001 - a case
    served = service(overwrites=overwrites)
    live(served, every=every)
    found = report(served)
    assert (found["unexplained"], found["faults"]) == (0, {})
    causes = found["rows_by_cause"]["driver_stats"]
    assert causes["stale"] > 100
    assert causes["late"] > 20
    assert causes["unexplained"] == 0
    assert found["requests"] == 120
    for feature in found["features"].values():
        assert feature["as_of_the_materialization"]["equal"] == found["rows"]
        different = found["rows"] - feature["as_of_the_read"]["equal"]
        assert sum(feature["causes"].values()) == different > 0


def test_a_report_does_not_depend_on_the_chunks(service: Callable[..., Service]) -> None:
    served = service()
    live(served, every=6, requests=40)
    whole, parts = (json.dumps(report(served, rows_per_chunk=rows)) for rows in (1_000_000, 50))
    assert json.loads(whole, parse_float=rounded) == json.loads(parts, parse_float=rounded)


def rounded(number: str) -> str:
    return f"{float(number):.9g}"


def test_a_correction_is_told_from_a_later_event(service: Callable[..., Service]) -> None:
    served = service()
    mine = served.source["driver_id"] == 1003
    last = served.source[mine & (served.source["created"] <= BEGIN)].sort_values("datetime").iloc[-1:]
    later = last.assign(created=BEGIN + timedelta(minutes=5), conv_rate=last["conv_rate"] / 2)
    later = later.astype(served.source.dtypes.to_dict())
    earlier = served.source[~mine | (served.source["created"] <= BEGIN)]  # nothing happens after it
    pd.concat([earlier, later]).to_parquet(served.project / "data/01_raw/driver_stats.parquet", index=False)
    served.bring(BEGIN)
    served.answer([1003], BEGIN + timedelta(seconds=50))
    found = report(served)
    assert found["unexplained"] == 0
    assert found["features"]["conv_rate"]["causes"]["corrected"] == 1
    assert found["features"]["acc_rate"]["causes"]["corrected"] == 0


def test_restarts_a_lost_store_and_killed_materializations_are_no_fault(service: Callable[..., Service]) -> None:
    served = service(ttl=timedelta(hours=5))
    rng = random.Random(3)  # noqa: S311 - the same each time

    def ask(hour: float) -> None:
        served.answer([rng.randint(1001, 1052) for _ in range(20)], BEGIN + timedelta(hours=hour))

    served.bring(BEGIN)
    ask(0.5)
    served.bring(BEGIN + timedelta(hours=1), seconds=2000)  # asked while it goes on
    ask(1.2)
    served.bring(BEGIN + timedelta(hours=2), outcome=Outcome.BEGUN, share=0.4)
    ask(2.5)
    served.bring(BEGIN + timedelta(hours=3), outcome=Outcome.FAILED, share=0.6)
    ask(3.5)
    served.bring(BEGIN + timedelta(hours=4))
    ask(4.5)
    served.lose()
    ask(5.5)
    ask(5.8)
    served.bring(BEGIN + timedelta(hours=6))
    ask(6.5)
    ask(13.0)  # nothing is young enough
    found = report(served)
    assert (found["unexplained"], found["faults"]) == (0, {})
    causes = found["rows_by_cause"]["driver_stats"]
    assert causes["emptied"] > 20
    assert causes["expired"] > 10


def wrong_rows(service: Service) -> dict[str, tuple[int, Row | None]]:
    """Return by the kind of fault which driver's row is wrong in the store, and how."""
    online = service.online
    (conv_rate, acc_rate, trips) = online[1003].features
    history = service.source[service.source["driver_id"] == 1005].sort_values("datetime").iloc[3]
    old = tuple(float(history[name]) for name in FEATURES)
    return {
        "value": (1001, replace(online[1001], features=(0.875, *online[1001].features[1:]))),
        "null_value": (1002, replace(online[1002], features=(float("nan"), *online[1002].features[1:]))),
        "swapped_features": (1003, replace(online[1003], features=(acc_rate, conv_rate, trips))),
        "other_key": (1004, online[1008]),
        "outdated_row": (1005, Row(int(history["datetime"].value // 1000), old)),
        "unrecorded_row": (1010, replace(online[1010], time=online[1010].time + 60_000_000)),
        "missing_online": (1012, None),
        "missing_offline": (9001, Row(online[1001].time, (0.5, 0.25, 11.0))),
    }


def test_each_faulty_row_of_the_store_is_named(service: Callable[..., Service]) -> None:
    served = service()
    served.bring(BEGIN)
    faults = wrong_rows(served)
    spoilt: dict[int, Row | None] = {**served.online, **dict(faults.values())}
    wrong = {driver: row for driver, row in spoilt.items() if row is not None}
    drivers = [driver for driver, _ in faults.values()]
    for number in range(10):
        moment = BEGIN + timedelta(hours=1, minutes=number)
        served.answer([*drivers, 1008, 1014], moment, store=wrong if number >= 5 else served.online)
    found = report(served)
    assert {name: one["rows"] for name, one in found["faults"].items()} == dict.fromkeys(faults, 5)
    assert found["unexplained"] == 5 * len(faults)
    for kind, (driver, _) in faults.items():
        example = found["faults"][kind]["examples"][0]
        assert example["driver_id"] == driver
        assert example["views"]["driver_stats"]["read"] != example["views"]["driver_stats"]["brought"]


@pytest.mark.parametrize(("ours", "kind"), [(9, "ttl_too_long"), (1, "ttl_too_short")])
def test_a_service_with_another_ttl_is_named(service: Callable[..., Service], ours: int, kind: str) -> None:
    served = service(ttl=timedelta(hours=4))
    served.ttl = ours * 3_600_000_000
    served.bring(BEGIN)
    for hour in (2, 8):
        served.answer([1001, 1002, 1003], BEGIN + timedelta(hours=hour))
    found = report(served)
    assert list(found["faults"]) == [kind]
    assert found["unexplained"] >= 2


def put(rows: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return rows.set_column(rows.column_names.index(name), name, values.cast(rows[name].type))


def second(rows: pa.Table) -> pa.Array:
    """Return which rows are the second of an answer."""
    return pc.equal(rows["__position"], 1)


def other_score(rows: pa.Table) -> pa.Table:
    return put(rows, "__score", pc.if_else(second(rows), pc.add(rows["__score"], 1e-4), rows["__score"]))


def other_order(rows: pa.Table) -> pa.Table:
    swapped = pc.if_else(pc.equal(rows["__rank"], 2), 3, pc.if_else(pc.equal(rows["__rank"], 3), 2, rows["__rank"]))
    return put(rows, "__rank", swapped)


def other_given(rows: pa.Table) -> pa.Table:
    return put(rows, "__given", pc.equal(rows["__rank"], 2))


def other_status(rows: pa.Table) -> pa.Table:
    return put(rows, "__status", pc.if_else(second(rows), "defaulted", rows["__status"]))


def without_second(rows: pa.Table) -> pa.Table:
    return rows.filter(pc.invert(second(rows)))


def twice(rows: pa.Table) -> pa.Table:
    return pa.concat_tables([rows, rows])


def excluded(rows: pa.Table) -> pa.Table:
    rows = put(rows, "__status", pc.if_else(second(rows), "missing_features", rows["__status"]))
    return put(rows, "__score", pc.if_else(second(rows), pa.scalar(None, pa.float64()), rows["__score"]))


LOG_FAULTS: dict[str, tuple[Callable[[pa.Table], pa.Table], set[str]]] = {
    "another score": (other_score, {"score"}),
    "another order": (other_order, {"order"}),
    "another one given": (other_given, {"given"}),
    "another status": (other_status, {"status"}),
    "excluded without a reason": (excluded, {"status", "order"}),
    "rows left out": (without_second, {"missing_rows", "order"}),
    "rows twice": (twice, {"repeated_rows"}),
}


@pytest.fixture(scope="module")
def right(service: Callable[..., Service]) -> tuple[Service, pa.Table]:
    """A service that has answered rightly, and the rows of its log."""
    served = service()
    served.bring(BEGIN)
    for minute in range(5):
        served.answer([1001, 1003, 1004, 1005], BEGIN + timedelta(hours=1, minutes=minute))
    served.log.close(60)
    return served, pa.Table.from_batches(list(batches(served.project / "data/09_prediction_log", SERVICE)))


@pytest.mark.parametrize("kind", LOG_FAULTS)
def test_a_fault_of_the_log_or_of_the_rules_is_named(right: tuple[Service, pa.Table], kind: str) -> None:
    change, expected = LOG_FAULTS[kind]
    served, rows = right
    found = compared(served, change(rows).to_batches())
    assert set(found["faults"]) == expected
    assert found["unexplained"] > 0
