"""Other people's clients, in their own environment and in processes of their own."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from protocol.programs import CLIENTS, COMMANDS, PROTO, SCRIPTS, Run, Said
from support.servers import environment

if TYPE_CHECKING:
    from support.servers import Serving


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A way to run programs of the clients' environment, in a folder where they may leave what they like."""
    assert CLIENTS.exists(), "the clients are not installed: run `make clients`"
    folder = tmp_path_factory.mktemp("clients")

    def run_program(
        program: str, *arguments: str, check: bool = True, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        # what is asked is on this machine
        inherited = {name: value for name, value in environment().items() if not name.lower().endswith("_proxy")}
        command = [str(CLIENTS / program), *arguments]
        ended = subprocess.run(
            command, cwd=folder, env=inherited | variables, capture_output=True, text=True, timeout=300, check=False
        )
        assert not check or ended.returncode == 0, ended.stdout + ended.stderr
        return ended

    return run_program


@pytest.fixture(scope="session")
def stubs(run: Run, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with gRPC stubs, compiled from the description of the protocol that kserve's package publishes."""
    folder = tmp_path_factory.mktemp("stubs")
    description = str(folder / "description.binpb")
    run("python", str(SCRIPTS / "published_description.py"), description)
    to_folder = [f"--python_out={folder}", f"--grpc_python_out={folder}"]
    run("python", "-m", "grpc_tools.protoc", f"--descriptor_set_in={description}", *to_folder, PROTO)
    return str(folder)


@pytest.fixture(scope="session")
def said(server: Serving, run: Run, request: pytest.FixtureRequest) -> Said:
    """What clients are told by the session's server, each asked once."""
    known: dict[str, dict[str, Any]] = {}

    def asked(client: str) -> dict[str, Any]:
        if client not in known:
            script, *arguments = COMMANDS[client]
            address = server.grpc_address if "grpc" in client else f"127.0.0.1:{server.http_port}"
            variables = {"PYTHONPATH": request.getfixturevalue("stubs")} if client == "compiled.grpc" else {}
            ended = run("python", str(SCRIPTS / script), *arguments, address, **variables)
            known[client] = json.loads(ended.stdout)
        return known[client]

    return asked
