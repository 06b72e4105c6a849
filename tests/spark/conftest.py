"""What the tests on Spark need: one session, and feature repos that are joined by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from contract.conftest import AsofRepo

from driver_ranking import spark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession

SPARK_ASOF = "feast_columnar.spark.store.SparkAsofOfflineStore"
CONF = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "2",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}


@pytest.fixture(scope="session")
def session() -> Iterator[SparkSession]:
    """One Spark on this machine, for the whole test session."""
    spark.configure({"master": "local[2]", "conf": CONF})
    running = spark.session()
    yield running
    running.stop()


@dataclass(frozen=True)
class SparkAsofRepo(AsofRepo):
    """A feature repo, used through the store on Spark."""

    def open(self, **offline_store: Any) -> Any:
        return super().open(**({"type": SPARK_ASOF} | offline_store))


@pytest.fixture
def asof_repo(tmp_path: Any, session: SparkSession) -> SparkAsofRepo:  # noqa: ARG001  # it has to run
    """An empty feature repo in a folder of the test's own."""
    return SparkAsofRepo(tmp_path)


@pytest.fixture(scope="module")
def shared_asof_repo(tmp_path_factory: pytest.TempPathFactory, session: SparkSession) -> SparkAsofRepo:  # noqa: ARG001
    """A feature repo for the tests of a module that write their rows anew each time."""
    return SparkAsofRepo(tmp_path_factory.mktemp("asof"))
