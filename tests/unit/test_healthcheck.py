"""The health check of a container, against a real server on loopback."""

from __future__ import annotations

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest
from processes import free_port
from support.servers import environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class ReadyOnly(BaseHTTPRequestHandler):
    """Answers readiness with success, and everything else with a reason."""

    def do_GET(self) -> None:
        ready = self.path == "/v2/health/ready"
        self.send_response(200 if ready else 400)
        self.end_headers()
        self.wfile.write(b"" if ready else b"no model yet")

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name in the base class
        """Say nothing."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), ReadyOnly) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield int(server.server_address[1])
        server.shutdown()
        thread.join()


def check(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "driver_ranking.serving.healthcheck", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment(**variables), capture_output=True, text=True, check=False
    )


def test_a_server_that_is_ready_is_healthy_and_nothing_is_said(tmp_path: Path, port: int) -> None:
    done = check(tmp_path, MLSERVER_HTTP_PORT=str(port))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_port_comes_from_the_settings_beside_it(tmp_path: Path, port: int) -> None:
    (tmp_path / "settings.json").write_text(f'{{"http_port": {port}}}', encoding="utf-8")
    assert check(tmp_path).returncode == 0


def test_a_proxy_is_not_asked(tmp_path: Path, port: int) -> None:
    assert check(tmp_path, MLSERVER_HTTP_PORT=str(port), http_proxy=f"http://127.0.0.1:{free_port()}").returncode == 0


def test_a_server_that_is_not_ready_is_not_healthy_and_the_reason_is_said(tmp_path: Path, port: int) -> None:
    done = check(tmp_path, f"http://127.0.0.1:{port}/other")
    assert done.returncode == 1
    assert done.stderr.strip() == f"http://127.0.0.1:{port}/other answers 400: no model yet"


def test_a_server_that_does_not_answer_is_not_healthy(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}/"
    done = check(tmp_path, url)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{url} does not answer: ")
    assert len(done.stderr.splitlines()) == 1
