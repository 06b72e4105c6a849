"""What the last bits of a score depend on beside the model: the libraries, the machine, and how BLAS works on it."""

import platform
import sys
from importlib.metadata import version
from typing import Any, Final

_LIBRARIES: Final = {
    "numpy": "numpy",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "xgboost": "xgboost",
    "lightgbm": "lightgbm",
    "catboost": "catboost",
    "onnxruntime": "onnxruntime",
    "torch": "torch",
    "tensorflow": "tensorflow",
    "mlflow": "mlflow",
}
"""The packages that a score is computed by, by their modules."""

_POOL: Final = ("user_api", "internal_api", "version", "architecture", "num_threads", "threading_layer")


def environment() -> dict[str, Any]:
    """Return what is loaded in this process and what it runs on, for JSON."""
    loaded = {package: _version(package) for module, package in _LIBRARIES.items() if module in sys.modules}
    return {"python": platform.python_version(), "machine": platform.machine(), "libraries": loaded, "pools": _pools()}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except Exception:  # noqa: BLE001 - a package under another name, or without metadata
        return None


def _pools() -> list[dict[str, Any]]:
    """Return the libraries that compute in threads, with the kernels that BLAS has chosen for this processor."""
    try:
        from threadpoolctl import threadpool_info  # comes with scikit-learn
    except ImportError:
        return []
    return [{name: pool[name] for name in _POOL if name in pool} for pool in threadpool_info()]
