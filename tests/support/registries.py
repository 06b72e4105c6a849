"""MLflow keeps the registry it was told last, in this process and in its environment: tests put both back."""

import contextlib
import os
from collections.abc import Iterator

import mlflow


@contextlib.contextmanager
def registry_forgotten() -> Iterator[None]:
    """Let what runs inside have a registry of its own."""
    before = mlflow.get_tracking_uri()
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)
        os.environ.pop("MLFLOW_TRACKING_URI", None)
