"""What the library promises: few names, documented, and an import that loads nothing until one of them is asked for."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import feast_columnar

NAMES = [
    "AsofOfflineStore",
    "AsofOfflineStoreConfig",
    "EntityRows",
    "Feature",
    "JoinKey",
    "LedgerConfig",
    "SecretRedisOnlineStore",
    "SecretRedisOnlineStoreConfig",
    "SharedSqliteOnlineStore",
    "SharedSqliteOnlineStoreConfig",
    "SparkAsofOfflineStore",
    "SparkAsofOfflineStoreConfig",
    "StreamingComputeEngine",
    "StreamingComputeEngineConfig",
    "ViewJoin",
    "open_ledger",
    "open_reader",
    "point_in_time_sql",
]


def test_these_are_the_public_names() -> None:
    assert feast_columnar.__all__ == NAMES
    assert dir(feast_columnar) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_is_there_and_documented(name: str) -> None:
    named = getattr(feast_columnar, name)
    assert named.__name__ == name
    assert named.__module__.startswith("feast_columnar.")
    assert inspect.getdoc(named)


def test_another_name_is_refused_as_by_any_module() -> None:
    with pytest.raises(AttributeError, match="module 'feast_columnar' has no attribute 'Asof'"):
        getattr(feast_columnar, "Asof")  # noqa: B009 - written as an attribute, mypy would refuse it


def test_the_import_alone_loads_nothing() -> None:
    heavy = ("feast", "duckdb", "pandas", "pyarrow", "pyspark", "redis", "hiredis", "numpy")
    code = f"import sys, feast_columnar; sys.exit(', '.join(sorted({set(heavy)!r} & set(sys.modules))) or 0)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize(
    "name", ["AsofOfflineStore", "SharedSqliteOnlineStore", "StreamingComputeEngine", "SparkAsofOfflineStore"]
)
def test_what_an_extra_brings_is_not_loaded_without_it(name: str) -> None:
    code = (
        "import sys, feast_columnar as library\n"
        "sys.modules.update(dict.fromkeys(('redis', 'hiredis', 'pyspark')))  # an import of them fails\n"
        f"library.{name}, library.{name}Config"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
