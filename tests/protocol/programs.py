"""The programs of the clients' environment, and what fixtures make of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from support.projects import ROOT

if TYPE_CHECKING:
    import subprocess

CLIENTS = ROOT / ".venv-clients" / "bin"
SCRIPTS = Path(__file__).parent / "clients"
PROTO = "grpc_predict_v2.proto"  # as its publisher names it

# how each client is started, and whether it is given the address of REST or of gRPC
COMMANDS = {
    "tritonclient.http": ("with_tritonclient.py", "http"),
    "tritonclient.http.aio": ("with_tritonclient.py", "http.aio"),
    "tritonclient.grpc": ("with_tritonclient.py", "grpc"),
    "tritonclient.grpc.aio": ("with_tritonclient.py", "grpc.aio"),
    "kserve.rest": ("with_kserve.py", "rest"),
    "kserve.grpc": ("with_kserve.py", "grpc"),
    "compiled.grpc": ("with_compiled_stubs.py",),
}


class Run(Protocol):
    """Runs a program of the clients' environment."""

    def __call__(
        self, program: str, *arguments: str, check: bool = True, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Return how it ended."""
        ...


class Said(Protocol):
    """Asks a server with a client, once a session."""

    def __call__(self, client: str) -> dict[str, Any]:
        """Return what the client was told."""
        ...
