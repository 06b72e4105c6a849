"""Feature repos that are joined by Spark, and the session that does it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Any

from pyspark.sql import SparkSession

from columnar_support.asof_repos import AsofRepo

SPARK_ASOF = "feast_columnar.SparkAsofOfflineStore"
CONF: dict[str, bool | float | int | str | None] = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.log.level": "ERROR",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "2",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}


def started() -> SparkSession:
    """Start a Spark on this machine whose workers run this Python."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ.setdefault("SPARK_LOCAL_HOSTNAME", "localhost")
    running = SparkSession.builder.master("local[2]").config(map=CONF).getOrCreate()
    running.sparkContext.setLogLevel("ERROR")
    return running


@dataclass(frozen=True)
class SparkAsofRepo(AsofRepo):
    """A feature repo, used through the store on Spark."""

    def open(self, **offline_store: Any) -> Any:
        return super().open(**({"type": SPARK_ASOF} | offline_store))
