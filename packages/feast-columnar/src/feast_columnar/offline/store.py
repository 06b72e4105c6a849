"""A Feast offline store on DuckDB's ASOF join: point-in-time features at the engine's speed, in bounded memory.

Plug it in by its class path, in ``feature_store.yaml``::

    offline_store:
      type: feast_columnar.AsofOfflineStore
      memory_limit: 500MB

It reads Parquet file sources (a file, a folder, a glob, a hive-partitioned folder; local or through fsspec) and takes
entity rows as a DataFrame, an Arrow table or data set, a Parquet or CSV file, or DuckDB SQL. Results stream. The rules
of the join are stated in ``rules``; ``query`` tells the way of a request through the other modules.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa  # noqa: TC002  # Feast looks at annotations
from feast.feature_logging import LOG_TIMESTAMP_FIELD
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
from feast.infra.offline_stores.offline_store import OfflineStore
from feast.repo_config import FeastConfigBaseModel
from pydantic import StrictStr  # noqa: TC002  # pydantic looks it up when the class is made

from feast_columnar.errors import AsofError, UnsupportedError
from feast_columnar.offline.engine import open_engine
from feast_columnar.offline.entities import check_entities
from feast_columnar.offline.files import add_logs, add_rows, local_path
from feast_columnar.offline.job import AsofRetrievalJob, ColumnarJob, LazyMetadata
from feast_columnar.offline.monitoring import MonitoredStore
from feast_columnar.offline.query import Extraction, Historical, extract_of, rows_or_range
from feast_columnar.offline.rules import (
    EntityRows,
    Extract,
    Feature,
    JoinKey,
    ViewJoin,
    all_rows_sql,
    latest_rows_sql,
    point_in_time_sql,
)
from feast_columnar.offline.sources import checked_source, located

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from feast.data_source import DataSource
    from feast.feature_logging import LoggingConfig, LoggingSource
    from feast.feature_view import FeatureView
    from feast.infra.registry.base_registry import BaseRegistry
    from feast.repo_config import RepoConfig

__all__ = [
    "AsofError",
    "AsofOfflineStore",
    "AsofOfflineStoreConfig",
    "AsofRetrievalJob",
    "EntityRows",
    "Feature",
    "JoinKey",
    "UnsupportedError",
    "ViewJoin",
    "point_in_time_sql",
]

_DUMMY_KEY = ((DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL),)


class AsofOfflineStoreConfig(FeastConfigBaseModel):
    """Options of the store in ``feature_store.yaml``.

    Attributes:
        type: The class path of the store.
        memory_limit: How much memory DuckDB may take, such as ``500MB``; what is over goes to disk. DuckDB's default is
            80% of the machine's.
        threads: How many threads DuckDB may use; its default is one per core.
        temp_directory: The folder DuckDB spills to; by default a temporary one that is removed after each query.
    """

    type: StrictStr = "feast_columnar.AsofOfflineStore"
    memory_limit: str | None = None
    threads: int | None = None
    temp_directory: str | None = None

    def settings(self) -> dict[str, Any]:
        """Return the options as DuckDB's settings; None leaves one at its default."""
        return {
            "memory_limit": self.memory_limit,
            "threads": self.threads,
            "temp_directory": self.temp_directory,
        }


class AsofOfflineStore(MonitoredStore, OfflineStore):
    """Feast's interface to the join; see the module for how to plug it in."""

    supports_filter_by_created_timestamp = True
    takes_duckdb_sql = True  # as entity rows

    @classmethod
    def get_historical_features(  # noqa: PLR0913, PLR0917  # Feast's signature
        cls,
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: Any,  # noqa: ANN401  # more kinds than Feast's signature names
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,  # noqa: FBT001, FBT002  # Feast's signature
        filter_by_created_timestamp: bool = False,  # noqa: FBT001, FBT002  # Feast's signature
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> ColumnarJob:
        """Join each entity row to the feature values that were valid at its event time.

        Args:
            config: The configuration of the feature repo.
            feature_views: The feature views to join.
            feature_refs: The features, as ``view:feature``.
            entity_df: A pandas DataFrame, a pyarrow Table or Dataset, the path or URL of a Parquet or CSV file, or
                DuckDB SQL. Its event time is ``event_timestamp``, else its only timestamp column; naive times are UTC.
                None: every entity that has a feature row from ``start_date`` to ``end_date``, as of ``end_date``.
            registry: The registry, for the on-demand feature views.
            project: The Feast project.
            full_feature_names: Whether features are named ``view__feature``.
            filter_by_created_timestamp: Whether to leave out feature rows that were written after the event time.
            start_date: Without entity rows, the earliest event time; by default the longest ttl before the end.
            end_date: Without entity rows, the latest event time; by default now.

        Returns:
            A job that has not run; it yields each entity row exactly once.

        Raises:
            AsofError: If a view's source or the kind of the entity rows is not supported.
        """
        entities = rows_or_range(entity_df, feature_views, start_date, end_date)
        cls.check_entities(entities)
        asked = Historical.of(
            feature_views,
            feature_refs,
            entities,
            registry,
            project,
            repo_path=config.repo_path,
            full_feature_names=full_feature_names,
            filter_by_created=filter_by_created_timestamp,
        )
        return cls.historical_job(config, asked)

    @staticmethod
    def check_entities(entities: object) -> None:
        """Refuse entity rows of a kind that this store can't read.

        Raises:
            AsofError: They are of another kind.
        """
        check_entities(entities)

    @classmethod
    def historical_job(cls, config: RepoConfig, asked: Historical) -> ColumnarJob:
        """Return the job that joins what is asked for, on this store's engine."""
        options, retrieval = config.offline_store.settings(), asked.retrieval

        def facts() -> tuple[list[str], datetime | None, datetime | None]:
            with open_engine(options) as engine:
                return retrieval.facts(engine)

        metadata = LazyMetadata(asked.on_demand.refs, facts)
        return AsofRetrievalJob(retrieval, options, config.repo_path, metadata=metadata, on_demand=asked.on_demand)

    @staticmethod
    def pull_latest_from_table_or_query(  # noqa: PLR0913, PLR0917  # Feast's signature
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> AsofRetrievalJob:
        """Read the latest row of each entity from ``start_date`` to ``end_date``, both inclusive.

        Ties are broken as in the join. Without join keys it is the latest row of all, with Feast's stand-in for a key.

        Args:
            config: The configuration of the feature repo.
            data_source: A FileSource of Parquet files.
            join_key_columns: The columns that make an entity.
            feature_name_columns: The feature columns to read; none for all columns, as transformations need them.
            timestamp_field: The column with the event time.
            created_timestamp_column: The column that says when a row was written.
            start_date: The earliest event time; a naive one is taken as UTC.
            end_date: The latest event time; a naive one is taken as UTC.

        Raises:
            AsofError: If the source is not supported.
        """
        constants = () if join_key_columns else _DUMMY_KEY
        extract = extract_of(join_key_columns, feature_name_columns, timestamp_field, created_timestamp_column)
        extract = replace(extract, start=start_date, end=end_date, constants=constants)
        return _extraction(config, data_source, latest_rows_sql, extract, feature_name_columns)

    @staticmethod
    def pull_all_from_table_or_query(  # noqa: PLR0913, PLR0917  # Feast's signature
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> AsofRetrievalJob:
        """Read all rows from ``start_date`` to ``end_date``, both inclusive and optional.

        Without join keys they come with Feast's stand-in for a key, the latest one last; but not those of a log.

        Args:
            config: The configuration of the feature repo.
            data_source: A FileSource of Parquet files.
            join_key_columns: The columns that make an entity.
            feature_name_columns: The feature columns to read; none for all columns, as transformations need them.
            timestamp_field: The column with the event time.
            created_timestamp_column: The column that says when a row was written.
            start_date: The earliest event time; a naive one is taken as UTC.
            end_date: The latest event time; a naive one is taken as UTC.

        Raises:
            AsofError: If the source is not supported.
        """
        constants = () if join_key_columns or timestamp_field == LOG_TIMESTAMP_FIELD else _DUMMY_KEY
        extract = extract_of(join_key_columns, feature_name_columns, timestamp_field, created_timestamp_column)
        extract = replace(extract, start=start_date, end=end_date, constants=constants)
        return _extraction(config, data_source, all_rows_sql, extract, feature_name_columns)

    @staticmethod
    def offline_write_batch(
        config: RepoConfig,
        feature_view: FeatureView,
        table: pa.Table,
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Append rows to the source of a feature view: to its file, which is written anew, or as a file in its folder.

        Args:
            config: The configuration of the feature repo.
            feature_view: The feature view; its source is a local file or a folder without partitions.
            table: Rows with the columns of the source, in its order.
            progress: Is told the number of rows when they are written.

        Raises:
            AsofError: If the source is of another kind, or the columns differ.
        """
        owner = f"feature view '{feature_view.name}'"
        source = checked_source(feature_view.batch_source, owner)
        add_rows(Path(local_path(located(source.path, config.repo_path))), table, owner)
        if progress:
            progress(table.num_rows)

    @staticmethod
    def write_logged_features(
        config: RepoConfig,
        data: pa.Table | Path,
        source: LoggingSource,  # noqa: ARG004  # Feast's signature
        logging_config: LoggingConfig,
        registry: BaseRegistry,  # noqa: ARG004  # Feast's signature
    ) -> None:
        """Add logged features to the folder of a file destination, in files that appear when they are complete.

        Args:
            config: The configuration of the feature repo.
            data: The rows, or the path of Parquet files with them.
            source: Is not needed.
            logging_config: Where to; partitions are written hive style.
            registry: Is not needed.

        Raises:
            AsofError: If the destination is not a local folder.
        """
        add_logs(logging_config.destination, data, config.repo_path)


def _extraction(
    config: RepoConfig, source: DataSource, statement: Callable[..., str], extract: Extract, features: Sequence[str]
) -> AsofRetrievalJob:
    checked = checked_source(source, f"source '{source.name}'")
    query = Extraction(checked, config.repo_path, statement, extract, bool(features))
    return AsofRetrievalJob(query, config.offline_store.settings(), config.repo_path)
