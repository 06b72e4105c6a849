"""Clients that offer HTTP/2 in the clear are answered as if they had not."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from protocol.programs import SCRIPTS

if TYPE_CHECKING:
    from pathlib import Path

    from support.servers import Serving

INFER = '{"inputs": [{"name": "driver_id", "shape": [2], "datatype": "INT64", "data": [1001, 1002]}]}'
PLAIN = '{"request_id": "from java", "driver_ids": [1001, 1002]}'


def test_java_s_client_with_its_defaults(server: Serving, tmp_path: Path) -> None:
    java = shutil.which("java")
    assert java, "no java: install a JDK of 17 or later"
    for url, bodies in ((server.infer_url, [INFER, INFER]), (f"{server.url}/inference", [PLAIN])):
        command = [java, str(SCRIPTS / "DefaultClient.java"), url, *bodies]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
        assert ended.returncode == 0, ended.stderr
        lines = ended.stdout.splitlines()
        assert [line[:3] for line in lines] == ["200"] * 2 * len(bodies)
        for line in lines:
            said = json.loads(line[4:])
            assert (said.get("prediction") or said["outputs"][0]["data"][0]) == 1001


@pytest.mark.parametrize("path", ["/inference", "/v2/models/driver_ranking/infer"])
def test_curl_with_http2(server: Serving, path: str) -> None:
    body = PLAIN if path == "/inference" else INFER
    command = ["curl", "--silent", "--http2", "--noproxy", "*", "--fail-with-body", "--json", body, server.url + path]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    said = json.loads(ended.stdout)
    assert (said.get("prediction") or said["outputs"][0]["data"][0]) == 1001
