"""The ASOF offline store on Spark: the same SQL, run by DuckDB on the executors, part by part.

Plug it in by its class path, in ``feature_store.yaml``::

    offline_store:
      type: feast_columnar.SparkAsofOfflineStore

Entity rows and feature rows are co-grouped by a hash of the join keys, one feature view after the other, and each group
is joined by the statement of ``offline.rules``. That is exact: rows of different keys don't meet in the join, and what
one entity row gets does not depend on the others. So a group whose entity rows are too many is split, and its feature
rows go to each part; and rows with a null in a key or the event time, which match nothing, stay where they are.

What can't be split is the history of one key: it has to fit into the memory of one Python worker.

Materialization and whatever else reads a source alone is that of ``AsofOfflineStore``, on one machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, StrictStr

from feast_columnar.offline.store import AsofOfflineStore, AsofOfflineStoreConfig
from feast_columnar.spark.entities import check_entities
from feast_columnar.spark.job import SparkAsofRetrievalJob
from feast_columnar.spark.plan import SparkRetrieval

if TYPE_CHECKING:
    from feast.repo_config import RepoConfig

    from feast_columnar.offline.query import Historical

__all__ = ["SparkAsofOfflineStore", "SparkAsofOfflineStoreConfig", "SparkAsofRetrievalJob"]


class SparkAsofOfflineStoreConfig(AsofOfflineStoreConfig):
    """Options of the store in ``feature_store.yaml``.

    Attributes:
        type: The class path of the store.
        memory_limit: How much memory DuckDB may take for one group, beside its rows; what is over goes to disk.
        rows_per_group: About how many rows, entity and feature rows together, are joined at once by a Python worker.
        spark_conf: Settings for a Spark session, where there is none yet.
    """

    type: StrictStr = "feast_columnar.SparkAsofOfflineStore"
    memory_limit: str | None = "512MB"
    rows_per_group: int = Field(default=1_000_000, gt=0)
    spark_conf: dict[str, str] | None = None


class SparkAsofOfflineStore(AsofOfflineStore):
    """Feast's interface to the join on Spark; see the module for how to plug it in."""

    takes_duckdb_sql = False

    @staticmethod
    def check_entities(entities: object) -> None:
        """Refuse entity rows of a kind that this store can't read.

        It reads a Spark or pandas DataFrame, a pyarrow Table, Spark SQL, and the path or URL of Parquet files.

        Raises:
            AsofError: They are of another kind.
        """
        check_entities(entities)

    @classmethod
    def historical_job(cls, config: RepoConfig, asked: Historical) -> SparkAsofRetrievalJob:
        """Return the job that joins what is asked for, on Spark."""
        return SparkAsofRetrievalJob(SparkRetrieval(asked.retrieval, config.offline_store), asked.on_demand)
