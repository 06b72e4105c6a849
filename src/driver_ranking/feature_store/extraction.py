"""Point-in-time features of entity rows, as a query that writes itself, from any of Feast's offline stores."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from driver_ranking.errors import FeatureStoreError, RequestError
from driver_ranking.feature_store.repo import ServiceFeatures, explained

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.infra.offline_stores.offline_store import RetrievalJob

FEATURES_KEY = "driver_ranking.features"
FEATURE_SERVICE_KEY = "driver_ranking.feature_service"

_ROW_NUMBER = "driver_ranking_5b6e2f91d3_row_number"  # that no request has by chance


@dataclass(frozen=True)
class ExtractedFeatures:
    """Entity rows with their features, not computed yet.

    Attributes:
        job: Feast's retrieval job.
        metadata: What is written into the Parquet file's footer.
        row_count: How many entity rows there are, where that is known.
    """

    job: "RetrievalJob"
    metadata: Mapping[str, str] = field(default_factory=dict)
    row_count: int | None = None

    def as_known_at(self, moment: datetime) -> Self:
        """Return the same features, without what was written to the sources after a moment.

        Raises:
            FeatureStoreError: The offline store can't tell, or a source does not say when its rows were written.
        """
        job: Any = self.job
        if not hasattr(job, "as_known_at"):
            message = (
                "The offline store can't join what was known at a time. Leave as_known_at out, or name a "
                "feature_store.yaml whose offline_store is feast_columnar.AsofOfflineStore."
            )
            raise FeatureStoreError(message)
        with explained("The features can't be extracted"):
            return replace(self, job=job.as_known_at(moment))

    def write_parquet(self, path: str) -> int:
        """Run the job, write its rows in the entity rows' order, and return their number.

        An offline store whose jobs write Parquet themselves streams; of others the whole table is held in memory.

        Raises:
            FeatureStoreError: The offline store fails.
        """
        with explained("The features can't be extracted"):
            return self._write(path)

    def _write(self, path: str) -> int:
        job: Any = self.job
        if hasattr(job, "write_parquet"):
            return int(completed(job).in_request_order().write_parquet(path, metadata=self.metadata))
        table = completed(job).to_arrow().sort_by(_ROW_NUMBER).drop_columns([_ROW_NUMBER])
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), **self.metadata})
        pq.write_table(table, path)
        return int(table.num_rows)


def point_in_time_features(  # noqa: PLR0913, PLR0917 - what an extraction is made of
    store: "FeatureStore",
    features: ServiceFeatures,
    entity_rows: Any,  # noqa: ANN401 - a query, or a frame of an engine
    entity_columns: tuple[str, ...],
    metadata: Mapping[str, str],
    row_count: int | None = None,
) -> ExtractedFeatures:
    """Return the features of entity rows as they were known at each row's event time.

    Args:
        store: The applied feature store.
        features: Which features, named how.
        entity_rows: DuckDB query of the entity rows, with ``event_timestamp`` as TIMESTAMPTZ; for an offline store on
            Spark, a Spark DataFrame.
        entity_columns: The columns that they have.
        metadata: More to write into the footer of the Parquet file, beside the service and the feature columns.
        row_count: How many entity rows there are, where that is known.

    Raises:
        RequestError: A column of the entity rows has the name of a feature.
        FeatureStoreError: The offline store refuses the request.
    """
    refuse_columns(entity_columns, features.columns, "a feature")
    with explained("The features can't be extracted"):
        offline_store = store._get_provider().offline_store  # noqa: SLF001 - Feast has no other way
        if isinstance(entity_rows, str) and not getattr(offline_store, "takes_duckdb_sql", False):
            entity_rows = _numbered_frame(entity_rows)
        job = store.get_historical_features(
            entity_df=entity_rows, features=features.service, full_feature_names=features.full_names
        )
    described = {FEATURES_KEY: json.dumps(features.columns), FEATURE_SERVICE_KEY: features.service.name}
    return ExtractedFeatures(job, {**described, **metadata}, row_count)


def completed(job: Any) -> Any:  # noqa: ANN401 - a retrieval job of any store
    """Return a job that transforms on demand only what has a row in each source, as it is done online, if it can."""
    return job.transforming_complete_rows() if hasattr(job, "transforming_complete_rows") else job


def feature_columns(schema: pa.Schema) -> tuple[str, ...]:
    """Return the feature columns that a file of extracted features says it has.

    Raises:
        RequestError: It is not such a file.
    """
    return tuple(json.loads(recorded(schema, FEATURES_KEY)))


def recorded(schema: pa.Schema, key: str) -> str:
    """Return what extraction wrote under a key into the footer of a file.

    Raises:
        RequestError: The file has nothing under that key.
    """
    value = (schema.metadata or {}).get(key.encode())
    if value is None:
        message = f"The rows have no record of {key!r}: they were not extracted by this project. Extract them first."
        raise RequestError(message)
    return str(value.decode())


def refuse_columns(columns: tuple[str, ...], reserved: tuple[str, ...], meaning: str) -> None:
    """Check that no column has a name, case aside, that is needed for something else.

    Raises:
        RequestError: One has.
    """
    needed = {name.casefold() for name in reserved}
    taken = [column for column in columns if column.casefold() in needed]
    if taken:
        message = f"The column {', '.join(map(repr, taken))} of the entity rows has the name of {meaning}; rename it."
        raise RequestError(message)


def _numbered_frame(entity_rows_sql: str) -> Any:  # noqa: ANN401 - a pandas DataFrame; pandas is not imported for a type
    """Load the entity rows for an offline store that takes nothing else, numbered to restore their order."""
    from feast_columnar.offline.engine import open_engine
    from feast_columnar.offline.entities import entity_relation

    with open_engine({}) as engine:
        rows = entity_relation(engine, entity_rows_sql, in_order=False)
        frame = engine.execute(f"SELECT * FROM {rows.sql}").df()
    frame[_ROW_NUMBER] = range(len(frame))
    return frame
