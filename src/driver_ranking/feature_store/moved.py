"""Where what other projects may have named here is now: the old names go on working for one release, with a warning.

Feast finds a store by the class path in ``feature_store.yaml``, and the class of its settings beside it. What was such
a module has ``__getattr__ = moved_from(__name__)``.
"""

import warnings
from collections.abc import Callable
from functools import cache
from importlib import import_module

LIBRARY = "feast_columnar"
_NAMES = {
    "asof": ("AsofOfflineStore", "EntityRows", "Feature", "JoinKey", "ViewJoin", "point_in_time_sql"),
    "asof_spark": ("SparkAsofOfflineStore",),
    "materialization": ("StreamingComputeEngine",),
    "redis_store": ("SecretRedisOnlineStore",),
    "sqlite_store": ("SharedSqliteOnlineStore",),
}


def moved_from(module: str) -> Callable[[str], object]:
    """Return the ``__getattr__`` of a module whose names are in the library now.

    Args:
        module: Its full name.
    """
    moved = _NAMES[module.rpartition(".")[2]]

    def find(name: str) -> object:
        base = name.removesuffix("Config")
        if base not in moved:
            message = f"module {module!r} has no attribute {name!r}"
            raise AttributeError(message)
        tell(module, base)
        return getattr(import_module(LIBRARY), name)

    return find


@cache  # Feast asks for each class time and again, and forgets what it has warned of
def tell(module: str, name: str) -> None:
    """Warn of an old name, once in a process."""
    message = f"{module}.{name} is {LIBRARY}.{name} now. Name it so: the old name goes with the next release."
    warnings.warn(message, FutureWarning, stacklevel=3)
