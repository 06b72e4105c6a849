"""What is measured: a project with its features in a Redis, and MLServer processes on the same settings."""

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil  # type: ignore[import-untyped]
import pyarrow as pa
import pyarrow.parquet as pq
from bench_start import kedro_run
from borrowed import copy_project, free_ports, stop
from measure import ROOT, measure
from numpy.typing import NDArray
from online.requests_for import Asked

from driver_ranking.sample_data import DRIVER_STATS_SCHEMA, FIRST_DRIVER_ID

if TYPE_CHECKING:
    from driver_ranking.model import RegistryLocation

INT64_IDS = "int64 ids"
OURS_ALONE = ("model_repository_implementation", "model_repository_implementation_args")
KINDS = {
    "ours": {},
    "plain": {},
    "no-op": {},
    INT64_IDS: {},
    "2 processes": {"DRIVER_RANKING_REUSE_PORT": "true"},
    "no log": {"DRIVER_RANKING_LOG_REQUESTS": "false"},
    "no prediction log": {"DRIVER_RANKING_PREDICTION_LOG_ENABLED": "false"},
}
"""The servers by name, with more of the environment; those that aren't plain or no-op are ours.

`INT64_IDS` is ours too, with the sample, beside what has other inputs.
"""


@dataclass(frozen=True)
class Served:
    """A project that can be served.

    Attributes:
        project: Its folder.
        variables: The environment of what reads its online store.
        service: The feature service of its champion.
        plain: The runtime that stands against ours.
    """

    project: Path
    variables: Mapping[str, str]
    service: str = "driver_ranking_v1"
    plain: str = "PlainRuntime"


@dataclass(frozen=True, kw_only=True)
class World(Served):
    """One of which the right answers are known.

    Attributes:
        known: The candidates that have features ``[n]``, int64 or objects that are texts.
        request: Makes a request of some candidates.
        scores: What the champion makes of the features that were written, float64 ``[n]`` of a request.
    """

    known: NDArray[Any]
    request: Callable[[NDArray[Any]], Asked]
    scores: Callable[[Asked], NDArray[np.float64]]

    def best(self, asked: Asked) -> tuple[Any, float]:
        """Return the right answer: the candidate with the highest score, and the score."""
        score = self.scores(asked)
        place = int(np.argmax(score))
        return next(iter(asked.values()))[place], float(score[place])


def make_world(folder: Path, address: str, drivers: int) -> World:
    """Train on the sample, then materialize the features of many drivers into a Redis."""
    project = copy_project(folder / "project")
    measure(kedro_run("training"), project)
    driver_id, values = _write_features(project / "data/01_raw/driver_stats.parquet", drivers)
    variables = materialized(project, address)
    score = champion_scores(project, ("conv_rate", "acc_rate", "avg_daily_trips"))(values)
    return World(
        project,
        variables,
        known=driver_id,
        request=lambda ids: {"driver_id": ids},
        scores=lambda asked: score[np.searchsorted(driver_id, asked["driver_id"])],
    )


def materialized(project: Path, address: str) -> dict[str, str]:
    """Materialize a project's features into a Redis, and return the environment of what reads it."""
    variables = {
        "FEAST_FS_YAML_FILE_PATH": str(project / "feature_repo/feature_store_redis.yaml"),
        "REDIS_ADDRESS": address,
        "REDIS_PASSWORD": "",
        "DO_NOT_TRACK": "true",
    }
    measure(kedro_run("materialize"), project, variables)
    return variables


def _write_features(path: Path, drivers: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Write one row a driver with nothing missing: the plain runtime would fail, as the model takes no null."""
    generator = np.random.default_rng(5)
    driver_id = np.arange(FIRST_DRIVER_ID, FIRST_DRIVER_ID + drivers)
    rates = generator.random((2, drivers), dtype=np.float32)
    trips = generator.integers(0, 300, drivers, dtype=np.int32)
    moment = pa.array([datetime(2026, 6, 14, tzinfo=UTC)] * drivers).cast(DRIVER_STATS_SCHEMA.field("datetime").type)
    pq.write_table(pa.table([moment, driver_id, *rates, trips, moment], schema=DRIVER_STATS_SCHEMA), path)
    return driver_id, np.column_stack([*rates, trips]).astype(np.float64)


def champion_scores(project: Path, columns: Sequence[str]) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Return what the champion makes of rows, float64 ``[n, k]``, whose columns have these names."""
    from driver_ranking.model import ModelRegistry

    registry = ModelRegistry(location(project))
    model = registry.resolve()
    predictor, order = registry.load(model), [columns.index(name) for name in model.feature_names]
    return lambda values: predictor.predict(values[:, order])


def location(project: Path) -> "RegistryLocation":
    """Return where a project's champion is."""
    from driver_ranking.model import RegistryLocation

    return RegistryLocation("driver_ranking", "champion", project / "data/06_models/mlflow")


@dataclass(frozen=True)
class Server:
    """A running MLServer.

    Attributes:
        name: Its name in the tables.
        process: Its first process.
        http_port: Port of REST.
        grpc_port: Port of gRPC.
        log: File with what it prints.
        others: Its other processes, which listen on the same ports.
    """

    name: str
    process: psutil.Process
    http_port: int
    grpc_port: int
    log: Path
    others: tuple[psutil.Process, ...] = ()

    @property
    def url(self) -> str:
        """Return where REST requests are posted to."""
        return f"http://127.0.0.1:{self.http_port}/v2/models/driver_ranking/infer"

    @property
    def address(self) -> str:
        """Return where gRPC is."""
        return f"127.0.0.1:{self.grpc_port}"

    def family(self) -> list[psutil.Process]:
        """Return the processes and their workers."""
        return [one for first in (self.process, *self.others) for one in (first, *first.children(recursive=True))]

    def cpu_seconds(self) -> float:
        """Return the processor time that it has used, user and system."""
        return sum(sum(one.cpu_times()[:2]) for one in self.family())

    def resident_mib(self) -> float:
        """Return its memory."""
        return float(sum(one.memory_info().rss for one in self.family()) / 2**20)

    def is_ready(self) -> bool:
        """Return what it says of itself."""
        with (
            contextlib.suppress(OSError, urllib.error.HTTPError),
            urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/v2/health/ready", timeout=5) as answer,
        ):
            return bool(answer.status == 200)  # noqa: PLR2004 - OK
        return False


@contextlib.contextmanager
def started(name: str, world: Served, folder: Path) -> Iterator[Server]:
    """Start a server; it may not be ready yet. It is ended at the end.

    Args:
        name: Which, of ``KINDS``.
        world: What it serves.
        folder: For its settings and its log.
    """
    folder.mkdir(exist_ok=True)
    http_port, grpc_port, metrics_port, other_metrics_port = free_ports(4)
    ports = {"http_port": http_port, "grpc_port": grpc_port, "metrics_port": metrics_port}
    served = _stock_folder(name, world, folder, ports) if name in {"plain", "no-op"} else world.project
    log = folder / "server.log"
    metrics_ports = [metrics_port, other_metrics_port][: 2 if name == "2 processes" else 1]
    with contextlib.ExitStack() as stack:
        first, *others = [
            stack.enter_context(_process(served, folder, log, environment(world, name, ports | {"metrics_port": one})))
            for one in metrics_ports
        ]
        yield Server(name, first, http_port, grpc_port, log, tuple(others))


@contextlib.contextmanager
def _process(served: Path, folder: Path, log: Path, variables: dict[str, str]) -> Iterator[psutil.Process]:
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("mlserver")), "start", str(served)],
            cwd=folder,
            env=variables,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield psutil.Process(process.pid)
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            stop(process)


def environment(world: Served, name: str, ports: Mapping[str, int]) -> dict[str, str]:
    """Return the environment of a server, with nothing of the caller's settings."""
    prefixes = ("MLFLOW_", "FEAST_", "MLSERVER_", "DRIVER_RANKING_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(prefixes)}
    named = {f"MLSERVER_{key.upper()}": str(port) for key, port in ports.items()}
    return {**kept, **named, "PYTHONPATH": str(ROOT / "benchmarks"), **world.variables, **KINDS[name]}


def _stock_folder(name: str, world: Served, folder: Path, ports: dict[str, int]) -> Path:
    """Write settings as ours, without our extensions of MLServer, and the runtime that stands against it."""
    settings = json.loads((world.project / "settings.json").read_text(encoding="utf-8"))
    kept = {key: value for key, value in settings.items() if key not in OURS_ALONE}
    runtime = {
        "plain": f"online.plain_runtime.{world.plain}",
        "no-op": "online.noop_runtime.NoopRuntime",
    }[name]
    extra = {
        "feature_repo": str(world.project / "feature_repo"),
        "feature_service": world.service,
        "tracking_uri": f"sqlite:///{world.project / 'data/06_models/mlflow/mlflow.db'}",
    }
    parameters = {"uri": "models:/driver_ranking@champion", "extra": extra}
    model = {"name": "driver_ranking", "implementation": runtime, "parameters": parameters}
    (folder / "settings.json").write_text(json.dumps(kept | ports), encoding="utf-8")
    (folder / "model-settings.json").write_text(json.dumps(model), encoding="utf-8")
    return folder


def wait_until_ready(server: Server, seconds: float = 60, *, every: float = 0.05) -> None:
    """Wait for a server that was started.

    Raises:
        RuntimeError: It ended, or took too long; the message has its log.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.process.is_running() and server.process.status() != psutil.STATUS_ZOMBIE:
        if server.is_ready() and server.log.read_bytes().count(b"Loaded model") > len(server.others):
            return
        time.sleep(every)
    message = f"{server.name} is not ready:\n{server.log.read_text(encoding='utf-8')}"
    raise RuntimeError(message)
