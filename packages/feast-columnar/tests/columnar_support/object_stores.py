"""A local S3 server, and a web server over a folder."""

from __future__ import annotations

import contextlib
import functools
import http.server
import threading
from typing import TYPE_CHECKING, Any

import fsspec
from moto.server import ThreadedMotoServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUCKET = "drivers"


@contextlib.contextmanager
def running_s3() -> Iterator[dict[str, Any]]:
    """Run an S3 server with a bucket; give what a catalog's credentials say of it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        options = {"key": "a key", "secret": "a secret", "client_kwargs": {"endpoint_url": f"http://{host}:{port}"}}
        fsspec.filesystem("s3", **options).mkdir(BUCKET)
        yield options
    finally:
        server.stop()


class _Plain(http.server.SimpleHTTPRequestHandler):
    """Python's own server, as simple as servers get: it answers for no part of a file."""

    def log_message(self, *arguments: object) -> None:
        """Be quiet."""


@contextlib.contextmanager
def serving_files(folder: Path) -> Iterator[str]:
    """Serve a folder over HTTP; give its URL."""
    handler = functools.partial(_Plain, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
