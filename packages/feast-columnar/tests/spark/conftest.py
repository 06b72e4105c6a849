"""What the tests on Spark need: feature repos that are joined by the one session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from columnar_support.spark_repos import SparkAsofRepo

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture
def asof_repo(tmp_path: Any, session: SparkSession) -> SparkAsofRepo:  # noqa: ARG001  # it has to run
    """An empty feature repo in a folder of the test's own."""
    return SparkAsofRepo(tmp_path)


@pytest.fixture(scope="module")
def shared_asof_repo(tmp_path_factory: pytest.TempPathFactory, session: SparkSession) -> SparkAsofRepo:  # noqa: ARG001
    """A feature repo for the tests of a module that write their rows anew each time."""
    return SparkAsofRepo(tmp_path_factory.mktemp("asof"))
