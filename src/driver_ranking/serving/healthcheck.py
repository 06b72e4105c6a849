"""Ask a server whether it is ready, as the health check of a container.

``python -m driver_ranking.serving.healthcheck [URL]``: the exit code is 0 if the URL answers with success, by default
the readiness of the service on this machine, at the port of ``MLSERVER_HTTP_PORT`` or else of the settings.json in the
working directory. If not, it is 1, and the standard error says why. It imports only the standard library, as it runs
every few seconds.
"""

import json
import os
import sys
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

_TIMEOUT = 4.0  # seconds, less than what a container's health check is given


def main() -> None:
    """Check the URL on the command line, else the service."""
    sys.exit(problem(sys.argv[1] if len(sys.argv) > 1 else readiness_url()))


def readiness_url() -> str:
    """Return where the service on this machine says whether it is ready."""
    port = os.environ.get("MLSERVER_HTTP_PORT") or json.loads(Path("settings.json").read_bytes())["http_port"]
    return f"http://127.0.0.1:{port}/v2/health/ready"


def problem(url: str) -> str | None:
    """Return why a URL does not answer with success, None if it does; a proxy in the environment is not asked."""
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=_TIMEOUT):
            return None
    except HTTPError as error:
        with error:
            return f"{url} answers {error.code}: {error.read().decode(errors='replace')}"
    except (OSError, HTTPException) as error:
        return f"{url} does not answer: {error}"


if __name__ == "__main__":
    main()
