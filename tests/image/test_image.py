"""The image: what is in it, and that its programs work as its own user on read-only files."""

from __future__ import annotations

import importlib.util
import json
import time
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
from support.image import Container

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from support.image import Image, Network

pytestmark = pytest.mark.slow

REQUEST = {"inputs": [{"name": "driver_id", "shape": [2], "datatype": "INT64", "data": [1001, 9001]}]}


def test_it_says_how_it_is_run(image: Image) -> None:
    assert image.config["Cmd"] == ["mlserver", "start", "."], "exec form: signals reach the server"
    assert not image.config["Entrypoint"], "any other command takes its place"
    assert image.config["User"] == "10001:10001"
    assert image.config["WorkingDir"] == "/app"
    labels = image.config["Labels"]
    assert labels["org.opencontainers.image.title"] == "driver_ranking"
    assert len(labels["org.opencontainers.image.revision"]) == 40


def test_it_has_no_compiler_no_pip_no_cache_and_no_secret(image: Image) -> None:
    programs = {path.name for folder in ("usr/bin", "opt/venv/bin") for path in (image.files / folder).iterdir()}
    assert {"python3", "kedro", "mlserver", "mlflow", "feast"} <= programs
    assert not [name for name in programs if name.startswith(("gcc", "g++", "cc1", "clang", "pip", "make", "x86_64-"))]
    assert not (image.files / "opt/venv/lib/python3.11/site-packages/pip").exists()
    assert not [path for path in image.files.rglob("*") if path.name in {"pip.conf", "certificates.pem"}]
    assert not list(image.files.glob("root/.cache")), "pip's cache"
    assert not (image.files / "build").exists()


def test_it_has_what_a_run_needs_of_the_project_and_nothing_else(image: Image) -> None:
    app = image.files / "app"
    files = ["feature_repo", "model-settings.json", "packages", "pyproject.toml", "settings.json", "src"]
    assert sorted(path.name for path in app.iterdir()) == [".telemetry", "conf", "data", *files]
    assert [path.name for path in (app / "data").iterdir()] == ["01_raw"]
    assert [path.name for path in (app / "packages/feast-columnar").iterdir()] == ["src"]
    assert not [path for path in (app / "conf/local").iterdir() if path.name != ".gitkeep"]


def test_all_modules_are_compiled_and_never_compared_with_their_source(image: Image) -> None:
    site = image.files / "opt/venv/lib/python3.11/site-packages"
    ours = [image.files / folder for folder in ("app/src/driver_ranking", "app/packages/feast-columnar/src")]
    for folder in (*ours, site / "feast", site / "mlflow", site / "mlserver"):
        sources = [path for path in folder.rglob("*.py") if "templates" not in path.parts]
        assert len(sources) > 10
        for source in sources:
            compiled = importlib.util.cache_from_source(str(source))
            with open(compiled, "rb") as file:  # noqa: PTH123 - a name, of many
                assert file.read(8)[4:] == b"\x01\0\0\0", f"{source}: unchecked, by its hash"
    views = importlib.util.cache_from_source(str(image.files / "app/feature_repo/feature_views.py"))
    with open(views, "rb") as file:  # noqa: PTH123 - likewise
        assert file.read(8)[4:] == b"\x03\0\0\0", "compared, by its content: users put theirs over it"


def kedro(container: Container, pipeline: str) -> subprocess.CompletedProcess[str]:
    done = container.run("kedro", "run", "--pipelines", pipeline)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def until_healthy(container: Container, server: subprocess.Popen[bytes], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while (checked := container.run(*container.image.healthcheck)).returncode:
        assert server.poll() is None
        assert time.monotonic() < end, checked.stderr
        time.sleep(0.5)


def test_batch_and_the_server_work_on_the_sample(image: Image, network: Network, tmp_path: Path) -> None:
    data = image.new_volume(tmp_path / "data", "/app/data")
    container = Container(image, network, {"/app/data": data})
    who = container.run("sh", "-c", "id -u; touch /app/here /opt/venv/here; touch /tmp/here && echo but /tmp")
    assert who.stdout.split("\n")[:2] == ["10001", "but /tmp"]
    assert who.stderr.count("Read-only file system") == 2

    kedro(container, "training")
    kedro(container, "materialize")
    scored = kedro(container, "batch")
    assert "Scored 14 rows with the model 'driver_ranking' version 1: 11 ok, 3 missing_features." in scored.stderr
    rows = pq.read_table(data / "07_model_output/batch_output.parquet").to_pylist()
    expected = next(row["score"] for row in rows if row["driver_id"] == 1001)

    unhealthy = container.run(*image.healthcheck)
    assert unhealthy.returncode == 1
    assert "does not answer" in unhealthy.stderr
    with container.start(tmp_path / "server.log") as server:
        until_healthy(container, server)
        answer = network.post("http://localhost:8172/v2/models/driver_ranking/infer", REQUEST)
        assert answer["outputs"][0]["data"] == [1001]
        assert answer["outputs"][1]["data"] == [pytest.approx(expected, abs=1e-12)]
        assert json.loads(network.get("http://localhost:8172/v2/health/ready")) == {"ready": True}
        server.terminate()
        assert server.wait(timeout=20) == 0
