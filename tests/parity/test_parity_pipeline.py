"""The pipeline `parity` and the program `driver_ranking replay` on a project with a log."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import mlflow
import pytest
from click.testing import CliRunner
from support.projects import run_pipeline
from support.simulated_service import Row, simulated

from driver_ranking.errors import ModelError, ParityError, PredictionLogError, RequestError
from driver_ranking.model import ModelRegistry, RegistryLocation
from driver_ranking.replay.command import UNLIKE, command

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

BEGIN = datetime(2026, 6, 10, tzinfo=UTC)
pytestmark = pytest.mark.filterwarnings("ignore:.*experimental feature")


@pytest.fixture(scope="module")
def answered(_trained_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose service has answered for some hours, the last time of a spoilt row; not to be changed."""
    skipped = shutil.ignore_patterns("09_prediction_log", "04_feature", "05_model_input", "07_model_output")
    project = shutil.copytree(_trained_once, tmp_path_factory.mktemp("answered") / "a project", ignore=skipped)
    service = simulated(project, since="2026-06-08", until="2026-06-12")
    for hour in range(4):
        service.bring(BEGIN + timedelta(hours=hour))
        for minute in range(40, 45):
            service.answer([1001, 1002, 1003, 9001, 1002], BEGIN + timedelta(hours=hour, minutes=minute))
    spoilt = service.online | {1002: Row(service.online[1002].time, (0.875, 0.125, 3.0))}
    service.answer([1001, 1002, 1003], BEGIN + timedelta(hours=4), store=spoilt)
    service.log.close(60)
    return project


@pytest.fixture
def project(answered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = shutil.copytree(answered, tmp_path / "a project")
    monkeypatch.chdir(folder)
    return folder


def read(project: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((project / f"data/08_reporting/{name}.json").read_text(encoding="utf-8"))
    return found


def test_a_fault_ends_the_run_once_all_is_written_and_tracked(project: Path) -> None:
    with pytest.raises(ParityError, match=r"1 rows that nothing explains \(value: 1\), and parity.max_unexplained"):
        run_pipeline(project, "parity", {"since": "2026-06-10"})
    report = read(project, "parity")
    assert (report["rows"], report["requests"], report["unexplained"]) == (103, 21, 1)
    assert report["faults"]["value"]["examples"][0]["driver_id"] == 1002
    for name in ("causes", "decisions", "freshness"):
        assert "data" in read(project, f"parity_{name}")
    [run] = mlflow.search_runs(
        search_all_experiments=True, filter_string="tags.mlflow.runName = 'parity'", output_format="list"
    )
    assert run.data.metrics["unexplained"] == 1
    assert run.data.metrics == pytest.approx(read(project, "parity_metrics"))


def test_a_span_without_the_fault_passes_and_a_limit_of_decisions_is_held(project: Path) -> None:
    span = {"since": "2026-06-10", "until": "2026-06-10T03:50"}
    run_pipeline(project, "parity", span)
    report = read(project, "parity")
    assert (report["requests"], report["unexplained"]) == (20, 0)
    assert report["features"]["conv_rate"]["as_of_the_read"]["mismatch"] > 0
    with pytest.raises(ParityError, match="answers that would have had another best"):
        run_pipeline(project, "parity", {**span, "parity": {"max_decisions_changed": -1}})


@pytest.mark.parametrize(
    ("params", "error", "said"),
    [
        ({"since": "2027-01-01"}, PredictionLogError, "has no answers of this span"),
        ({"since": "yesterday"}, RequestError, "since=yesterday is not a time such as"),
        ({"sample": 0}, RequestError, "sample=0 is not a number of keys"),
    ],
)
def test_what_can_not_be_compared_is_refused(
    project: Path, params: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        run_pipeline(project, "parity", params)
    assert not (project / "data/08_reporting/parity.json").exists()


def replayed(*arguments: str) -> Result:
    return CliRunner().invoke(command, list(arguments))


def test_an_answer_is_given_again_to_the_last_bit(project: Path) -> None:
    del project
    found = replayed("request-7")
    assert (found.exit_code, found.output.splitlines()[-1]) == (0, "The same, to the last bit.")
    told = json.loads(replayed("request-7", "--json").output)
    assert [one["candidate"] for one in told["candidates"]] == [1001, 1002, 1003, 9001, 1002]
    assert all(one["score"] == one["replayed_score"] for one in told["candidates"])


def test_an_answer_that_is_not_the_models_is_told_by_the_exit_code(project: Path) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    for file in (project / "data/09_prediction_log").rglob("*.parquet"):
        with pq.ParquetFile(file) as opened:
            rows, said = opened.read(), opened.metadata.metadata
        place = rows.column_names.index("__score")
        rows = rows.set_column(place, "__score", pc.multiply(rows["__score"], pa.scalar(1 + 2**-50)))
        with pq.ParquetWriter(file, rows.schema, store_schema=False) as writer:
            writer.write_table(rows.replace_schema_metadata({}))
            writer.add_key_value_metadata(said)
    found = replayed("request-7")
    assert (found.exit_code, "Not the same." in found.output) == (UNLIKE, True)


def test_another_version_and_an_unknown_answer(project: Path) -> None:
    del project
    assert replayed("request-7", "--version", "1").exit_code == 0
    unknown = replayed("request-7", "--version", "99")
    assert (unknown.exit_code, "has no version '99'" in unknown.output) == (1, True)
    nothing = replayed("never asked")
    assert (nothing.exit_code, "has no answer to a request 'never asked'" in nothing.output) == (1, True)


def test_a_registry_that_is_not_there_is_told(tmp_path: Path) -> None:
    registry = ModelRegistry(RegistryLocation("driver_ranking", "champion", tmp_path, tracking_uri="nowhere://at-all"))
    with pytest.raises(ModelError, match="The model registry can't be used"):
        registry.track("parity", {}, {}, {})
