"""The prediction log of a real server: what is answered, by whatever way it was asked, and what Feast reads of it."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc
import httpx
import pyarrow.parquet as pq
import pytest
from mlserver.grpc.dataplane_pb2 import ModelInferRequest
from mlserver.grpc.dataplane_pb2_grpc import GRPCInferenceServiceStub
from support.disks import mounted
from support.prediction_logs import frame_of, read_log
from support.servers import BIN, Serving, environment, serving

from driver_ranking.feature_store.repo import FeatureRepo
from driver_ranking.prediction_log.reader import files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pandas as pd

SERVICE, LOG = "driver_ranking_v1", "data/09_prediction_log"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
DRIVERS = [1003, 9001, 1001, 1003, 1002]


def by_rest(server: Serving, request_id: str, path: str = "/v2/models/driver_ranking/infer") -> tuple[Any, Any]:
    tensor = {"name": "driver_id", "shape": [len(DRIVERS)], "datatype": "INT64", "data": DRIVERS}
    body = {"id": request_id, "inputs": [tensor], "parameters": {"top_k": 2}}
    outputs = httpx.post(server.url + path, json=body, headers=TRACEPARENT).raise_for_status().json()["outputs"]
    return outputs[0]["data"], outputs[1]["data"]


def by_version(server: Serving, request_id: str) -> tuple[Any, Any]:
    return by_rest(server, request_id, "/v2/models/driver_ranking/versions/1/infer")


def by_grpc(server: Serving, request_id: str) -> tuple[Any, Any]:
    request = ModelInferRequest(model_name="driver_ranking", id=request_id)
    request.inputs.add(name="driver_id", datatype="INT64", shape=[5]).contents.int64_contents.extend(DRIVERS)
    request.parameters["top_k"].int64_param = 2
    with grpc.insecure_channel(server.grpc_address) as channel:
        metadata = tuple(TRACEPARENT.items())
        outputs = GRPCInferenceServiceStub(channel).ModelInfer(request, metadata=metadata).outputs
    return list(outputs[0].contents.int64_contents), list(outputs[1].contents.fp64_contents)


def by_plain(server: Serving, request_id: str) -> tuple[Any, Any]:
    body = {"request_id": request_id, "driver_ids": DRIVERS}
    answer = httpx.post(f"{server.url}/inference", json=body, headers=TRACEPARENT).raise_for_status().json()
    return [answer["prediction"]], None


def logged(project: Path, request_id: str, seconds: float = 20) -> pd.DataFrame:
    """Return the rows of a request, once they are there."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(ValueError):  # no rows at all
            rows = frame_of(read_log(project / LOG, SERVICE))
            if (rows["__request_id"] == request_id).any():
                return rows[rows["__request_id"] == request_id]
        time.sleep(0.1)
    pytest.fail(f"{request_id} is not in the log")


@pytest.mark.parametrize("ask", [by_rest, by_version, by_grpc, by_plain])
def test_what_was_answered_is_logged_however_it_was_asked(
    ask: Callable[[Serving, str], tuple[Any, Any]], server: Serving, served_project: Path
) -> None:
    request_id = str(uuid.uuid4())
    drivers, scores = ask(server, request_id)
    rows = logged(served_project, request_id)
    assert rows["driver_id"].tolist() == DRIVERS
    assert rows["__status"].tolist() == ["ok", "missing_features", "ok", "ok", "ok"]
    given = rows[rows["__given"]].sort_values("__rank")
    assert given["driver_id"].tolist() == drivers
    assert scores is None or given["__score"].tolist() == scores
    assert rows["__rank"].tolist() == [2, None, 1, None, 3]
    assert set(rows["__trace_id"]) == {TRACE}
    assert set(rows["__model_version"]) == {"1"}


def test_an_answer_that_nobody_can_be_ranked_is_logged_and_a_refusal_is_not(
    server: Serving, served_project: Path
) -> None:
    nobody, refused, last = (str(uuid.uuid4()) for _ in range(3))
    assert (
        httpx.post(f"{server.url}/inference", json={"request_id": nobody, "driver_ids": [9001, 9002]}).status_code
        == 422
    )
    assert httpx.post(f"{server.url}/inference", json={"request_id": refused, "driver_ids": []}).status_code == 400
    by_plain(server, last)
    logged(served_project, last)
    rows = logged(served_project, nobody)
    assert rows["__status"].tolist() == ["missing_features"] * 2
    assert not rows["__given"].any()
    assert not (frame_of(read_log(served_project / LOG, SERVICE))["__request_id"] == refused).any()


@pytest.fixture(scope="module")
def ended(served_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose server was told to end while it was asked by many at once, and what it has answered."""
    project = shutil.copytree(served_project, tmp_path_factory.mktemp("ended") / "a project")
    shutil.rmtree(project / LOG, ignore_errors=True)
    with serving(project) as server:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: by_plain(server, f"request {number}"), range(200)))
        server.process.terminate()
        assert server.process.wait(timeout=30) == 0
    wait_for(lambda: is_filed(project / LOG))
    return project


def test_sigterm_loses_nothing(ended: Path) -> None:
    rows = frame_of(read_log(ended / LOG, SERVICE))
    assert set(rows["__request_id"]) == {f"request {number}" for number in range(200)}
    assert len(rows) == 200 * len(DRIVERS)
    assert rows["__answer"].nunique() == 200


def test_feast_reads_the_log_and_watches_over_it(ended: Path) -> None:
    store = FeatureRepo(ended / "feature_repo").open()
    service, now = store.get_feature_service(SERVICE), datetime.now(tz=UTC)
    span = now - timedelta(days=1), now + timedelta(days=1)
    found = store._get_provider().retrieve_feature_service_logs(service, *span, store.config, store.registry)  # noqa: SLF001 - what validate_logged_features calls
    assert found.to_arrow().num_rows == 200 * len(DRIVERS)
    command = [str(BIN / "feast"), "-c", str(ended / "feature_repo"), "monitor", "run", "--source-type", "log"]
    days = ["--start-date", f"{span[0]:%Y-%m-%d}", "--end-date", f"{span[1]:%Y-%m-%d}"]
    command += ["--feature-service", SERVICE, "--granularity", "daily", *days]
    ran = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    metrics = pq.read_table(
        ended / "feature_repo/feast_monitoring/feast_monitoring_feature_metrics.parquet"
    ).to_pylist()
    of_log = {row["feature_name"]: row for row in metrics if row["data_source_type"] == "log"}
    assert of_log["acc_rate"]["row_count"] == 200 * len(DRIVERS)
    assert of_log["acc_rate"]["null_count"] == 200


def test_the_log_can_be_turned_off(served_project: Path, tmp_path: Path) -> None:
    variables = {
        "DRIVER_RANKING_PREDICTION_LOG_ENABLED": "false",
        "DRIVER_RANKING_PREDICTION_LOG_PATH": str(tmp_path / "log"),
    }
    with serving(served_project, variables, folder=tmp_path) as server:
        by_rest(server, "nobody writes it down")
        server.process.terminate()
        server.process.wait(timeout=30)
    assert not (tmp_path / "log").exists()


def test_a_place_that_can_not_be_written_ends_the_start(served_project: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    variables = {"DRIVER_RANKING_PREDICTION_LOG_PATH": str(tmp_path / "file")}
    with serving(served_project, variables, wait=False, folder=tmp_path) as server:
        assert server.process.wait(timeout=60) == 1
        said = server.log.read_text(encoding="utf-8")
    assert "The prediction log can't be written at" in said
    assert "Set prediction_log.path to a folder that can be written" in said


def test_a_full_disk_costs_no_request_and_what_was_held_back_is_written_later(
    served_project: Path, tmp_path: Path
) -> None:
    (tmp_path / "log").mkdir()
    variables = {"DRIVER_RANKING_PREDICTION_LOG_PATH": str(tmp_path / "log")}
    with mounted(tmp_path / "log", "size=1m"), serving(served_project, variables, folder=tmp_path) as server:
        by_plain(server, "before")
        ballast = tmp_path / "log/ballast"
        fill(ballast)
        for number in range(50):
            by_plain(server, f"full {number}")
        wait_for(lambda: metric(server, "write_errors_total") > 0)
        ballast.unlink()
        wait_for(lambda: metric(server, "rows_total") == 51 * len(DRIVERS))
        assert metric(server, "rows_dropped_total") == 0
        said = server.log.read_text(encoding="utf-8")
        server.process.terminate()
        server.process.wait(timeout=30)
        wait_for(lambda: is_filed(tmp_path / "log"))
        assert len(files(tmp_path / "log", SERVICE)) == 1
    told = re.findall(r"The prediction log can't be written: OSError: .*No space left on device(.*)", said)
    assert [one for one in told if not one] == [""], "once when it begins; then with a count, ever more seldom"


def is_filed(log: Path) -> bool:
    """Return whether nothing is in the spool: what makes files may go on for a moment when the server has ended."""
    return not [path for path in (log / ".spool").rglob("*") if path.is_file()]


def fill(file: Path) -> None:
    """Write to a file until the disk is full."""
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as ballast:
        while ballast.write(bytes(4096)):
            pass


def metric(server: Serving, name: str) -> float:
    lines = [
        line for line in server.metrics().splitlines() if line.startswith(f"driver_ranking_prediction_log_{name} ")
    ]
    return float(lines[0].split()[1])


def wait_for(holds: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it does not come to hold"
        time.sleep(0.1)
