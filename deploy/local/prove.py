"""Prove on the sample what is said of it.

Serve, ask a thousand requests, compare the answers with the feature store, and replay one of them. The server is
the real one, on free ports of loopback, and ends with this program. What was asked before is not compared.
"""

# ruff: noqa: T201 - it says what it has found

from __future__ import annotations

import http.client
import json
import os
import random
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from processes import StartError, free_ports, stop

BIN = Path(sys.executable).parent
REQUESTS = 1000
LARGEST = 50
DRIVERS = (*range(1001, 1051), 9001)  # of the last one nothing is known
PATIENCE = 90.0
REPORTS = Path("data/08_reporting")
QUIET = {"KEDRO_LOGGING_CONFIG": "conf/quiet_logging.yml"}


def main() -> int:
    """Run all of it, and return the exit code."""
    begin = datetime.now(tz=UTC)
    run("materialize")
    http_port, *others = free_ports(3)
    names = ("MLSERVER_HTTP_PORT", "MLSERVER_GRPC_PORT", "MLSERVER_METRICS_PORT")
    ports = dict(zip(names, map(str, (http_port, *others)), strict=True))
    log = Path("data/08_reporting/prove_server.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        command = [str(BIN / "mlserver"), "start", "."]
        server = subprocess.Popen(command, env={**os.environ, **ports}, stdout=output, stderr=output)  # noqa: S603 - the project's own command
    try:
        wait_until_ready(server, http_port, log)
        request_ids = ask(http_port)
    finally:
        stop(server)
    code = run("parity", f"since={begin.isoformat()}", required=False)
    tell()
    return code or replay(random.choice(request_ids))  # noqa: S311 - any of them


def run(pipeline: str, params: str | None = None, *, required: bool = True) -> int:
    """Run a pipeline, and return its exit code."""
    more = ["--params", params] if params else []
    command = [str(BIN / "kedro"), "run", "--pipelines", pipeline, *more]
    code = subprocess.run(command, env={**os.environ, **QUIET}, check=False).returncode  # noqa: S603 - the project's own command
    if code and required:
        sys.exit(code)
    return code


def wait_until_ready(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait until the server can answer.

    Raises:
        StartError: It has ended, or takes too long.
    """
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and server.poll() is None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/v2/health/ready")
            if connection.getresponse().status == http.HTTPStatus.OK:
                return
        except OSError:
            pass
        time.sleep(0.1)
    message = f"The server is not ready after {PATIENCE:g} s; {log} says why."
    raise StartError(message)


def ask(port: int) -> list[str]:
    """Ask for random drivers, and return the ids of the requests that were answered with a ranking."""
    rng, answered = random.Random(), []  # noqa: S311 - other requests each time
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    begin = time.monotonic()
    for number in range(REQUESTS):
        drivers = [rng.choice(DRIVERS) for _ in range(rng.randint(1, LARGEST))]
        request_id = f"prove-{os.getpid()}-{number}"
        connection.request("POST", "/v2/models/driver_ranking/infer", body(request_id, drivers))
        response = connection.getresponse()
        response.read()
        if response.status == http.HTTPStatus.OK:
            answered.append(request_id)
    seconds = time.monotonic() - begin
    print(f"Asked {REQUESTS} requests in {seconds:.1f} s: {len(answered)} rankings, the others had no one to rank.")
    return answered


def body(request_id: str, drivers: list[int]) -> str:
    """Return a request of the V2 protocol."""
    ids: dict[str, Any] = {"name": "driver_id", "shape": [len(drivers)], "datatype": "INT64", "data": drivers}
    return json.dumps({"id": request_id, "inputs": [ids]})


def tell() -> None:
    """Print what the comparison has found, and where the pictures are."""
    report = json.loads((REPORTS / "parity.json").read_text(encoding="utf-8"))
    decisions = report["decisions"]
    print(f"Compared {report['rows']} rows of {report['requests']} answers: {report['unexplained']} unexplained.")
    print(
        f"By what is known now, {decisions['best_changed']} answers would have had another best, "
        f"{decisions['order_changed']} another order, {decisions['exclusions_changed']} other exclusions."
    )
    pictures = sorted(str(file) for file in REPORTS.glob("parity_*.json") if "metrics" not in file.name)
    print(f"Pictures: {', '.join(pictures)}; `make viz` shows them, and so does the run 'parity' in `make ui`.")


def replay(request_id: str) -> int:
    """Give an answer again, print the end of what is said of it, and return the exit code."""
    command = [str(BIN / "driver_ranking"), "replay", request_id]
    done = subprocess.run(command, env={**os.environ, **QUIET}, capture_output=True, text=True, check=False)  # noqa: S603 - the project's own command
    lines = (done.stdout or done.stderr).strip().splitlines()
    print(f"Replayed {request_id}: {lines[-1] if lines else 'nothing was said'}")
    return done.returncode


if __name__ == "__main__":
    try:
        sys.exit(main())
    except StartError as error:
        sys.exit(str(error))
